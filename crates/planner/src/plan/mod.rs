//! The topology plan: which step is due, and the operations that carry it out.

mod assign_slots;
mod attach_replicas;
mod await_pods;
mod balance_primaries;
mod create_workload;
mod finish_forming;
mod forget_ghosts;
mod heal_addresses;
mod label_pods;
mod meet_nodes;
mod replace_unformed_pods;
mod restart_locked_out;
mod upkeep;
mod view;

use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::v1alpha1::RetentionPolicy;

use crate::command::{RedisCommand, Target};
use crate::desired::Desired;
use crate::ids::{PodName, ShardNumber, Uid};
use crate::manifests::Manifest;
use crate::observed::{Observed, RoleLabel};

pub use view::{View, shard_numbers};

/// What to do next, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The step that is due; `settled` when none is.
    pub step: &'static str,
    /// What it is doing and why, for people.
    pub message: String,
    /// Empty when the step only waits. Operations of one node are carried out in order, and a Kubernetes operation
    /// only after all that stand before it; Redis operations of different nodes may run side by side. Nothing new is
    /// begun after the first failure.
    pub operations: Vec<Operation>,
    /// What somebody changed or deleted, put back. Each stands alone: `operations` do not wait for it to succeed.
    pub upkeep: Vec<KubeOperation>,
    /// When to look again if nothing happens before.
    pub requeue: Requeue,
    /// Something has to be settled first without which nothing about data may be decided; `message` says what.
    pub blocked: bool,
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
        /// The only `resourceVersion` of it that this may replace, where it follows from what was seen.
        version: Option<String>,
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
        /// `keyslot.dev/role`, taken away when `None`.
        role: Option<RoleLabel>,
    },
    /// Delete a pod with its ordinary grace period.
    DeletePod {
        /// The pod.
        pod: PodName,
        /// The pod that was seen.
        uid: Uid,
    },
    /// `spec.persistentVolumeClaimRetentionPolicy` of the StatefulSet.
    Retention {
        /// The StatefulSet that was seen.
        uid: Uid,
        /// The wanted one.
        policy: RetentionPolicy,
    },
    /// Sets the marker `formed` in Secret `<name>-system`.
    MarkFormed,
}

/// How the operations of a plan went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All done (or there were none).
    Done,
    /// An object that is being deleted has the name of one that is to be made; in words for people.
    Held(String),
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

/// What one step has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// These operations are due; nothing behind this step is looked at in this pass.
    Act {
        /// What and why, for people.
        message: String,
        /// At least one.
        operations: Vec<Operation>,
    },
    /// Something must happen first. Later steps may run.
    Wait(Waiting),
    /// Something must happen first, and only steps that are harmless without it may run.
    Block(Waiting),
    /// Nothing to do.
    Nothing,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// For people: who waits for what.
    pub message: String,
    /// When to look again.
    pub requeue: Requeue,
}

