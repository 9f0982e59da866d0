//! When: a node does not know another pod's node, or knows it at an address that it does not have any more.
//! Does: CLUSTER MEET in both directions between all that need it (a star is slower, and after all addresses changed
//! it leaves replicas at dead ones).
//! Why here: after slots, whose epochs need nodes that know nobody; before replicas, which need to know their primary.
//! Never: an address whose node was not read over an authenticated connection in this very observation; two worlds
//! that both hold data, or a claim to slots that a world with data owns: a merge deletes the data of the lower epoch.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::command::{BUS_PORT, REDIS_PORT, RedisCommand};
use crate::ids::NodeId;
use crate::observed::Peer;
use crate::slots::SlotSet;
use crate::words::counted;

use super::assign_slots::hasten;
use super::view::Seen;
use super::{Requeue, Verdict, View, Waiting, block, wait_for_gossip};

/// How many neighbours a node meets at most in one pass; gossip spreads the rest. Up to this size it is a full mesh.
const MOST_NEIGHBOURS: usize = 64;

pub(super) fn step(view: &View<'_>) -> Verdict {
    if let Some(message) = two_worlds(view) {
        return block(message);
    }
    let nodes: Vec<Seen<'_>> = view.nodes.values().copied().collect();
    let mut operations = Vec::new();
    let mut shaking_hands = 0;
    for (i, one) in nodes.iter().enumerate() {
        let neighbours = (1..nodes.len()).take(MOST_NEIGHBOURS).map(|step| &nodes[(i + step) % nodes.len()]);
        for other in neighbours {
            let Some(ip) = other.member.ip else { continue };
            let peers = &one.node.peers;
            if peers.get(&other.node.id).is_some_and(|peer| is_at(peer, ip)) {
                continue;
            }
            if peers.values().any(|peer| peer.handshake && is_at(peer, ip)) {
                shaking_hands += 1;
                continue;
            }
            operations.extend(one.say(RedisCommand::Meet { ip, node: other.node.id.clone() }));
        }
    }
    // A formed cluster lives with what it has met already, and joins nothing that a stranger is part of.
    if let Some(message) = strangers(view).filter(|_| !view.observed.formed || !operations.is_empty()) {
        // A node that died a moment ago still looks alive, and nothing tells when it does not any more.
        return Verdict::Block(Waiting { message, requeue: Requeue::After(Duration::from_secs(1)) });
    }
    if operations.is_empty() && shaking_hands > 0 {
        // A handshake may end in nothing, and then it is due again.
        return wait_for_gossip(view, format!("{} of nodes shaking hands", counted(shaking_hands, "pair")));
    }
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    let message = format!("making {} known to each other", counted(nodes.len(), "node"));
    if view.is_forming_without_data() {
        operations.splice(0..0, hasten(view));
    }
    Verdict::Act { message, operations }
}

fn is_at(peer: &Peer, ip: IpAddr) -> bool {
    peer.address.as_ref().is_some_and(|a| a.ip == ip && a.port == REDIS_PORT && a.bus_port == BUS_PORT)
}

/// Nodes that know each other, directly or through others, are one world. Two worlds may be joined only while at most
/// one of them holds data and no other claims a slot that this one knows an owner of.
fn two_worlds(view: &View<'_>) -> Option<String> {
    let worlds = worlds(view);
    let describe = |world: &[Seen<'_>]| {
        let pods: Vec<&str> = world.iter().map(|s| s.pod.as_str()).collect();
        pods.join(", ")
    };
    let holds_data = |world: &&Vec<Seen<'_>>| world.iter().any(|s| s.node.holds_data());
    let with_data: Vec<_> = worlds.iter().filter(holds_data).collect();
    let first = with_data.first()?;
    if let Some(second) = with_data.get(1) {
        return Some(format!(
            "the volumes hold two different clusters, pods {} and pods {}: joined, one would delete the other's data; \
             remove the volumes that do not belong here",
            describe(first),
            describe(second)
        ));
    }
    let known = first.iter().fold(SlotSet::empty(), |all, s| all.union(&s.node.slots_known()));
    let rival = worlds
        .iter()
        .filter(|world| !holds_data(world))
        .find(|world| world.iter().any(|s| !s.node.slots().intersection(&known).is_empty()))?;
    Some(format!(
        "pods {} claim slots that belong to the cluster of pods {}, and know nothing of it: remove their volumes",
        describe(rival),
        describe(first)
    ))
}

fn worlds<'a>(view: &View<'a>) -> Vec<Vec<Seen<'a>>> {
    let ids: Vec<&NodeId> = view.nodes.keys().copied().collect();
    let mut world_of: BTreeMap<&NodeId, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    // Joining by the lowest number until nothing changes; a handful of rounds, as worlds are cliques.
    let mut changed = true;
    while changed {
        changed = false;
        for seen in view.nodes.values() {
            for peer in seen.node.peers.keys().filter(|id| view.nodes.contains_key(id)) {
                let (a, b) = (world_of[&seen.node.id], world_of[peer]);
                if a != b {
                    changed = true;
                    world_of.insert(&seen.node.id, a.min(b));
                    world_of.insert(peer, a.min(b));
                }
            }
        }
    }
    let mut worlds: BTreeMap<usize, Vec<Seen<'a>>> = BTreeMap::new();
    for (id, world) in world_of {
        worlds.entry(world).or_default().push(view.nodes[id]);
    }
    worlds.into_values().collect()
}

/// A living node that is no pod of ours, in the view of one that is: forming over it would take a part in its cluster.
fn strangers(view: &View<'_>) -> Option<String> {
    // Among the pods that were not read may be whoever seems strange.
    if !view.all_read() {
        return None;
    }
    for seen in view.nodes.values() {
        let stranger =
            seen.node.peers.iter().find(|(id, peer)| !view.nodes.contains_key(id) && peer.seems_alive());
        if let Some((id, peer)) = stranger {
            let at =
                peer.address.as_ref().map_or_else(|| "an unknown address".to_owned(), |a| a.ip.to_string());
            return Some(format!(
                "pod {} knows node {id} at {at}, which answers and is no pod of this cluster: it belongs to another \
                 cluster; end that node, or remove the volume of {} if it came from there",
                seen.pod, seen.pod
            ));
        }
    }
    None
}
