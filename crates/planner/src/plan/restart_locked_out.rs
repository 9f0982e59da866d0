//! When: nodes of a formed cluster have refused the operator for a while: somebody with the right to `acl` took its user, its
//! password or its rights away there.
//! Does: deletes the pod of one of them, whose server then starts from `users.acl`, which still has the user. Replicas come
//! first; a primary follows when a replica of it answers and is in sync, for the servers elect that one meanwhile.
//! Why here: before the wait for pods, whose words it replaces. Nothing below can do anything for such a node.
//! Never: two at a time; while another pod is away, not ready or empty; without volumes, a replica whose primary could not give
//! it its copy again; a primary without a replica in sync, or where fewer than three primaries elect; while the file does
//! not let the operator in either.

use std::collections::BTreeSet;

use crate::config::USERS_FILE;
use crate::ids::{NodeId, PodName};
use crate::observed::{Member, Peer, Role, RoleLabel};
use crate::system_users::OPERATOR;

use super::view::Seen;
use super::{KubeOperation, Operation, Verdict, View, wait};

/// With one or two primaries no majority is left to elect when one of them goes (Redis Cluster specification).
const LEAST_VOTERS: usize = 3;

pub(super) fn step(view: &View<'_>) -> Verdict {
    let locked_out = &view.observed.locked_out;
    if locked_out.is_empty() || !view.observed.formed || !file_lets_in(view) || !others_are_well(view) {
        return Verdict::Nothing;
    }
    let members = view.observed.pods.iter().filter(|(pod, _)| locked_out.contains(*pod));
    let first = members
        .filter_map(|(pod, member)| Some((turn(view, pod, member)?, pod, member)))
        .min_by_key(|(turn, pod, _)| (*turn, *pod));
    let Some((_, pod, member)) = first else {
        let pods: Vec<&str> = locked_out.iter().map(PodName::as_str).collect();
        return wait(format!(
            "{}: refusing the operator, and a restart might lose data or nobody could take over; a person has to decide (see \
             SECURITY.md)",
            pods.join(", ")
        ));
    };
    Verdict::Act {
        message: format!(
            "restarting {pod}, which lets the operator not look at its users: its users.acl does"
        ),
        operations: vec![Operation::Kube(KubeOperation::DeletePod {
            pod: pod.clone(),
            uid: member.uid.clone(),
        })],
    }
}

/// Whose turn it is: replicas first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Replica,
    PrimaryWithCopy,
}

/// `None` when the pod must not be restarted, as far as is known.
fn turn(view: &View<'_>, pod: &PodName, member: &Member) -> Option<Turn> {
    let keeps_data = view.desired.in_force.storage.is_some();
    if view.nodes.is_empty() {
        // Nobody else tells, but all are ready: a wrong label would be that of a primary with a replica in sync.
        let is_replica = member.labels.role == Some(RoleLabel::Replica);
        return (is_replica && keeps_data).then_some(Turn::Replica);
    }
    match place(view, pod, member)? {
        // Without volumes it comes back empty, and only a primary that answers gets its copy back.
        Place::ReplicaOf(primary) => {
            (keeps_data || view.nodes.contains_key(primary)).then_some(Turn::Replica)
        }
        Place::Primary(id) => {
            let is_in_sync = |role: &Role| matches!(role, Role::Replica { link_up: true, .. });
            let has_copy = view.replicas_of(id).iter().any(|copy| is_in_sync(&copy.node.role));
            (has_copy && voters(view) >= LEAST_VOTERS).then_some(Turn::PrimaryWithCopy)
        }
    }
}

/// What a node is to its shard.
enum Place<'a> {
    ReplicaOf(&'a NodeId),
    Primary(&'a NodeId),
}

/// As it says itself, or as every node that answers sees it.
fn place<'a>(view: &View<'a>, pod: &PodName, member: &Member) -> Option<Place<'a>> {
    let itself = view.nodes.values().find(|seen| seen.pod == pod);
    if let Some(seen) = itself {
        return Some(match &seen.node.role {
            Role::Replica { of, .. } => Place::ReplicaOf(of),
            Role::Primary { .. } => Place::Primary(&seen.node.id),
        });
    }
    let seen = as_seen_by_others(view, pod, member);
    let (id, first) = *seen.first()?;
    let agree = |(other, peer): &(&NodeId, &Peer)| {
        *other == id && peer.primary == first.primary && peer.replicates == first.replicates
    };
    if !seen.iter().all(agree) {
        return None;
    }
    match (&first.replicates, first.primary) {
        (Some(primary), Some(false)) if seen.iter().all(|(_, peer)| peer.slots.is_empty()) => {
            Some(Place::ReplicaOf(primary))
        }
        (None, Some(true)) => Some(Place::Primary(id)),
        _ => None,
    }
}

/// Primaries that elect: those that own slots, as anybody sees them.
fn voters(view: &View<'_>) -> usize {
    let own = view.nodes.values().filter(|seen| !seen.node.slots().is_empty()).map(|seen| &seen.node.id);
    let peers = view.nodes.values().flat_map(|seen| &seen.node.peers);
    let others = peers.filter(|(_, peer)| !peer.slots.is_empty()).map(|(id, _)| id);
    own.chain(others).collect::<BTreeSet<_>>().len()
}

/// The pod's node, in the view of every node that answers.
fn as_seen_by_others<'a>(view: &View<'a>, pod: &PodName, member: &Member) -> Vec<(&'a NodeId, &'a Peer)> {
    let prefix = format!("{pod}.");
    let is_it = |peer: &Peer| match &peer.hostname {
        Some(hostname) => hostname.starts_with(&prefix),
        None => peer.address.as_ref().is_some_and(|address| Some(address.ip) == member.ip),
    };
    let peers = view.nodes.values().flat_map(|seen| &seen.node.peers);
    peers.filter(|(id, peer)| is_it(peer) && !peer.handshake && !view.nodes.contains_key(*id)).collect()
}

/// Every other pod answers, every pod is ready (which a replica without its link is not), none goes, and none is an empty
/// newcomer: a restart takes one copy away at most.
fn others_are_well(view: &View<'_>) -> bool {
    let is_refusing = |pod: &PodName| view.observed.locked_out.contains(pod);
    let is_well = |seen: &Seen<'_>| match &seen.node.role {
        Role::Replica { link_up, .. } => *link_up,
        Role::Primary { slots, .. } => !slots.is_empty(),
    };
    view.unread().iter().all(|(pod, _)| is_refusing(pod))
        && view.observed.pods.values().all(|member| member.ready && !member.terminating)
        && view.nodes.values().all(is_well)
}

/// Whether a server that starts from the file lets the operator in, with all that it has to ask.
fn file_lets_in(view: &View<'_>) -> bool {
    let text = view.observed.acl.as_ref().and_then(|file| file.files.get(USERS_FILE));
    let wanted = view.desired.system_users.get(OPERATOR).filter(|rules| !rules.passwords.is_empty());
    text.zip(wanted).is_some_and(|(text, rules)| {
        let line = rules.file_line(OPERATOR);
        text.lines().any(|present| present == line)
    })
}
