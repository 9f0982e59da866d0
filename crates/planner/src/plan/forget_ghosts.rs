//! When: nodes still know an id that no pod has: a pod came back without its `nodes.conf`.
//! Does: CLUSTER FORGET on every node that knows the ghost, in one pass: within the 60 seconds for which a server bans
//! a forgotten id, so that gossip does not bring it back.
//! Why here: before anybody is met, or the ghost would spread to the newcomer.
//! Never: while a pod was not read (the ghost could be its node); a node that owns slots in anybody's view, that a
//! node replicates, or that anybody hears from.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::RedisCommand;
use crate::ids::NodeId;
use crate::observed::{Peer, Role};

use super::{Operation, Verdict, View};

pub(super) fn step(view: &View<'_>) -> Verdict {
    if !view.all_read() {
        return Verdict::Nothing;
    }
    let ghosts = ghosts(view);
    if ghosts.is_empty() {
        return Verdict::Nothing;
    }
    let mut operations: Vec<Operation> = Vec::new();
    for ghost in &ghosts {
        let knows = view.nodes.values().filter(|s| s.node.peers.contains_key(*ghost));
        operations.extend(knows.filter_map(|s| s.say(RedisCommand::Forget((*ghost).clone()))));
    }
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    let ids: Vec<String> = ghosts.iter().map(|id| format!("{id:?}")).collect();
    Verdict::Act {
        message: format!("forgetting nodes that no pod has any more: {}", ids.join(", ")),
        operations,
    }
}

fn ghosts<'a>(view: &View<'a>) -> BTreeSet<&'a NodeId> {
    let mut views_of: BTreeMap<&NodeId, Vec<&Peer>> = BTreeMap::new();
    for seen in view.nodes.values() {
        for (id, peer) in &seen.node.peers {
            if !view.nodes.contains_key(id) {
                views_of.entry(id).or_default().push(peer);
            }
        }
    }
    let followed: BTreeSet<&NodeId> = view
        .nodes
        .values()
        .filter_map(|s| match &s.node.role {
            Role::Replica { of, .. } => Some(of),
            Role::Primary { .. } => None,
        })
        .collect();
    let gone = |peer: &&Peer| !peer.seems_alive() && !peer.handshake && peer.slots.is_empty();
    views_of
        .into_iter()
        .filter(|(id, peers)| !followed.contains(id) && peers.iter().all(gone))
        .map(|(id, _)| id)
        .collect()
}