/// A step: a pure look at the cluster.
type Step = fn(&View<'_>) -> Verdict;

struct Entry {
    name: &'static str,
    step: Step,
    /// Whether it may run behind a `Block`: it takes no decision about data.
    always: bool,
}

/// The steps in their order. An earlier step makes true what a later one relies on:
/// - without its workload a cluster has no pods; without all pods, who is missing could be the one that owns the slots;
/// - a node that refuses the operator is restarted before anything waits for it;
/// - ghosts go before anybody is met, or gossip would spread them again; they go only when all pods were read;
/// - slots are given to fresh nodes before they are met: an epoch can be set only on a node that knows no other;
/// - a replica can be attached only to a primary that it has met;
/// - a replica can take a shard over only when it has been attached;
/// - the marker comes last: it opens the cluster to users.
const STEPS: &[Entry] = &[
    Entry { name: "create_workload", step: create_workload::step, always: true },
    Entry { name: "replace_unformed_pods", step: replace_unformed_pods::step, always: true },
    Entry { name: "restart_locked_out", step: restart_locked_out::step, always: false },
    Entry { name: "await_pods", step: await_pods::step, always: true },
    Entry { name: "forget_ghosts", step: forget_ghosts::step, always: false },
    Entry { name: "assign_slots", step: assign_slots::step, always: false },
    Entry { name: "meet_nodes", step: meet_nodes::step, always: false },
    Entry { name: "heal_addresses", step: heal_addresses::step, always: false },
    Entry { name: "attach_replicas", step: attach_replicas::step, always: false },
    Entry { name: "balance_primaries", step: balance_primaries::step, always: false },
    Entry { name: "finish_forming", step: finish_forming::step, always: false },
    Entry { name: "label_pods", step: label_pods::step, always: true },
];

/// How long a settled or waiting cluster is left alone when no watch tells of anything.
const RESYNC: Duration = Duration::from_secs(10);

/// The name of the plan of a cluster that needs nothing.
pub const SETTLED: &str = "settled";

/// The next step of the topology loop. Total: it never fails; what it can't decide it waits for.
pub fn next_step(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let view = View::new(desired, observed, now);
    Plan { upkeep: upkeep::operations(&view), ..due(&view) }
}

fn due(view: &View<'_>) -> Plan {
    let mut waiting: Option<(&'static str, Waiting)> = None;
    let mut blocked = false;
    for entry in STEPS {
        if blocked && !entry.always {
            continue;
        }
        let verdict = (entry.step)(view);
        let stops = matches!(verdict, Verdict::Block(_)) && !blocked;
        blocked |= stops;
        match verdict {
            Verdict::Act { message, operations } => {
                // What is waited for tells people more than the labels that are written meanwhile.
                let (step, message) = waiting.map_or((entry.name, message), |(name, w)| (name, w.message));
                return Plan { message, operations, ..Plan::idle(step, Requeue::Now, blocked) };
            }
            Verdict::Wait(new) | Verdict::Block(new) => {
                let new = (entry.name, new);
                waiting = Some(match waiting {
                    // What stops everything is what people need to know.
                    Some(earlier) if stops => merged(new, &earlier.1),
                    Some(earlier) => merged(earlier, &new.1),
                    None => new,
                });
            }
            Verdict::Nothing => {}
        }
    }
    match waiting {
        Some((step, w)) => Plan { message: w.message, ..Plan::idle(step, w.requeue, blocked) },
        None => Plan { message: view.summary(), ..Plan::idle(SETTLED, Requeue::After(RESYNC), blocked) },
    }
}

impl Plan {
    const fn idle(step: &'static str, requeue: Requeue, blocked: bool) -> Self {
        Self { step, message: String::new(), operations: Vec::new(), upkeep: Vec::new(), requeue, blocked }
    }
}

/// The first keeps its words; the sooner look counts.
fn merged((name, first): (&'static str, Waiting), second: &Waiting) -> (&'static str, Waiting) {
    (name, Waiting { requeue: first.requeue.sooner(second.requeue), ..first })
}

impl Requeue {
    const fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::Soon, _) | (_, Self::Soon) => Self::Soon,
            (Self::After(a), Self::After(b)) => Self::After(if a.as_nanos() < b.as_nanos() { a } else { b }),
        }
    }
}

/// Waits for something that a watch will tell of.
fn wait(message: impl Into<String>) -> Verdict {
    Verdict::Wait(Waiting { message: message.into(), requeue: Requeue::After(RESYNC) })
}

/// Waits for gossip, which nothing tells of. A cluster that is being formed is watched closely; one that serves can
/// wait.
fn wait_for_gossip(view: &View<'_>, message: impl Into<String>) -> Verdict {
    let requeue = if view.observed.formed { Requeue::After(Duration::from_secs(1)) } else { Requeue::Soon };
    Verdict::Wait(Waiting { message: message.into(), requeue })
}

/// Waits for something without which nothing may be decided.
fn block(message: impl Into<String>) -> Verdict {
    Verdict::Block(Waiting { message: message.into(), requeue: Requeue::After(RESYNC) })
}
