//! When: the marker `formed` is absent and all 16384 slots have an owner.
//! Does: waits until every node agrees, puts the wanted node-timeout back on all nodes, reads it back in the next
//! pass, and only then sets the marker, which lets users in.
//! Why here: it is what all steps above work for.
//! Never: sets the marker while a primary has not heard of a replica, for its start guard asks those that it knows; or
//! while a node still runs with the short node-timeout: with users' data in it, a stall of half
//! a second would be a failover.

use crate::observed::Role;
use crate::slots::SLOT_COUNT;
use crate::words::counted;

use super::assign_slots::node_timeout;
use super::view::Seen;
use super::{KubeOperation, Operation, Verdict, View, wait_for_gossip};

pub(super) fn step(view: &View<'_>) -> Verdict {
    if view.observed.formed || !view.owned().is_all() {
        return Verdict::Nothing;
    }
    if let Some(message) = disagreement(view) {
        return wait_for_gossip(view, message);
    }
    let wanted = view.desired.node_timeout;
    let hasty = view.nodes.values().filter(|s| s.node.node_timeout != wanted);
    let operations: Vec<Operation> = hasty.filter_map(|s| s.say(node_timeout(wanted))).collect();
    if operations.is_empty() {
        return Verdict::Act {
            message: "all slots are served: opening the cluster to its users".to_owned(),
            operations: vec![Operation::Kube(KubeOperation::MarkFormed)],
        };
    }
    Verdict::Act { message: format!("all nodes agree: node-timeout {} ms", wanted.as_millis()), operations }
}

/// Whether the node knows the config epoch of every owner of slots. A replica that does not can't be elected when its
/// primary dies: those who know refuse their votes, again and again (`clusterSendFailoverAuthIfNeeded`).
fn knows_all_epochs(view: &View<'_>, seen: &Seen<'_>) -> bool {
    let known = |owner: &Seen<'_>| {
        let peer = seen.node.peers.get(&owner.node.id);
        owner.node.id == seen.node.id || peer.is_some_and(|peer| peer.config_epoch == owner.node.config_epoch)
    };
    view.owners().iter().all(known)
}

/// Whether a replica is one also in the view of its primary, if that answered.
fn is_known_to_its_primary(view: &View<'_>, seen: &Seen<'_>) -> bool {
    let Role::Replica { of, .. } = &seen.node.role else { return true };
    let primary = view.nodes.get(of);
    primary.is_none_or(|primary| {
        primary.node.peers.get(&seen.node.id).is_some_and(|peer| peer.replicates.as_ref() == Some(of))
    })
}

/// What the nodes do not agree on yet.
fn disagreement(view: &View<'_>) -> Option<String> {
    if let Some((pod, _)) = view.observed.pods.iter().find(|(_, member)| member.terminating) {
        return Some(format!("pod {pod} is going away"));
    }
    let total = view.nodes.len();
    let acquainted = view.nodes.values().filter(|s| {
        s.node.peers.values().all(|peer| !peer.handshake)
            && view.nodes.keys().filter(|id| **id != &s.node.id).all(|id| s.node.peers.contains_key(*id))
    });
    let acquainted = acquainted.count();
    if acquainted < total {
        return Some(format!("{acquainted} of {total} nodes know all others"));
    }
    let agreeing = view.nodes.values().filter(|s| {
        s.node.cluster_ok
            && s.node.slots_known().len() == usize::from(SLOT_COUNT)
            && knows_all_epochs(view, s)
    });
    let agreeing = agreeing.count();
    if agreeing < total {
        return Some(format!("{agreeing} of {total} nodes say that the cluster is ok and who owns what"));
    }
    let unheard = view.nodes.values().filter(|s| !is_known_to_its_primary(view, s)).count();
    if unheard > 0 {
        return Some(format!("{} yet to be known to its primary", counted(unheard, "replica")));
    }
    // A cluster that is taken over with data serves at once; its replicas may need long for their sync.
    let replicas = view.nodes.values().filter_map(|s| match s.node.role {
        Role::Replica { link_up, .. } => Some(link_up),
        Role::Primary { .. } => None,
    });
    let (linked, all) = replicas.fold((0, 0), |(up, all), link| (up + usize::from(link), all + 1));
    (linked < all && !view.holds_data())
        .then(|| format!("{linked} of {all} replicas are linked to their primaries"))
}
