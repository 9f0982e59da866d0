//! Roles, slots and config epochs: the higher epoch owns the slot, and who loses one with keys deletes them.

use std::net::IpAddr;

use keyslot_planner::ids::NodeId;
use keyslot_planner::slots::SlotSet;

use super::node::{Node, NodeRole};
use super::packet::{Body, Header};

impl Node {
    pub(super) fn learn_role(&mut self, header: &Header) {
        let Some(peer) = self.peers.get_mut(&header.id) else { return };
        if header.of.is_some() && peer.primary {
            peer.slots = SlotSet::empty();
        }
        peer.primary = header.of.is_none();
        peer.of.clone_from(&header.of);
        if header.of.is_none() {
            peer.config_epoch = peer.config_epoch.max(header.config_epoch);
        }
    }

    /// What a header says about slots: taken over when its epoch is higher, corrected when it is lower.
    pub(super) fn learn_claims(&mut self, header: &Header, from: IpAddr) {
        if header.of.is_none() {
            self.claimed(&header.id, header.config_epoch, &header.slots);
        }
        let better = self.owners().into_iter().find(|(id, epoch, slots)| {
            let other = *id != header.id && Some(id) != header.of.as_ref();
            other && *epoch > header.config_epoch && !slots.intersection(&header.slots).is_empty()
        });
        if let Some((id, epoch, slots)) = better {
            self.send(from, Body::Update(id, epoch, slots));
        }
        // Two primaries with one epoch: the one with the smaller id takes a new one.
        let twins = self.is_primary() && header.of.is_none() && header.config_epoch == self.config_epoch;
        if twins && header.id > self.id {
            self.current_epoch += 1;
            self.config_epoch = self.current_epoch;
        }
    }

    /// `(id, epoch, slots)` of every owner in this node's eyes, itself included.
    fn owners(&self) -> Vec<(NodeId, u64, SlotSet)> {
        let own = std::iter::once((self.id.clone(), self.config_epoch, self.slots()));
        let others = self.peers.iter().map(|(id, peer)| (id.clone(), peer.config_epoch, peer.slots.clone()));
        own.chain(others).filter(|(_, _, slots)| !slots.is_empty()).collect()
    }

    /// An UPDATE: somebody knows a better owner.
    pub(super) fn corrected(&mut self, id: &NodeId, epoch: u64, slots: &SlotSet) {
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.config_epoch < epoch) else { return };
        (peer.primary, peer.of, peer.config_epoch) = (true, None, epoch);
        self.claimed(id, epoch, slots);
    }

    /// `clusterUpdateSlotsConfigWith`, with `cluster-allow-replica-migration no`.
    fn claimed(&mut self, sender: &NodeId, epoch: u64, slots: &SlotSet) {
        let known = self.peers.get(sender).map(|peer| peer.slots.clone()).unwrap_or_default();
        if known == *slots {
            return;
        }
        let my_shard = self.primary().cloned().unwrap_or_else(|| self.id.clone());
        let mut gained = slots.difference(&known);
        let mut from_my_shard = SlotSet::empty();
        for (owner, owner_epoch, owned) in self.owners() {
            let disputed = owned.intersection(&gained);
            if owner == *sender || disputed.is_empty() {
                continue;
            }
            if owner_epoch >= epoch {
                gained = gained.difference(&disputed);
                continue;
            }
            if owner == my_shard {
                from_my_shard = disputed.clone();
            }
            self.lose(&owner, &disputed);
        }
        if let Some(peer) = self.peers.get_mut(sender) {
            peer.slots = known.union(&gained);
        }
        let left = if my_shard == self.id {
            self.slots()
        } else {
            self.peers.get(&my_shard).map(|peer| peer.slots.clone()).unwrap_or_default()
        };
        if from_my_shard.is_empty() {
            return;
        }
        if left.is_empty() && from_my_shard.len() == slots.len() {
            self.follow(sender);
        } else if my_shard == self.id {
            self.keys.retain(|slot, _| !from_my_shard.contains(*slot));
        }
    }

    fn lose(&mut self, owner: &NodeId, lost: &SlotSet) {
        if *owner == self.id {
            if let NodeRole::Primary { slots } = &mut self.role {
                *slots = slots.difference(lost);
            }
        } else if let Some(peer) = self.peers.get_mut(owner) {
            peer.slots = peer.slots.difference(lost);
        }
    }
}
