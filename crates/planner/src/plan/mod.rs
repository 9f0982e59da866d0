//! The topology plan: which step is due, and the operations that carry it out.

use std::time::Duration;

use crate::command::{RedisCommand, Target};
use crate::ids::{PodName, ShardNumber, Uid};
use crate::manifests::Manifest;
use crate::observed::RoleLabel;

/// What to do next, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The step that is due; `settled` when none is.
    pub step: &'static str,
    /// What it is doing and why, for people.
    pub message: String,
    /// In order; execution stops at the first failure. Empty when the step only waits.
    pub operations: Vec<Operation>,
    /// When to look again if nothing happens before.
    pub requeue: Requeue,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// At once: the operations changed something that the next step needs to see.
    Now,
    /// After a tenth of a second: gossip is on its way and nothing tells when it has arrived.
    Soon,
    /// After a while; watches tell of everything that happens before.
    After(Duration),
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// On a Kubernetes object.
    Kube(KubeOperation),
    /// On a Redis node.
    Redis {
        /// The node.
        on: Target,
        /// What to say to it.
        command: RedisCommand,
    },
}

/// An operation on a Kubernetes object. Objects are created by POST and changed only under the uid that was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum KubeOperation {
    /// POST; an object of that name that is there already is not touched.
    Create(Box<Manifest>),
    /// Server-side apply with the uid.
    Apply {
        /// The whole wanted object.
        manifest: Box<Manifest>,
        /// The object that was seen.
        uid: Uid,
    },
    /// `spec.replicas` of the StatefulSet, upwards only.
    ScaleUp {
        /// The StatefulSet that was seen.
        uid: Uid,
        /// Wanted number of pods.
        replicas: u32,
    },
    /// Labels of a pod.
    Label {
        /// The pod.
        pod: PodName,
        /// The pod that was seen.
        uid: Uid,
        /// `keyslot.dev/shard`, taken away when `None`.
        shard: Option<ShardNumber>,
        /// `keyslot.dev/role`.
        role: RoleLabel,
    },
    /// Delete a pod with its ordinary grace period.
    DeletePod {
        /// The pod.
        pod: PodName,
        /// The pod that was seen.
        uid: Uid,
    },
    /// Sets the marker `formed` in Secret `<name>-system`.
    MarkFormed,
}

/// How the operations of a plan went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All done (or there were none).
    Done,
    /// The resource is paused: nothing was tried.
    Paused,
    /// The leader's claim ended before all was done.
    NotLeader,
    /// An operation failed; the rest was not tried.
    Failed {
        /// Which operation, in words.
        operation: String,
        /// The error, in words that carry no secret.
        error: String,
    },
}

/// The next step of the topology loop. Total: it never fails; what it can't decide it waits for.
pub fn next_step(_desired: &crate::desired::Desired, _observed: &crate::observed::Observed, _now: jiff::Timestamp) -> Plan {
    Plan { step: "settled", message: String::new(), operations: Vec::new(), requeue: Requeue::After(Duration::from_secs(10)) }
}
