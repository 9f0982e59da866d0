//! The never-list, checked against the truth of the world and not against what the planner believes of it.

use std::time::Duration;

use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::desired::Desired;
use keyslot_planner::ids::{HostName, NodeId, PodName};
use keyslot_planner::manifests::Manifest;
use keyslot_planner::observed::Observed;
use keyslot_planner::plan::{KubeOperation, Operation};
use keyslot_planner::slots::SlotSet;

use super::kubernetes::files;
use super::node::{Link, LinkState, Node, NodeRole};
use super::world::World;

/// The name of the rule that the operation breaks, if any, with what it would do.
pub fn broken_rule(
    world: &World,
    desired: &Desired,
    observed: &Observed,
    operation: &Operation,
) -> Option<String> {
    match operation {
        Operation::Kube(operation) => kubernetes(world, desired, operation),
        Operation::Redis { on, command } => match command {
            RedisCommand::AddSlots(slots) => add_slots(world, observed, on, slots),
            RedisCommand::Meet { ip, node } => {
                let read = observed.node(node).is_some_and(|(_, member, _)| member.ip == Some(*ip));
                (!read).then(|| format!("meet-unknown-identity: {node} was not read at {ip}"))
            }
            RedisCommand::Replicate(primary) => replicate(world, on, primary),
            RedisCommand::Forget(id) => forget(world, id),
            RedisCommand::TakeOver => take_over(world),
            RedisCommand::SetConfig(settings) => settings
                .iter()
                .filter(|(name, _)| name == "cluster-node-timeout")
                .find_map(|(_, value)| node_timeout(world, desired, value)),
            RedisCommand::SetUser { name, .. } if !world.kubernetes.formed => {
                (!desired.system_users.contains_key(name))
                    .then(|| format!("users-before-formed: {name} would get in"))
            }
            RedisCommand::SetConfigEpoch(_)
            | RedisCommand::SetReplicationPassword(_)
            | RedisCommand::SetUser { .. }
            | RedisCommand::DeleteUser(_) => None,
        },
    }
}

fn add_slots(world: &World, observed: &Observed, on: &Target, slots: &SlotSet) -> Option<String> {
    for node in world.everyone() {
        let taken = node.slots().intersection(slots);
        if !taken.is_empty() && node.id != on.node {
            return Some(format!("slots-of-an-owner: {taken} belong to {}", node.hostname));
        }
    }
    if world.kubernetes.formed {
        return Some("slots-after-formed: unowned slots of a formed cluster are a lost shard".to_owned());
    }
    let unread: Vec<PodName> = world.expected_pods().into_iter().filter(|pod| !read(observed, pod)).collect();
    if !unread.is_empty() {
        return Some(format!("bootstrap-blind: {unread:?} were not read"));
    }
    let keys: usize = world.everyone().map(super::Node::key_count).sum();
    (keys > 0).then(|| format!("bootstrap-over-data: there are {keys} keys"))
}

fn read(observed: &Observed, pod: &PodName) -> bool {
    observed.pods.get(pod).is_some_and(|member| member.redis.is_ok())
}

fn forget(world: &World, id: &NodeId) -> Option<String> {
    for node in world.everyone() {
        if node.id == *id {
            return Some(format!("forget-wanted: it is the node of {}", node.hostname));
        }
        if node.primary() == Some(id) {
            return Some(format!("forget-primary: {} replicates it", node.hostname));
        }
    }
    let owner = world
        .everyone()
        .find(|node| node.peers.get(id).is_some_and(|peer| !peer.slots.is_empty() && peer.primary));
    owner.map(|node| format!("forget-owner: {} believes it to own slots", node.hostname))
}

/// A replica that is sent to another primary throws away its copy: never the last one.
fn replicate(world: &World, on: &Target, primary: &NodeId) -> Option<String> {
    let node = &world.bus.processes.get(&on.pod)?.node;
    if !node.slots().is_empty() {
        return Some("replicate-owner: the node owns slots".to_owned());
    }
    if node.key_count() > 0 && node.primary() != Some(primary) {
        return Some(format!("replicate-wipes: {} keys would be thrown away", node.key_count()));
    }
    let chained = world.everyone().any(|other| other.id == *primary && !other.is_primary());
    chained.then(|| "replicate-replica: the new primary is a replica".to_owned())
}

/// Asks nobody, so that what the replica has not copied yet is lost.
fn take_over(world: &World) -> Option<String> {
    let keys: usize = world.everyone().map(super::Node::key_count).sum();
    (world.kubernetes.formed || keys > 0)
        .then(|| format!("take-over-data: formed {}, {keys} keys", world.kubernetes.formed))
}

fn node_timeout(world: &World, desired: &Desired, value: &str) -> Option<String> {
    let wanted = value.parse().map(Duration::from_millis).unwrap_or_default();
    if wanted >= desired.node_timeout {
        return None;
    }
    if world.kubernetes.formed {
        return Some("short-timeout-formed: a stall would be a failover".to_owned());
    }
    let keys: usize = world.everyone().map(super::Node::key_count).sum();
    (keys > 0).then(|| format!("short-timeout-with-data: there are {keys} keys"))
}

