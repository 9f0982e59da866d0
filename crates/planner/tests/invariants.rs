//! What no plan may do, in worlds made to tempt it: each test is a way to lose data or a cluster.

use std::time::Duration;

use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::ids::{NodeId, PodName};
use keyslot_planner::next_step;
use keyslot_planner::observed::{Observed, PodTrouble, Role, Unreachable};
use keyslot_planner::plan::{KubeOperation, Operation};
use keyslot_testkit::builders::a_cluster;
use keyslot_testkit::sim::{Layout, Mishaps, World, broken_rule};

const PATIENCE: Duration = Duration::from_mins(3);

fn formed(seed: u64) -> World {
    let mut world = World::new(a_cluster().persistent().resource(), Layout { seed, ..Layout::default() });
    world.settle(next_step, &Mishaps::default(), PATIENCE);
    world.write(30);
    world
}

fn plan(world: &mut World, observed: &Observed) -> Vec<Operation> {
    next_step(&world.desired(), observed, jiff::Timestamp::UNIX_EPOCH).operations
}

/// Commands that decide who owns or holds what.
fn touches_data(operation: &Operation) -> bool {
    match operation {
        Operation::Redis { command, .. } => matches!(
            command,
            RedisCommand::AddSlots(_)
                | RedisCommand::Meet { .. }
                | RedisCommand::Replicate(_)
                | RedisCommand::Forget(_)
                | RedisCommand::TakeOver
        ),
        Operation::Kube(operation) => {
            matches!(operation, KubeOperation::DeletePod { .. } | KubeOperation::MarkFormed)
        }
    }
}

#[test]
fn two_clusters_on_one_set_of_volumes_are_never_joined() {
    let (one, two) = (formed(1), formed(2));
    let mut mixed = formed(3);
    mixed.delete_cluster();
    mixed.volumes.clear();
    mixed.ledger.clear();
    for (source, ordinals) in [(&one, 0..3u32), (&two, 3..6)] {
        for ordinal in ordinals {
            let process = source.bus.processes.iter().find(|(pod, _)| pod.ordinal() == Some(ordinal));
            mixed.volumes.insert(ordinal, process.unwrap().1.node.clone());
        }
    }
    for node in mixed.volumes.values() {
        for (slot, keys) in &node.keys {
            mixed.ledger.entry(*slot).or_default().extend(keys);
        }
    }
    // The ledger, looked at all the time, is the judge: a merge deletes what the lower epoch holds.
    mixed.live(next_step, &Mishaps::default(), 60_000);
    assert!(!mixed.kubernetes.formed);
}

#[test]
fn nothing_is_decided_while_a_node_of_an_unformed_cluster_is_not_read() {
    let mut world = formed(4);
    world.delete_cluster();
    world.live(next_step, &Mishaps::default(), 100);
    world.pass_time(10_000);
    let whole = world.observe();
    for hidden in whole.pods.keys() {
        for reason in
            [Unreachable::NoAddress, Unreachable::Refused, Unreachable::TimedOut, Unreachable::Loading]
        {
            let mut observed = whole.clone();
            observed.formed = false;
            observed.pods.get_mut(hidden).unwrap().redis = Err(reason);
            let operations = plan(&mut world, &observed);
            assert!(!operations.iter().any(touches_data), "{hidden} is hidden: {operations:?}");
        }
        let mut observed = whole.clone();
        observed.formed = false;
        observed.pods.remove(hidden);
        let operations = plan(&mut world, &observed);
        assert!(!operations.iter().any(touches_data), "{hidden} is missing: {operations:?}");
    }
}

#[test]
fn a_formed_cluster_that_lost_a_shard_gets_no_empty_one_unasked() {
    let mut world = formed(5);
    let (owners, _) = world.owners_and_others();
    let lost = world.bus.processes[&owners[0]].node.id.clone();
    let mut observed = world.observe();
    observed.pods.retain(|_, member| {
        member.redis.as_ref().is_ok_and(|node| {
            node.id != lost && !matches!(&node.role, Role::Replica { of, .. } if *of == lost)
        })
    });
    let replaced = observed.pods.len();
    assert_eq!(replaced, 4);
    let operations = plan(&mut world, &observed);
    assert!(!operations.iter().any(touches_data), "{operations:?}");
}

