//! What was seen: plain data, no clients. Filled by the operator from the Kubernetes API and by `redis-admin` from the
//! nodes; read by every step. An observation is never repaired or completed by guesses: what was not read is absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use keyslot_api::v1alpha1::RedisClusterSpec;

use crate::acl::LiveUser;
use crate::ids::{HostName, NodeId, PodName, RunId, ShardNumber, Uid, ZoneName};
use crate::slots::{Slot, SlotSet};

/// One look at a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Every pod that the StatefulSet made and that still exists, terminating ones included.
    pub pods: BTreeMap<PodName, Member>,
    /// The StatefulSet as it is.
    pub stateful_set: Option<StatefulSetSeen>,
    /// ConfigMap `<name>-config` as it is.
    pub config: Option<FilesSeen>,
    /// ConfigMap or Secret `<name>-acl` as it is.
    pub acl: Option<FilesSeen>,
    /// The marker `formed` of Secret `<name>-system`: all slots were once served and users were let in.
    pub formed: bool,
    /// Ordinals of the volume claims `data-<name>-<ordinal>` that exist. They may be kept from an earlier resource.
    pub volumes: BTreeSet<u32>,
}

/// The StatefulSet, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatefulSetSeen {
    /// Its unique id.
    pub uid: Uid,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.updateRevision`: the revision that a new pod gets; `None` while the controller has not seen the present
    /// generation.
    pub update_revision: Option<String>,
    /// Annotation `keyslot.dev/in-force` of the pod template: the spec that its pods are made from.
    pub in_force: Option<RedisClusterSpec>,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// A ConfigMap or Secret that carries files for the pods.
#[derive(Clone, PartialEq, Eq)]
pub struct FilesSeen {
    /// Its unique id.
    pub uid: Uid,
    /// File name to text.
    pub files: BTreeMap<String, String>,
}

impl fmt::Debug for FilesSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesSeen").field("uid", &self.uid).field("files", &self.files.keys()).finish()
    }
}

/// A pod, and what its Redis node said.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The pod's unique id.
    pub uid: Uid,
    /// `status.podIP`.
    pub ip: Option<IpAddr>,
    /// The Kubernetes node it runs on.
    pub host: Option<HostName>,
    /// The zone of that node.
    pub zone: Option<ZoneName>,
    /// Condition `Ready` of the pod.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Label `controller-revision-hash`: the revision of the StatefulSet it was made from.
    pub revision: Option<String>,
    /// Labels `keyslot.dev/shard` and `keyslot.dev/role`.
    pub labels: MemberLabels,
    /// Why the pod does not run, in the words of Kubernetes.
    pub trouble: Option<PodTrouble>,
    /// What the Redis node in it said.
    pub redis: Result<RedisNode, Unreachable>,
}

/// The labels that the operator keeps on pods for budgets, selectors and people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberLabels {
    /// `keyslot.dev/shard`.
    pub shard: Option<ShardNumber>,
    /// `keyslot.dev/role`.
    pub role: Option<RoleLabel>,
}

/// The value of label `keyslot.dev/role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleLabel {
    /// The node is the primary of its shard.
    Primary,
    /// The node is a replica.
    Replica,
}

impl RoleLabel {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodTrouble {
    /// The scheduler found no place; its message.
    Unschedulable(String),
    /// The image can't be had; the kubelet's message.
    ImagePull(String),
    /// The container ends again and again; reason or exit code of the last end, and how often it was restarted.
    CrashLoop {
        /// Reason, exit code and message of the last end.
        last: String,
        /// Number of restarts.
        restarts: u32,
    },
    /// The container was not made (a missing mount, a bad security context): the kubelet's message.
    CannotStart(String),
}

impl fmt::Display for PodTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable(words) => write!(f, "no host can take the pod: {words}"),
            Self::ImagePull(words) => write!(f, "its image can't be had: {words}"),
            Self::CrashLoop { last, restarts } => write!(f, "its container ended {restarts} times: {last}"),
            Self::CannotStart(words) => write!(f, "its container can't be started: {words}"),
        }
    }
}

/// Why nothing is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The pod has no address yet.
    NoAddress,
    /// Nobody listens there.
    Refused,
    /// No answer within the deadline.
    TimedOut,
    /// It answers `LOADING`: it reads its data file.
    Loading,
    /// It refuses the operator's password.
    AuthenticationFailed,
    /// Anything else, in words that carry no secret.
    Other(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("the pod has no address yet"),
            Self::Refused => f.write_str("nothing listens on port 6379 yet"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Loading => f.write_str("it is loading its data file"),
            Self::AuthenticationFailed => f.write_str("it refuses the operator's password"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

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

    /// No slots, no keys, no peers and not a replica: a node that belongs to no cluster yet.
    pub fn is_fresh(&self) -> bool {
        self.is_primary() && self.slots().is_empty() && self.keys == 0 && self.peers.is_empty()
    }

    /// All slots that it believes to be served by anybody, itself included.
    pub fn slots_known(&self) -> SlotSet {
        self.peers.values().fold(self.slots(), |all, peer| all.union(&peer.slots))
    }
}

impl Observed {
    /// The nodes that answered, with their pods.
    pub fn nodes(&self) -> impl Iterator<Item = (&PodName, &Member, &RedisNode)> {
        self.pods
            .iter()
            .filter_map(|(pod, member)| member.redis.as_ref().ok().map(|node| (pod, member, node)))
    }

    /// The node with this id, when it answered.
    pub fn node(&self, id: &NodeId) -> Option<(&PodName, &Member, &RedisNode)> {
        self.nodes().find(|(_, _, node)| node.id == *id)
    }
}

/// What one node says of its users and live settings; input of [`crate::settings::settings_for`].
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSettings {
    /// The node's id.
    pub id: NodeId,
    /// Software and version.
    pub engine: Engine,
    /// Every user as the server has it (`ACL GETUSER`), scratch users excepted.
    pub users: BTreeMap<String, LiveUser>,
    /// What the server made of each wanted user's rules on a disabled scratch user: its normal form, or its words of
    /// refusal.
    pub trials: BTreeMap<String, Result<LiveUser, String>>,
    /// `CONFIG GET` of the settings that the operator keeps live.
    pub config: BTreeMap<String, String>,
}
