//! When: the cluster is forming, no node holds data, and slots have no owner.
//! Does: chooses primaries so that no host or zone holds half of them, gives each a contiguous share, and lets the
//! nodes run with a short node-timeout until they agree (the wait of a primary for its majority is that long).
//! Why here: an epoch can be set, and slots can be claimed above a dead claim, only before a node is met.
//! Never: once the marker is set (an unowned slot is then a lost shard), or while any pod was not read, or any node
//! holds data; a slot that a node owns.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::RedisCommand;
use crate::ids::PodName;
use crate::slots::SlotSet;
use crate::topology::{Place, choose_primaries, place_shards};
use crate::words::counted;

use super::view::Seen;
use super::{Operation, Verdict, View, wait};

/// The node-timeout while forming: the least that shortens the wait of a fresh primary (Redis floors it at 500 ms).
pub const FORMING_NODE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn step(view: &View<'_>) -> Verdict {
    let missing = SlotSet::all().difference(&view.owned());
    if missing.is_empty() {
        return Verdict::Nothing;
    }
    if !view.is_forming_without_data() {
        let remedy = if view.desired.in_force.storage.is_some() {
            "bring back the pods and volumes that own them"
        } else {
            "if the pods that own them do not come back, their data is lost: delete the resource and create it again"
        };
        return wait(format!(
            "slots {missing} have no owner and the cluster holds or held data: they are not given out empty; {remedy}"
        ));
    }
    let owners = view.owners();
    let chosen = choose(view, &owners);
    let shares = shares(view, &missing);
    let mut operations = hasten(view);
    let first_epoch = 1 + view.nodes.values().map(|s| s.node.current_epoch).max().unwrap_or(0);
    let mut shares = shares.into_iter();
    for (epoch, primary) in (first_epoch..).zip(&chosen) {
        let Some(share) = shares.next() else { break };
        if primary.node.peers.is_empty() {
            operations.extend(primary.say(RedisCommand::SetConfigEpoch(epoch)));
        }
        operations.extend(primary.say(RedisCommand::AddSlots(share)));
    }
    // More pieces than primaries are missing (a share was lost in part): to whoever owns least.
    let least = owners.iter().min_by_key(|s| (s.node.slots().len(), s.pod.clone()));
    for piece in shares {
        operations.extend(least.and_then(|s| s.say(RedisCommand::AddSlots(piece))));
    }
    if operations.is_empty() {
        return wait("no node can be given slots yet");
    }
    Verdict::Act {
        message: format!("giving slots {missing} to {}", counted(chosen.len().max(1), "primary")),
        operations,
    }
}

/// The missing slots, cut along the shares of the wanted shards.
fn shares(view: &View<'_>, missing: &SlotSet) -> Vec<SlotSet> {
    let count = view.wanted_shards();
    let mut pieces: Vec<SlotSet> =
        (0..count).map(|i| SlotSet::share(i, count).intersection(missing)).collect();
    pieces.retain(|piece| !piece.is_empty());
    pieces.sort_by_key(|piece| (std::cmp::Reverse(piece.len()), piece.first()));
    pieces
}

/// The nodes that become primaries beside those that own slots already. Fresh nodes come first: a node that has met
/// others may still believe a dead one to be the owner, and refuses the slots.
fn choose<'a>(view: &View<'a>, owners: &[Seen<'a>]) -> Vec<Seen<'a>> {
    let lacking = view.wanted_shards().saturating_sub(owners.len());
    let spares = view.spares();
    let by_pod: BTreeMap<PodName, Seen<'a>> = spares.iter().map(|s| (s.pod.clone(), *s)).collect();
    let places = |only_fresh: bool| -> BTreeMap<PodName, Place> {
        let usable = spares.iter().filter(|s| !only_fresh || s.node.is_fresh());
        usable.map(|s| (s.pod.clone(), s.place())).collect()
    };
    let fresh = places(true);
    let candidates = if fresh.len() >= lacking { fresh } else { places(false) };
    let names: Vec<PodName> = if owners.is_empty() {
        place_shards(&candidates, lacking, view.wanted_replicas())
            .into_iter()
            .map(|shard| shard.primary)
            .collect()
    } else {
        let existing: Vec<Place> = owners.iter().map(Seen::place).collect();
        choose_primaries(&existing, &candidates, lacking, view.wanted_replicas())
    };
    names.iter().filter_map(|name| by_pod.get(name).copied()).collect()
}

/// The short node-timeout on every node that does not have it yet.
pub(super) fn hasten(view: &View<'_>) -> Vec<Operation> {
    let slow = view.nodes.values().filter(|s| s.node.node_timeout != FORMING_NODE_TIMEOUT);
    slow.filter_map(|s| s.say(node_timeout(FORMING_NODE_TIMEOUT))).collect()
}

pub(super) fn node_timeout(timeout: Duration) -> RedisCommand {
    RedisCommand::SetConfig(vec![("cluster-node-timeout".to_owned(), timeout.as_millis().to_string())])
}
