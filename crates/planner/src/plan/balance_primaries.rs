//! When: the cluster is forming without data, every shard is whole, and a host holds half or more of the primaries: a
//! node that stood still for a moment under the short node-timeout of forming lost its slots to its replica.
//! Does: lets one replica after the other take its shard over (`CLUSTER FAILOVER TAKEOVER`, which asks nobody), until no
//! host that dies can take the vote with it.
//! Why here: a replica takes over what it knows its primary to own, and the cluster opens to its users in the next step.
//! Never: once the marker is set or any node holds data, for writes that have not reached the replica would be lost.

use crate::command::RedisCommand;
use crate::ids::PodName;
use crate::observed::Role;
use crate::topology::{Place, better_primary};

use super::view::Seen;
use super::{Verdict, View};

pub(super) fn step(view: &View<'_>) -> Verdict {
    if !view.is_forming_without_data() || !view.owned().is_all() {
        return Verdict::Nothing;
    }
    let shards: Vec<Vec<(PodName, Place)>> = view.owners().iter().map(|owner| members(view, owner)).collect();
    let taker =
        better_primary(&shards).and_then(|pod| view.nodes.values().find(|seen| *seen.pod == pod).copied());
    let operation = taker.and_then(|taker| taker.say(RedisCommand::TakeOver));
    match (taker, operation) {
        (Some(taker), Some(operation)) => Verdict::Act {
            message: format!("half of the primaries are on one host: {} takes its shard over", taker.pod),
            operations: vec![operation],
        },
        (None, _) | (_, None) => Verdict::Nothing,
    }
}

/// A shard's primary and the replicas that can take over.
fn members(view: &View<'_>, owner: &Seen<'_>) -> Vec<(PodName, Place)> {
    let replicas = view.replicas_of(&owner.node.id);
    let able = replicas.iter().filter(|replica| is_able(replica, owner));
    std::iter::once(owner).chain(able).map(|seen| (seen.pod.clone(), seen.place())).collect()
}

fn is_able(replica: &Seen<'_>, owner: &Seen<'_>) -> bool {
    let linked = matches!(replica.node.role, Role::Replica { link_up: true, .. });
    let knows = replica.node.peers.get(&owner.node.id).is_some_and(|peer| peer.slots == owner.node.slots());
    linked && knows && !replica.member.terminating
}
