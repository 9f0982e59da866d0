//! What a Redis node says of itself and of the others.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::ids::{NodeId, RunId};
use crate::slots::{Slot, SlotSet};

/// Server software and its version, as `INFO server` tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engine {
    /// Which line of servers.
    pub kind: EngineKind,
    /// Its own version, e.g. `7.0.15`; for Valkey `valkey_version`, never the frozen `redis_version`.
    pub version: String,
}

/// The two lines of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Engine {
    /// Whether it is of this line, and of this version or a newer one.
    pub fn is_at_least(&self, kind: EngineKind, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.kind == kind && version >= (major, minor)
    }
}

impl EngineKind {
    /// `redis` or `valkey`, as status shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.version)
    }
}

/// What one Redis node says of itself and of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisNode {
    /// Its own id.
    pub id: NodeId,
    /// The id of this process.
    pub run_id: RunId,
    /// Software and version.
    pub engine: Engine,
    /// Primary or replica, as the node itself says.
    pub role: Role,
    /// `config_epoch` of its own line.
    pub config_epoch: u64,
    /// `cluster_current_epoch`.
    pub current_epoch: u64,
    /// `cluster_state:ok`.
    pub cluster_ok: bool,
    /// Keys in its database (`DBSIZE`).
    pub keys: u64,
    /// Libraries of functions (`number_of_libraries`), which replication carries as it does keys.
    pub libraries: u64,
    /// `used_memory` in bytes.
    pub memory_bytes: u64,
    /// `cluster-node-timeout` as it runs.
    pub node_timeout: Duration,
    /// `maxmemory` in bytes as it runs, 0 for none.
    pub maxmemory: u64,
    /// Every other node that it knows of.
    pub peers: BTreeMap<NodeId, Peer>,
}

/// Primary or replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A primary, with or without slots.
    Primary {
        /// Slots that it owns.
        slots: SlotSet,
        /// Open slots it hands over, each with the node that gets it.
        migrating: BTreeMap<Slot, NodeId>,
        /// Open slots it takes over, each with the node that gives it.
        importing: BTreeMap<Slot, NodeId>,
        /// Replication offset in bytes.
        offset: u64,
    },
    /// A replica.
    Replica {
        /// Its primary.
        of: NodeId,
        /// Replication offset in bytes.
        offset: u64,
        /// `master_link_status:up` and no sync in progress.
        link_up: bool,
        /// The address that it copies from (`master_host`), when it is one. Gossip may know the primary at another
        /// already: a link is not moved by what gossip learns.
        source: Option<IpAddr>,
    },
}

/// A node as another node sees it. Slots, role and epoch of a peer are gossip, up to seconds old; `linked` and
/// `suspected` are this observer's own opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, unless the observer lost it (`noaddr`).
    pub address: Option<PeerAddress>,
    /// The host name that it announces: `<pod>.<service>.…`.
    pub hostname: Option<String>,
    /// Whether it is a primary (`None` while neither flag is shown, in a handshake).
    pub primary: Option<bool>,
    /// The primary it replicates.
    pub replicates: Option<NodeId>,
    /// Slots that the observer believes to be its.
    pub slots: SlotSet,
    /// Its config epoch; of a replica, its primary's.
    pub config_epoch: u64,
    /// The observer's bus link to it is up.
    pub linked: bool,
    /// Flag `handshake`: its identity is not known yet, the id is a placeholder.
    pub handshake: bool,
    /// Flag `fail?` (`Suspected`) or `fail` (`Failed`).
    pub health: PeerHealth,
}

impl Peer {
    /// Whether the observer hears from it. `connected` alone proves nothing: so is a link that is being dialled to an
    /// address that swallows what is sent there, as those of pods that are gone do.
    pub fn seems_alive(&self) -> bool {
        self.linked && !self.handshake && self.health == PeerHealth::Fine
    }
}

/// What an observer thinks of a peer's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerHealth {
    /// Neither `fail?` nor `fail`.
    Fine,
    /// `fail?`: this observer alone.
    Suspected,
    /// `fail`: a majority of primaries.
    Failed,
}

/// Where a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Address.
    pub ip: IpAddr,
    /// Port of clients.
    pub port: u16,
    /// Port of the cluster bus.
    pub bus_port: u16,
}

impl RedisNode {
    /// Slots that it owns; empty for a replica.
    pub fn slots(&self) -> SlotSet {
        match &self.role {
            Role::Primary { slots, .. } => slots.clone(),
            Role::Replica { .. } => SlotSet::empty(),
        }
    }

    /// Whether it is a primary, with or without slots.
    pub fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary { .. })
    }

    /// Whether something would be lost with what it has in memory: keys, or functions.
    pub const fn holds_data(&self) -> bool {
        self.keys > 0 || self.libraries > 0
    }

    /// No slots, no data, no peers and not a replica: a node that belongs to no cluster yet.
    pub fn is_fresh(&self) -> bool {
        self.is_primary() && self.slots().is_empty() && !self.holds_data() && self.peers.is_empty()
    }

    /// All slots that it believes to be served by anybody, itself included.
    pub fn slots_known(&self) -> SlotSet {
        self.peers.values().fold(self.slots(), |all, peer| all.union(&peer.slots))
    }
}
