//! The shards of the status: who serves what.

use keyslot_api::v1alpha1::{ReplicaStatus, ShardStatus};

use crate::ids::PodName;
use crate::observed::{Member, Observed, RedisNode, Role, RoleLabel};
use crate::plan::shard_numbers;

/// One entry per shard with slots, by number. A shard whose primary can't be read at the moment stays, without a
/// primary, as long as pods carry its number.
pub(super) fn shards(observed: &Observed, before: &[ShardStatus]) -> Vec<ShardStatus> {
    let numbers = shard_numbers(observed);
    let mut shards: Vec<ShardStatus> = observed
        .nodes()
        .filter_map(|(pod, _, node)| numbers.get(&node.id).map(|number| (*number, pod, node)))
        .map(|(number, pod, node)| shard(observed, number, pod, node))
        .collect();
    for earlier in before {
        let known = shards.iter().any(|shard| shard.shard == earlier.shard);
        let labelled = observed.pods.values().any(|member| member.labels.shard == Some(earlier.shard));
        if !known && labelled {
            shards.push(ShardStatus {
                primary: None,
                replicas: silent(observed, earlier.shard, None),
                ..earlier.clone()
            });
        }
    }
    shards.sort_by_key(|shard| shard.shard);
    shards
}

fn shard(observed: &Observed, number: i32, primary: &PodName, node: &RedisNode) -> ShardStatus {
    let end = match &node.role {
        Role::Primary { offset, .. } => *offset,
        Role::Replica { .. } => 0,
    };
    let replica = |(pod, _, replica): (&PodName, &Member, &RedisNode)| match &replica.role {
        Role::Replica { of, offset, link_up, .. } if *of == node.id => Some(ReplicaStatus {
            pod: pod.to_string(),
            link_up: *link_up,
            lag_bytes: Some(i64::try_from(end.saturating_sub(*offset)).unwrap_or(i64::MAX)),
        }),
        Role::Replica { .. } | Role::Primary { .. } => None,
    };
    let mut replicas: Vec<ReplicaStatus> = observed.nodes().filter_map(replica).collect();
    replicas.extend(silent(observed, number, Some(primary)));
    replicas.sort_by(|a, b| a.pod.cmp(&b.pod));
    ShardStatus {
        shard: number,
        primary: Some(primary.to_string()),
        slots: node.slots().to_string(),
        replicas,
        keys: i64::try_from(node.keys).unwrap_or(i64::MAX),
        memory_bytes: i64::try_from(node.memory_bytes).unwrap_or(i64::MAX),
    }
}

/// Replicas of the shard by their labels, whose nodes did not answer.
fn silent(observed: &Observed, number: i32, primary: Option<&PodName>) -> Vec<ReplicaStatus> {
    let members = observed.pods.iter().filter(|(pod, member)| {
        member.labels.shard == Some(number)
            && member.redis.is_err()
            && Some(*pod) != primary
            && member.labels.role == Some(RoleLabel::Replica)
    });
    members.map(|(pod, _)| ReplicaStatus { pod: pod.to_string(), link_up: false, lag_bytes: None }).collect()
}
