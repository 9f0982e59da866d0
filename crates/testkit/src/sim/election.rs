//! Who is failing, whether the cluster serves, and how a replica takes over.

use std::net::IpAddr;

use keyslot_planner::ids::NodeId;
use keyslot_planner::slots::SlotSet;

use super::node::{Millis, Node, NodeRole};
use super::packet::{Body, Header};
use super::random::Random;

/// A primary does not serve before this time after its start.
const WRITABLE_DELAY: Millis = 2000;
/// `cluster-replica-validity-factor` times the node-timeout, and `repl-ping-replica-period` on top.
const VALIDITY_FACTOR: Millis = 10;
const REPLICA_PING: Millis = 10_000;

/// A replica's attempt to take over.
#[derive(Clone, Debug, Default)]
pub struct Election {
    /// When it begins.
    at: Option<Millis>,
    /// The epoch that it asks votes for, once it has asked.
    epoch: Option<u64>,
    votes: usize,
}

impl Node {
    /// Marks who did not answer in time as `fail?`, and as `fail` when a majority of primaries agrees.
    pub(super) fn judge_peers(&mut self, now: Millis) {
        let timeout = self.node_timeout;
        for peer in self.peers.values_mut() {
            peer.suspected |= peer.ip.is_some() && peer.ping_sent.is_some_and(|sent| now - sent > timeout);
            peer.reports.retain(|_, at| now - *at <= 2 * timeout);
        }
        let own = usize::from(self.is_voter(&self.id));
        let (quorum, suspects) = (self.quorum(), self.peers.iter());
        let condemned: Vec<NodeId> = suspects
            .filter(|(_, peer)| peer.suspected && peer.failed.is_none())
            .filter(|(_, peer)| own + peer.reports.keys().filter(|id| self.is_voter(id)).count() >= quorum)
            .map(|(id, _)| id.clone())
            .collect();
        for id in condemned {
            self.mark_failed(&id, now);
            self.broadcast(&Body::Fail(id));
        }
    }

    pub(super) fn mark_failed(&mut self, id: &NodeId, now: Millis) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.failed = peer.failed.or(Some(now));
        }
    }

    /// `cluster_state`, with `cluster-require-full-coverage no`.
    pub(super) fn update_state(&mut self, now: Millis) {
        let up = |id: &&NodeId| {
            let peer = &self.peers[*id];
            self.is_voter(id) && !peer.suspected && peer.failed.is_none()
        };
        let reachable = usize::from(self.is_voter(&self.id)) + self.peers.keys().filter(up).count();
        if reachable < self.quorum() {
            self.in_minority = now;
            self.cluster_ok = false;
            return;
        }
        let rejoin = self.node_timeout.clamp(500, 5000);
        let patience =
            self.is_primary() && (now - self.in_minority < rejoin || now - self.started < WRITABLE_DELAY);
        self.cluster_ok |= !patience;
    }

    /// A replica of a failed primary with slots asks for votes.
    pub(super) fn stand_for_election(&mut self, now: Millis, random: &mut Random) {
        let NodeRole::Replica { of, link } = &self.role else { return };
        let Some(primary) = self.peers.get(of).filter(|p| p.failed.is_some() && !p.slots.is_empty()) else {
            return;
        };
        let oldest = VALIDITY_FACTOR * self.node_timeout + REPLICA_PING;
        // A link that was never up in this process counts as down since ever.
        if link.down_since.is_none_or(|since| now - since > oldest) {
            return;
        }
        let (of, slots) = (of.clone(), primary.slots.clone());
        let patience = (2 * self.node_timeout).max(2000);
        match self.election.at {
            Some(at) if now <= at + 2 * patience => {
                if self.election.epoch.is_none() && now >= at {
                    self.current_epoch += 1;
                    self.election.epoch = Some(self.current_epoch);
                    self.broadcast(&Body::VoteRequest);
                }
                if self.election.votes >= self.quorum() && now <= at + patience {
                    self.take_over(&of, slots);
                }
            }
            _ => {
                self.election =
                    Election { at: Some(now + 500 + random.between(0, 500)), epoch: None, votes: 0 }
            }
        }
    }

    fn take_over(&mut self, of: &NodeId, slots: SlotSet) {
        self.config_epoch = self.election.epoch.unwrap_or(self.current_epoch);
        self.role = NodeRole::Primary { slots };
        self.election = Election::default();
        if let Some(old) = self.peers.get_mut(of) {
            old.slots = SlotSet::empty();
        }
        self.broadcast(&Body::Pong(Vec::new(), None));
    }

    /// `CLUSTER FAILOVER TAKEOVER`: an epoch above all others, without a vote.
    pub(super) fn take_over_unasked(&mut self) -> Result<(), String> {
        let NodeRole::Replica { of, .. } = &self.role else { return Ok(()) };
        let of = of.clone();
        let Some(primary) = self.peers.get(&of) else {
            return Err("ERR I'm a replica but my master is unknown to me".to_owned());
        };
        let slots = primary.slots.clone();
        let known = self.peers.values().map(|peer| peer.config_epoch);
        self.current_epoch = 1 + known.chain([self.current_epoch]).max().unwrap_or(0);
        self.election.epoch = Some(self.current_epoch);
        self.take_over(&of, slots);
        Ok(())
    }

    pub(super) fn vote(&mut self, candidate: &Header, from: IpAddr, now: Millis) {
        let Some(primary) = &candidate.of else { return };
        let dead = self.peers.get(primary).is_some_and(|peer| peer.failed.is_some());
        let stale = self.peers.iter().any(|(id, peer)| {
            let disputed = !peer.slots.intersection(&candidate.slots).is_empty();
            id != primary && disputed && peer.config_epoch > candidate.config_epoch
        });
        let recently = self.voted.get(primary).is_some_and(|at| now - at < 2 * self.node_timeout);
        let known = self.peers.contains_key(&candidate.id);
        let epoch = candidate.current_epoch;
        if !known || !self.is_voter(&self.id) || !dead || stale || recently || epoch < self.current_epoch {
            return;
        }
        if self.last_vote_epoch < epoch {
            self.last_vote_epoch = epoch;
            self.voted.insert(primary.clone(), now);
            self.send(from, Body::Vote(epoch));
        }
    }

    pub(super) fn count_vote(&mut self, voter: &Header, epoch: u64) {
        if self.is_voter(&voter.id) && self.election.epoch == Some(epoch) {
            self.election.votes += 1;
        }
    }
}
