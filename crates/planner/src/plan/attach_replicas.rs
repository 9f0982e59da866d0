//! When: a shard lacks replicas and there are nodes without a role, or, while nothing has data, replicas to spare.
//! Does: CLUSTER REPLICATE with an explicit primary, so that no shard has two copies on one host or zone.
//! Why here: a node accepts a primary only when it has met it.
//! Never: a node with slots or keys; while a pod that could come back as the missing replica was not read.

use std::collections::BTreeMap;

use crate::command::RedisCommand;
use crate::ids::PodName;
use crate::topology::{Place, ShardNeed, place_replicas};
use crate::words::counted;

use super::view::Seen;
use super::{Verdict, View, wait, wait_for_gossip};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let owners = view.owners();
    let needs: Vec<ShardNeed> = owners.iter().map(|primary| need(view, primary)).collect();
    let mut spares = view.spares();
    spares.extend(surplus(view, &owners));
    let lacking: usize = needs.iter().map(|need| need.lacking).sum();
    if lacking == 0 || spares.is_empty() || !view.owned().is_all() {
        return Verdict::Nothing;
    }
    if !view.all_read() {
        return wait(format!(
            "{} missing; a pod that does not answer may be one of them",
            counted(lacking, "replica")
        ));
    }
    let places: BTreeMap<PodName, Place> = spares.iter().map(|s| (s.pod.clone(), s.place())).collect();
    let mut operations = Vec::new();
    let mut strangers = 0;
    for (pod, shard) in place_replicas(&needs, &places) {
        let Some(spare) = spares.iter().find(|s| *s.pod == pod) else { continue };
        let Some(primary) = owners.get(shard) else { continue };
        if has_heard_of(spare, primary) {
            operations.extend(spare.say(RedisCommand::Replicate(primary.node.id.clone())));
        } else {
            strangers += 1;
        }
    }
    match (operations.is_empty(), strangers) {
        (true, 0) => Verdict::Nothing,
        (true, _) => {
            wait_for_gossip(view, format!("{} yet to hear of a primary", counted(strangers, "node")))
        }
        (false, _) => Verdict::Act {
            message: format!("attaching {}", counted(operations.len(), "replica")),
            operations,
        },
    }
}

/// Replicas that one shard has too many while nothing is lost by moving them: pods that come and go while a cluster
/// forms leave one shard with two and another with none.
fn surplus<'a>(view: &View<'a>, owners: &[Seen<'a>]) -> Vec<Seen<'a>> {
    if !view.is_forming_without_data() {
        return Vec::new();
    }
    let too_many =
        |owner: &Seen<'a>| view.replicas_of(&owner.node.id).into_iter().skip(view.wanted_replicas());
    owners.iter().flat_map(too_many).filter(|replica| !replica.member.terminating).collect()
}

/// The server refuses a primary that it has not heard of, or that it still believes to be in a handshake. It takes one
/// whose slots it does not know yet, and with it (Valkey 8.1) a shard id that is nobody's: promoted like that, it would
/// own nothing.
fn has_heard_of(spare: &Seen<'_>, primary: &Seen<'_>) -> bool {
    let peer = spare.node.peers.get(&primary.node.id);
    peer.is_some_and(|peer| peer.primary == Some(true) && peer.slots == primary.node.slots())
}

fn need(view: &View<'_>, primary: &Seen<'_>) -> ShardNeed {
    let replicas = view.replicas_of(&primary.node.id);
    let members = std::iter::once(primary.place()).chain(replicas.iter().map(Seen::place)).collect();
    ShardNeed {
        primary: primary.pod.clone(),
        members,
        lacking: view.wanted_replicas().saturating_sub(replicas.len()),
    }
}
