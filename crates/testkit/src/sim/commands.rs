//! What a server does with a command, and in what words it refuses.

use keyslot_planner::command::RedisCommand;
use keyslot_planner::ids::NodeId;
use keyslot_planner::slots::SlotSet;

use super::node::{Millis, Node, NodeRole};
use super::random::Random;

/// For how long a forgotten node is not taken back from gossip.
const BAN: Millis = 60_000;

impl Node {
    /// Executes a command; the error is what the server would answer. Refusals that the executor takes for done
    /// (`SET-CONFIG-EPOCH`, `FORGET` of an unknown node) are told as done here as well.
    pub(super) fn execute(
        &mut self,
        command: &RedisCommand,
        now: Millis,
        random: &mut Random,
    ) -> Result<(), String> {
        match command {
            RedisCommand::SetConfigEpoch(epoch) => {
                if self.peers.is_empty() && self.handshakes.is_empty() && self.config_epoch == 0 {
                    self.config_epoch = *epoch;
                    self.current_epoch = self.current_epoch.max(*epoch);
                }
                Ok(())
            }
            RedisCommand::AddSlots(slots) => self.add_slots(slots),
            RedisCommand::Meet { ip, .. } => {
                if *ip != self.ip {
                    self.shake_hands(*ip, true, now, random);
                }
                Ok(())
            }
            RedisCommand::Replicate(primary) => self.replicate(primary),
            RedisCommand::Forget(id) => self.forget(id, now),
            RedisCommand::TakeOver => self.take_over_unasked(),
            RedisCommand::SetConfig(settings) => self.configure(settings),
            RedisCommand::SetReplicationPassword(_)
            | RedisCommand::SetUser { .. }
            | RedisCommand::DeleteUser(_) => Ok(()),
        }
    }

    fn add_slots(&mut self, wanted: &SlotSet) -> Result<(), String> {
        let known = self.peers.values().fold(self.slots(), |all, peer| all.union(&peer.slots));
        if let Some(busy) = known.intersection(wanted).first() {
            return Err(format!("ERR Slot {busy} is already busy"));
        }
        match &mut self.role {
            NodeRole::Primary { slots } => *slots = slots.union(wanted),
            NodeRole::Replica { .. } => return Err("ERR slots on a replica".to_owned()),
        }
        Ok(())
    }

    fn replicate(&mut self, primary: &NodeId) -> Result<(), String> {
        let Some(peer) = self.peers.get(primary) else {
            return Err(format!("ERR Unknown node {primary}"));
        };
        if !peer.primary {
            return Err("ERR I can only replicate a master, not a replica.".to_owned());
        }
        if self.is_primary() && (!self.slots().is_empty() || self.key_count() > 0) {
            return Err("ERR To set a master the node must be empty and without assigned slots.".to_owned());
        }
        self.follow(primary);
        Ok(())
    }

    fn forget(&mut self, id: &NodeId, now: Millis) -> Result<(), String> {
        if *id == self.id {
            return Err("ERR I tried hard but I can't forget myself...".to_owned());
        }
        if self.primary() == Some(id) {
            return Err("ERR Can't forget my master!".to_owned());
        }
        if self.peers.remove(id).is_some() {
            self.banned.insert(id.clone(), now + BAN);
        }
        Ok(())
    }

    fn configure(&mut self, settings: &[(String, String)]) -> Result<(), String> {
        for (name, value) in settings {
            let number = || value.parse::<u64>().map_err(|_| format!("ERR CONFIG SET failed for {name}"));
            match name.as_str() {
                "cluster-node-timeout" => self.node_timeout = number()?,
                "maxmemory" => self.maxmemory = number()?,
                _ => return Err(format!("ERR Unknown option {name}")),
            }
        }
        Ok(())
    }
}
