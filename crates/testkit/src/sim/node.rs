//! One server process: what `nodes.conf`, the data file and the process's memory hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keyslot_planner::ids::{NodeId, RunId};
use keyslot_planner::slots::{Slot, SlotSet};

use super::election::Election;
use super::packet::Packet;
use super::random::Random;

/// Simulated time in milliseconds.
pub type Millis = u64;

/// Keys by slot; a key is a number that the whole world writes only once, so that its loss can be proven.
pub type Keys = BTreeMap<Slot, BTreeSet<u32>>;

/// A server.
#[derive(Clone, Debug)]
pub struct Node {
    /// Made with `nodes.conf`.
    pub id: NodeId,
    /// Made with the process.
    pub run_id: RunId,
    /// Its pod's address.
    pub ip: IpAddr,
    /// What it announces.
    pub hostname: String,
    /// When the process started.
    pub started: Millis,
    /// What it is.
    pub role: NodeRole,
    /// `configEpoch` of itself.
    pub config_epoch: u64,
    /// `currentEpoch`.
    pub current_epoch: u64,
    /// `lastVoteEpoch`.
    pub last_vote_epoch: u64,
    /// Its database.
    pub keys: Keys,
    /// Replication offset.
    pub offset: u64,
    /// `cluster-node-timeout` as it runs; `CONFIG SET` does not outlive the process.
    pub node_timeout: Millis,
    /// `maxmemory` as it runs.
    pub maxmemory: u64,
    /// The others, as it sees them.
    pub peers: BTreeMap<NodeId, PeerView>,
    /// Addresses that it tries to get to know.
    pub handshakes: BTreeMap<IpAddr, Handshake>,
    /// Ids that it was told to forget, until when.
    pub banned: BTreeMap<NodeId, Millis>,
    /// `cluster_state:ok`.
    pub cluster_ok: bool,
    /// Last moment at which it saw a minority of primaries only.
    pub(super) in_minority: Millis,
    /// When it voted for a replica of which primary.
    pub(super) voted: BTreeMap<NodeId, Millis>,
    pub(super) election: Election,
    pub(super) next_cron: Millis,
    pub(super) next_random_ping: Millis,
    pub(super) outbox: Vec<Packet>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeRole {
    /// A primary, with or without slots.
    Primary {
        /// Slots that it believes to own.
        slots: SlotSet,
    },
    /// A replica.
    Replica {
        /// Its primary.
        of: NodeId,
        /// Where it copies from.
        link: Link,
    },
}

/// A replica's connection to its primary: to an address, never to an identity. Whoever answers there is copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The address.
    pub target: Option<IpAddr>,
    /// How far it is.
    pub state: LinkState,
    /// Since when it is down; `None` while up, and for ever when it was never up in this process.
    pub down_since: Option<Millis>,
}

/// How far a replica's connection is.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkState {
    /// Not connected.
    Down,
    /// A full sync from the process with this run id is under way.
    Syncing {
        /// When it ends.
        until: Millis,
        /// Whom it copies.
        from: RunId,
    },
    /// Follows the process with this run id.
    Up {
        /// Whom it copies.
        from: RunId,
    },
}

/// Another node in one node's eyes.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// `None` is `noaddr`.
    pub ip: Option<IpAddr>,
    /// Announced host name.
    pub hostname: String,
    /// Primary or replica.
    pub primary: bool,
    /// Whose replica.
    pub of: Option<NodeId>,
    /// Slots that this observer believes to be its.
    pub slots: SlotSet,
    /// Its config epoch.
    pub config_epoch: u64,
    /// Since when a ping waits for its answer.
    pub ping_sent: Option<Millis>,
    /// Last attempt.
    pub last_try: Millis,
    /// Last answer; 0 for never.
    pub last_pong: Millis,
    /// `fail?`.
    pub suspected: bool,
    /// `fail`, since when.
    pub failed: Option<Millis>,
    /// Primaries that reported it as failing.
    pub reports: BTreeMap<NodeId, Millis>,
    /// Somebody answers the bus at its address.
    pub linked: bool,
}

/// An address on which the node tries a handshake.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// What `CLUSTER NODES` shows meanwhile.
    pub placeholder: NodeId,
    /// When it is given up.
    pub until: Millis,
    /// Whether the other side is asked to make our acquaintance too.
    pub meet: bool,
}

