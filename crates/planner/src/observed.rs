//! What was seen: plain data, no clients. Filled by the operator from the Kubernetes API and by `redis-admin` from the
//! nodes; read by every step. An observation is never repaired or completed by guesses: what was not read is absent.

mod node;
mod pod;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use keyslot_api::v1alpha1::{RedisClusterSpec, RetentionPolicy};

use crate::acl::{LiveUser, PasswordHash};
use crate::ids::{NodeId, PodName, RunId, Uid};

pub use node::{Engine, EngineKind, Peer, PeerAddress, PeerHealth, RedisNode, Role};
pub use pod::{Member, MemberLabels, PodTrouble, RoleLabel, Unreachable};

/// One look at a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Every pod that the StatefulSet made and that still exists, terminating ones included.
    pub pods: BTreeMap<PodName, Member>,
    /// Pods that should have been there for a while, each with the reason why it is not among `pods`.
    pub absent: BTreeMap<PodName, String>,
    /// Pods among `pods` whose node has refused the operator for a while, for users and for topology.
    pub locked_out: BTreeSet<PodName>,
    /// The StatefulSet as it is.
    pub stateful_set: Option<StatefulSetSeen>,
    /// ConfigMap `<name>-config` as it is.
    pub config: Option<FilesSeen>,
    /// ConfigMap or Secret `<name>-acl` as it is.
    pub acl: Option<FilesSeen>,
    /// The marker `formed` of Secret `<name>-system`: all slots were once served and users were let in.
    pub formed: bool,
    /// Names of volume claims that pods would take and that somebody else made.
    pub foreign_volumes: BTreeSet<String>,
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
    /// `spec.persistentVolumeClaimRetentionPolicy`; `None` without volumes, or where Kubernetes does not know it.
    pub retention: Option<RetentionPolicy>,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// A ConfigMap or Secret that carries files for the pods.
#[derive(Clone, PartialEq, Eq)]
pub struct FilesSeen {
    /// Its unique id.
    pub uid: Uid,
    /// Its `resourceVersion`.
    pub version: String,
    /// File name to text.
    pub files: BTreeMap<String, String>,
}

impl fmt::Debug for FilesSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, version, files) = (&self.uid, &self.version, self.files.keys());
        f.debug_struct("FilesSeen")
            .field("uid", uid)
            .field("version", version)
            .field("files", &files)
            .finish()
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
    /// Made with the process.
    pub run_id: RunId,
    /// Software and version.
    pub engine: Engine,
    /// Every user as the server has it (`ACL GETUSER`), scratch users excepted.
    pub users: BTreeMap<String, LiveUser>,
    /// What the server made of each wanted user's rules on a disabled scratch user: its normal form, or its words of
    /// refusal.
    pub trials: BTreeMap<String, Result<LiveUser, String>>,
    /// `CONFIG GET` of the settings that the operator keeps live.
    pub config: BTreeMap<String, String>,
    /// Hash of `masterauth`; `None` when it is empty.
    pub replication_password: Option<PasswordHash>,
}
