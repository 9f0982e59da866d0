//! When: a pod that the StatefulSet makes was not read.
//! Does: waits. While the cluster is forming nothing else may be decided: the node that is missing could be the one
//! that owns the slots. Later the rest of the cluster is looked after meanwhile.
//! Why here: every step below counts on knowing who is there.
//! Never: gives up on a pod.

use std::collections::BTreeMap;

use crate::ids::{NodeId, PodName};

use super::{Verdict, View, block, wait};

/// How many pods a message names.
const NAMED: usize = 3;

pub(super) fn step(view: &View<'_>) -> Verdict {
    if let Some(message) = twins(view) {
        return block(message);
    }
    let unread = view.unread();
    if unread.is_empty() {
        return Verdict::Nothing;
    }
    let expected = view.expected_pods().len();
    let named: Vec<String> = unread.iter().take(NAMED).map(|(pod, why)| format!("{pod}: {why}")).collect();
    let more =
        if unread.len() > NAMED { format!("; and {} more", unread.len() - NAMED) } else { String::new() };
    let answering = expected - unread.len();
    let message = format!("{answering} of {expected} nodes answer; {}{more}", named.join("; "));
    if view.observed.formed { wait(message) } else { block(message) }
}

/// Two pods with one node id are two processes on copies of one volume: Redis itself does not notice (7.2 and later
/// start a second process on a locked `nodes.conf`).
fn twins(view: &View<'_>) -> Option<String> {
    let mut pods: BTreeMap<&NodeId, &PodName> = BTreeMap::new();
    for (pod, _, node) in view.observed.nodes() {
        if let Some(other) = pods.insert(&node.id, pod) {
            return Some(format!(
                "pods {other} and {pod} run with the same node id {}: one of their volumes is a copy; delete the pod \
                 and volume that does not belong here",
                node.id
            ));
        }
    }
    None
}