fn kubernetes(world: &World, desired: &Desired, operation: &KubeOperation) -> Option<String> {
    match operation {
        KubeOperation::Create(manifest) | KubeOperation::Apply { manifest, .. } => match manifest.as_ref() {
            Manifest::StatefulSet(set) => {
                let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                replicas_too_low(world, u32::try_from(replicas).unwrap_or(0))
            }
            Manifest::ConfigMap(_) | Manifest::Secret(_) => unaccepted_line(world, desired, manifest),
            Manifest::Service(_) | Manifest::PodDisruptionBudget(_) => None,
        },
        KubeOperation::ScaleUp { replicas, .. } => replicas_too_low(world, *replicas),
        KubeOperation::DeletePod { pod, .. } => delete_pod(world, pod),
        KubeOperation::MarkFormed => mark_formed(world, desired),
        KubeOperation::Label { .. } | KubeOperation::Retention { .. } => None,
    }
}

fn replicas_too_low(world: &World, replicas: u32) -> Option<String> {
    let pods = world.kubernetes.pods.keys().filter_map(PodName::ordinal);
    let highest = pods.chain(world.kubernetes.claims.iter().copied()).max()?;
    (replicas <= highest).then(|| format!("replicas-below-pods: {replicas} leaves out ordinal {highest}"))
}

fn unaccepted_line(world: &World, desired: &Desired, manifest: &Manifest) -> Option<String> {
    let files = files(manifest);
    let lines =
        files.iter().filter(|(name, _)| name.as_str() == "users.acl").flat_map(|(_, text)| text.lines());
    for line in lines {
        let name = line.split(' ').nth(1).unwrap_or_default();
        let baseline = desired.system_users.contains_key(name) || line.starts_with("user default off");
        if !baseline && !world.accepted_lines.contains(line) {
            return Some(format!("unaccepted-acl-line: no server has accepted the line of {name}"));
        }
    }
    let plaintext = desired.system.passwords.operator.as_ref().map(secrecy::ExposeSecret::expose_secret);
    let leak = plaintext.is_some_and(|password| files.values().any(|text| text.contains(password)));
    leak.then(|| "plaintext-password: in a file".to_owned())
}

fn delete_pod(world: &World, pod: &PodName) -> Option<String> {
    let node = &world.bus.processes.get(pod)?.node;
    let keys: usize = world.everyone().map(super::Node::key_count).sum();
    let in_sync = |link: &Link| matches!(link.state, LinkState::Up { .. });
    let copies = world.everyone().filter(
        |other| matches!(&other.role, NodeRole::Replica { of, link } if *of == node.id && in_sync(link)),
    );
    if keys > 0 && !node.slots().is_empty() && copies.count() == 0 {
        return Some(format!("delete-last-copy: {pod} holds {}", node.slots()));
    }
    (keys > 0 && !world.kubernetes.formed)
        .then(|| format!("delete-with-data: {pod}, while there are {keys} keys"))
}

fn mark_formed(world: &World, desired: &Desired) -> Option<String> {
    let mut owned = SlotSet::empty();
    for process in world.bus.processes.values() {
        let node = &process.node;
        if Duration::from_millis(node.node_timeout) != desired.node_timeout {
            return Some(format!("formed-hasty: {} runs with {} ms", node.hostname, node.node_timeout));
        }
        let both = owned.intersection(&node.slots());
        if !both.is_empty() {
            return Some(format!("formed-split: {both} have two owners"));
        }
        owned = owned.union(&node.slots());
    }
    if !owned.is_all() {
        return Some("formed-uncovered: not all slots have an owner".to_owned());
    }
    lopsided(world)
}

/// A host with half or more of the primaries of an empty cluster, although its shards could be led from elsewhere.
fn lopsided(world: &World) -> Option<String> {
    if world.everyone().any(|node| node.key_count() > 0) {
        return None;
    }
    let host = |pod: &PodName| world.kubernetes.pods.get(pod).map(|pod| &pod.host);
    let processes =
        || world.bus.processes.iter().filter_map(|(pod, process)| Some((&process.node, host(pod)?)));
    let owners: Vec<(&Node, &HostName)> = processes().filter(|(node, _)| !node.slots().is_empty()).collect();
    let crowded = crowded(&owners.iter().map(|(_, host)| *host).collect::<Vec<_>>())?;
    // Every choice of one member of each shard.
    let choices = owners.iter().fold(vec![Vec::new()], |choices: Vec<Vec<&HostName>>, (owner, own)| {
        let copies = processes().filter(|(node, _)| node.primary() == Some(&owner.id)).map(|(_, host)| host);
        let members = std::iter::once(*own).chain(copies);
        members
            .flat_map(|host| choices.iter().map(move |chosen| [chosen.as_slice(), &[host]].concat()))
            .collect()
    });
    let avoidable = choices.iter().any(|hosts| self::crowded(hosts).is_none());
    avoidable.then(|| format!("formed-lopsided: {crowded} has half of the primaries"))
}

fn crowded<'a>(hosts: &[&'a HostName]) -> Option<&'a HostName> {
    let has_half = |host: &&&HostName| 2 * hosts.iter().filter(|one| *one == *host).count() >= hosts.len();
    if hosts.len() < 3 { None } else { hosts.iter().find(has_half).copied() }
}