#[test]
fn kept_volumes_keep_their_pods_when_the_new_resource_is_smaller() {
    let mut world = formed(6);
    world.delete_cluster();
    world.resource = a_cluster().shards(1).replicas(0).persistent().resource();
    world.settle(next_step, &Mishaps::default(), PATIENCE);
    assert_eq!(world.kubernetes.stateful_set.as_ref().map(|set| set.replicas), Some(6));
    assert_eq!(world.missing_keys(), Vec::<u32>::new());
}

#[test]
fn a_pod_that_never_starts_stops_forming_and_nothing_else() {
    let mut world = World::new(a_cluster().resource(), Layout::default());
    world.live(next_step, &Mishaps::default(), 100);
    let stuck = world.kubernetes.pods.values_mut().last().unwrap();
    stuck.trouble = Some(PodTrouble::Unschedulable("0/3 nodes are available".to_owned()));
    stuck.starts = u64::MAX;
    world.live(next_step, &Mishaps::default(), 30_000);
    assert!(world.bus.processes.values().all(|process| process.node.slots().is_empty()));
    let stuck = world.kubernetes.pods.values_mut().last().unwrap();
    (stuck.trouble, stuck.starts) = (None, 0);
    world.settle(next_step, &Mishaps::default(), PATIENCE);
}

/// The checker itself: every rule is broken once and named.
#[test]
fn the_checker_knows_the_never_list() {
    let mut world = formed(7);
    let (desired, observed) = (world.desired(), world.observe());
    let (owners, others) = world.owners_and_others();
    let node = |pod: &PodName| world.bus.processes[pod].node.id.clone();
    let on =
        |pod: &PodName| Target { pod: pod.clone(), ip: world.bus.processes[pod].node.ip, node: node(pod) };
    let set = world.kubernetes.stateful_set.clone().unwrap();
    let pod_uid = world.kubernetes.pods[&owners[0]].uid.clone();
    let stranger: NodeId = "07c37dfeb235213a872192d90877d0cd55635b91".parse().unwrap();
    let ip = world.bus.processes[&owners[0]].node.ip;
    let redis = |pod: &PodName, command| Operation::Redis { on: on(pod), command };
    let slots = world.bus.processes[&owners[0]].node.slots();
    let fast = vec![("cluster-node-timeout".to_owned(), "500".to_owned())];
    let user = RedisCommand::SetUser { name: "worker".to_owned(), tokens: Vec::new(), end_sessions: false };
    let wrong = [
        ("slots-of-an-owner", redis(&owners[1], RedisCommand::AddSlots(slots))),
        ("forget-wanted", redis(&owners[1], RedisCommand::Forget(node(&owners[0])))),
        ("meet-unknown-identity", redis(&owners[1], RedisCommand::Meet { ip, node: stranger })),
        ("replicate-owner", redis(&owners[1], RedisCommand::Replicate(node(&owners[0])))),
        ("replicate-replica", redis(&others[1], RedisCommand::Replicate(node(&others[0])))),
        ("take-over-data", redis(&others[1], RedisCommand::TakeOver)),
        ("short-timeout-formed", redis(&owners[1], RedisCommand::SetConfig(fast))),
        ("replicas-below-pods", Operation::Kube(KubeOperation::ScaleUp { uid: set.uid, replicas: 5 })),
    ];
    for (rule, operation) in &wrong {
        let broken = broken_rule(&world, &desired, &observed, operation).unwrap_or_default();
        let wiped = broken.starts_with("replicate-wipes") && *rule == "replicate-replica";
        assert!(broken.starts_with(rule) || wiped, "{rule}: {broken:?}");
    }
    assert_eq!(broken_rule(&world, &desired, &observed, &redis(&owners[0], user.clone())), None);
    let delete = Operation::Kube(KubeOperation::DeletePod { pod: owners[0].clone(), uid: pod_uid });
    world.kubernetes.formed = false;
    for (rule, operation) in [("users-before-formed", redis(&owners[0], user)), ("delete-with-data", delete)]
    {
        let broken = broken_rule(&world, &desired, &observed, &operation).unwrap_or_default();
        assert!(broken.starts_with(rule), "{rule}: {broken:?}");
    }
}
