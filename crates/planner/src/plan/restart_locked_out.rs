//! When: nodes of a formed cluster have refused the operator for a while: somebody with the right to `acl` took its user, its
//! password or its rights away there.
//! Does: deletes the pod of one of them, whose server then starts from `users.acl`, which still has the user. Replicas come
//! first; a primary follows when a replica of it answers and is in sync, for the servers elect that one meanwhile.
//! Why here: before the wait for pods, whose words it replaces. Nothing below can do anything for such a node.
//! Never: two at a time; while another pod is away or a replica is behind; a primary without such a replica; while the file
//! does not let the operator in either.

use std::collections::BTreeSet;

use crate::acl::PasswordHash;
use crate::config::USERS_FILE;
use crate::ids::{NodeId, PodName};
use crate::observed::{Member, Peer, Role, RoleLabel};
use crate::system_users::OPERATOR;

use super::{KubeOperation, Operation, Verdict, View, wait};

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
            "nobody could take over from {}: no replica of it answers and is in sync; restart a pod that refuses the \
             operator's password by hand when you can (see SECURITY.md)",
            pods.join(", ")
        ));
    };
    Verdict::Act {
        message: format!("restarting {pod}, which refuses the operator's password: its users.acl has it"),
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
    if view.nodes.is_empty() {
        // Nobody else tells. Of a wrong label, a replica that is elected is the worst that comes.
        return (member.labels.role == Some(RoleLabel::Replica)).then_some(Turn::Replica);
    }
    let seen = as_seen_by_others(view, pod, member);
    let ids: BTreeSet<&NodeId> = seen.iter().map(|(id, _)| *id).collect();
    if ids.len() != 1 {
        return None;
    }
    if seen.iter().all(|(_, peer)| peer.primary == Some(false) && peer.slots.is_empty()) {
        return Some(Turn::Replica);
    }
    let is_in_sync = |role: &Role| matches!(role, Role::Replica { link_up: true, .. });
    let mut copies = ids.into_iter().flat_map(|id| view.replicas_of(id));
    copies.any(|copy| is_in_sync(&copy.node.role)).then_some(Turn::PrimaryWithCopy)
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

/// Every other pod answers, none goes, and every replica that answers has its link: a restart takes one copy away at most.
fn others_are_well(view: &View<'_>) -> bool {
    let is_refusing = |pod: &PodName| view.observed.locked_out.contains(pod);
    let all_there = view.unread().iter().all(|(pod, _)| is_refusing(pod));
    let in_sync = |role: &Role| !matches!(role, Role::Replica { link_up: false, .. });
    all_there
        && view.observed.pods.values().all(|member| !member.terminating)
        && view.nodes.values().all(|seen| in_sync(&seen.node.role))
}

/// Whether a server that starts from the file lets the operator in.
fn file_lets_in(view: &View<'_>) -> bool {
    let text = view.observed.acl.as_ref().and_then(|file| file.files.get(USERS_FILE));
    let Some((text, password)) = text.zip(view.desired.system.passwords.operator.as_ref()) else {
        return false;
    };
    let password = format!("#{}", PasswordHash::of(password).as_str());
    let own = format!("user {OPERATOR} ");
    text.lines().any(|line| line.starts_with(&own) && line.split(' ').any(|word| word == password))
}