impl Node {
    /// A server that starts on an empty volume.
    pub fn fresh(
        ip: IpAddr,
        hostname: String,
        node_timeout: Millis,
        now: Millis,
        random: &mut Random,
    ) -> Self {
        Self {
            id: node_id(random),
            run_id: RunId::new(random.hex()),
            ip,
            hostname,
            started: now,
            role: NodeRole::Primary { slots: SlotSet::empty() },
            config_epoch: 0,
            current_epoch: 0,
            last_vote_epoch: 0,
            keys: Keys::new(),
            offset: 0,
            node_timeout,
            maxmemory: 0,
            peers: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            banned: BTreeMap::new(),
            cluster_ok: false,
            in_minority: now,
            voted: BTreeMap::new(),
            election: Election::default(),
            next_cron: now,
            next_random_ping: now,
            outbox: Vec::new(),
        }
    }

    /// The same `nodes.conf` in a new process. The data is the caller's business; settings come from the file again.
    #[must_use]
    pub fn restarted(&self, ip: IpAddr, node_timeout: Millis, now: Millis, random: &mut Random) -> Self {
        let mut node = Self::fresh(ip, self.hostname.clone(), node_timeout, now, random);
        node.id = self.id.clone();
        node.keys.clone_from(&self.keys);
        node.offset = self.offset;
        node.config_epoch = self.config_epoch;
        node.current_epoch = self.current_epoch;
        node.last_vote_epoch = self.last_vote_epoch;
        node.peers.clone_from(&self.peers);
        for peer in node.peers.values_mut() {
            peer.reports.clear();
            (peer.ping_sent, peer.last_try, peer.last_pong, peer.linked) = (None, 0, 0, false);
        }
        node.role = match &self.role {
            NodeRole::Primary { slots } => NodeRole::Primary { slots: slots.clone() },
            NodeRole::Replica { of, .. } => {
                NodeRole::Replica { of: of.clone(), link: Link::to(self.peers.get(of).and_then(|p| p.ip)) }
            }
        };
        node
    }

    /// Slots that it owns itself.
    pub fn slots(&self) -> SlotSet {
        match &self.role {
            NodeRole::Primary { slots } => slots.clone(),
            NodeRole::Replica { .. } => SlotSet::empty(),
        }
    }

    /// Whether it is a primary, with or without slots.
    pub const fn is_primary(&self) -> bool {
        matches!(self.role, NodeRole::Primary { .. })
    }

    /// Its primary, when it is a replica.
    pub const fn primary(&self) -> Option<&NodeId> {
        match &self.role {
            NodeRole::Primary { .. } => None,
            NodeRole::Replica { of, .. } => Some(of),
        }
    }

    /// `DBSIZE`.
    pub fn key_count(&self) -> usize {
        self.keys.values().map(BTreeSet::len).sum()
    }

    /// Becomes a replica of a node that it knows.
    pub(super) fn follow(&mut self, primary: &NodeId) {
        let target = self.peers.get(primary).and_then(|peer| peer.ip);
        self.role = NodeRole::Replica { of: primary.clone(), link: Link::to(target) };
        self.election = Election::default();
    }

    /// Who votes: primaries with slots, in this node's eyes, itself included.
    pub(super) fn is_voter(&self, id: &NodeId) -> bool {
        if *id == self.id {
            return !self.slots().is_empty();
        }
        self.peers.get(id).is_some_and(|peer| peer.primary && !peer.slots.is_empty())
    }

    /// The least number of votes that is a majority.
    pub(super) fn quorum(&self) -> usize {
        let others = self.peers.keys().filter(|id| self.is_voter(id));
        let voters = usize::from(self.is_voter(&self.id)) + others.count();
        voters / 2 + 1
    }
}

impl Link {
    /// A connection that is yet to be made.
    pub const fn to(target: Option<IpAddr>) -> Self {
        Self { target, state: LinkState::Down, down_since: None }
    }
}

impl PeerView {
    /// A node that was just got to know.
    pub const fn at(ip: IpAddr, hostname: String) -> Self {
        Self {
            ip: Some(ip),
            hostname,
            primary: true,
            of: None,
            slots: SlotSet::empty(),
            config_epoch: 0,
            ping_sent: None,
            last_try: 0,
            last_pong: 0,
            suspected: false,
            failed: None,
            reports: BTreeMap::new(),
            linked: true,
        }
    }
}

/// A random id.
pub(super) fn node_id(random: &mut Random) -> NodeId {
    random.hex().parse().expect("forty hexadecimal characters are a node id")
}
