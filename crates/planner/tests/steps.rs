//! Single looks at a cluster, and the step that must follow. What a whole run of steps leads to is told by
//! `convergence.rs`.
#![allow(clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::v1alpha1::{Retention, RetentionPolicy};
use keyslot_planner::command::RedisCommand;
use keyslot_planner::ids::{HostName, NodeId, PodName, RunId, Uid};
use keyslot_planner::manifests::{baseline_users_file, config_files, users_file};
use keyslot_planner::observed::{
    Engine, EngineKind, FilesSeen, Member, MemberLabels, Observed, Peer, PeerAddress, PeerHealth, PodTrouble,
    RedisNode, Role, RoleLabel, StatefulSetSeen, Unreachable,
};
use keyslot_planner::plan::{KubeOperation, Operation, Plan, SETTLED};
use keyslot_planner::slots::SlotSet;
use keyslot_planner::{Desired, Manifest, next_step};
use keyslot_testkit::builders::a_cluster;

const WANTED_TIMEOUT: Duration = Duration::from_secs(5);

/// Three shards with a replica each: `demo-0` to `demo-2` are primaries, `demo-3` to `demo-5` their replicas.
struct Look {
    desired: Desired,
    observed: Observed,
}

fn id(i: usize) -> NodeId {
    format!("{i:040x}").parse().expect("40 hexadecimal characters")
}

fn ip(i: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(i).expect("few pods")).into()
}

fn primary_with(slots: SlotSet) -> Role {
    Role::Primary { slots, migrating: BTreeMap::new(), importing: BTreeMap::new(), offset: 0 }
}

fn role(i: usize) -> Role {
    if i < 3 {
        primary_with(SlotSet::share(i, 3))
    } else {
        Role::Replica { of: id(i - 3), offset: 0, link_up: true, source: Some(ip(i - 3)) }
    }
}

fn peer(i: usize) -> Peer {
    Peer {
        address: Some(PeerAddress { ip: ip(i), port: 6379, bus_port: 16379 }),
        hostname: None,
        primary: Some(i < 3),
        replicates: (i >= 3).then(|| id(i - 3)),
        slots: if i < 3 { SlotSet::share(i, 3) } else { SlotSet::empty() },
        config_epoch: 1,
        linked: true,
        handshake: false,
        health: PeerHealth::Fine,
    }
}

fn node(i: usize) -> RedisNode {
    RedisNode {
        id: id(i),
        run_id: RunId::new("r"),
        engine: Engine { kind: EngineKind::Redis, version: "7.0.15".to_owned() },
        role: role(i),
        config_epoch: 1,
        current_epoch: 3,
        cluster_ok: true,
        keys: 0,
        libraries: 0,
        memory_bytes: 0,
        node_timeout: WANTED_TIMEOUT,
        maxmemory: 0,
        peers: (0..6).filter(|other| *other != i).map(|other| (id(other), peer(other))).collect(),
    }
}

fn member(i: usize) -> Member {
    Member {
        uid: Uid::new(format!("pod-{i}")),
        ip: Some(ip(i)),
        host: Some(HostName::new(format!("host-{}", i % 3))),
        zone: None,
        ready: true,
        terminating: false,
        revision: Some("new".to_owned()),
        labels: MemberLabels {
            shard: i32::try_from(i % 3).ok(),
            role: Some(if i < 3 { RoleLabel::Primary } else { RoleLabel::Replica }),
        },
        trouble: None,
        redis: Ok(node(i)),
    }
}

fn formed() -> Look {
    let desired = a_cluster().shards(3).replicas(1).desired();
    let Manifest::ConfigMap(config) = config_files(&desired) else { panic!("a ConfigMap") };
    let files = |files| Some(FilesSeen { uid: Uid::new("files"), version: String::new(), files });
    let set = StatefulSetSeen {
        uid: Uid::new("set"),
        replicas: 6,
        update_revision: Some("new".to_owned()),
        in_force: Some(desired.in_force.clone()),
        retention: None,
        terminating: false,
    };
    let observed = Observed {
        pods: (0..6).map(|i| (PodName::new(format!("demo-{i}")), member(i))).collect(),
        absent: BTreeMap::new(),
        locked_out: BTreeSet::new(),
        stateful_set: Some(set),
        config: files(config.data.expect("files")),
        acl: files(BTreeMap::new()),
        formed: true,
        foreign_volumes: BTreeSet::new(),
        volumes: BTreeSet::new(),
    };
    Look { desired, observed }
}

/// The marker is absent: nothing has formed, or the volumes are those of an earlier resource.
fn unformed() -> Look {
    let mut look = formed();
    look.observed.formed = false;
    look
}

impl Look {
    fn pod(&mut self, i: usize) -> &mut Member {
        self.observed.pods.get_mut(&PodName::new(format!("demo-{i}"))).expect("six pods")
    }

    fn node(&mut self, i: usize) -> &mut RedisNode {
        self.pod(i).redis.as_mut().expect("it answers")
    }

    /// Without `nodes.conf`: another id, no slots, no peers.
    fn fresh(&mut self, i: usize) -> &mut RedisNode {
        *self.node(i) = RedisNode {
            id: id(100 + i),
            role: primary_with(SlotSet::empty()),
            peers: BTreeMap::new(),
            ..node(i)
        };
        self.node(i)
    }

    fn plan(&self) -> Plan {
        next_step(&self.desired, &self.observed, Timestamp::UNIX_EPOCH)
    }

    fn commands(&self) -> Vec<RedisCommand> {
        let redis = |operation| match operation {
            Operation::Redis { command, .. } => Some(command),
            Operation::Kube(_) => None,
        };
        self.plan().operations.into_iter().filter_map(redis).collect()
    }

    fn deleted_pods(&self) -> Vec<String> {
        let deleted = |operation| match operation {
            Operation::Kube(KubeOperation::DeletePod { pod, .. }) => Some(pod.to_string()),
            Operation::Kube(_) | Operation::Redis { .. } => None,
        };
        self.plan().operations.into_iter().filter_map(deleted).collect()
    }
}

#[test]
fn a_formed_cluster_needs_nothing() {
    let plan = formed().plan();
    assert_eq!((plan.step, plan.operations.len()), (SETTLED, 0), "{plan:?}");
    assert_eq!(plan.message, "3 shards, 6 nodes, all 16384 slots served");
}

#[test]
fn the_marker_is_set_only_when_the_wanted_node_timeout_is_read_back() {
    let mut look = unformed();
    look.node(4).node_timeout = Duration::from_millis(500);
    let commands = look.commands();
    assert_eq!(
        commands,
        [RedisCommand::SetConfig(vec![("cluster-node-timeout".to_owned(), "5000".to_owned())])]
    );
    look.node(4).node_timeout = WANTED_TIMEOUT;
    assert_eq!(look.plan().operations, [Operation::Kube(KubeOperation::MarkFormed)]);
    look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up: false, source: None };
    assert_eq!(look.plan().operations, [], "a replica without link is waited for");
    let epoch_of_1 = |look: &mut Look, epoch| {
        look.node(3).peers.get_mut(&id(1)).expect("a peer").config_epoch = epoch;
    };
    look.node(3).role = role(3);
    epoch_of_1(&mut look, 0);
    assert_eq!(look.plan().operations, [], "an old epoch keeps a replica from being elected");
    epoch_of_1(&mut look, 1);
    let of_replica = |look: &mut Look, of| {
        look.node(0).peers.get_mut(&id(3)).expect("a peer").replicates = of;
    };
    look.node(3).role = role(3);
    of_replica(&mut look, None);
    assert_eq!(look.plan().operations, [], "a primary that does not know its replica would not ask it");
    of_replica(&mut look, Some(id(0)));
    look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up: false, source: None };
    look.node(0).keys = 1;
    assert_eq!(
        look.plan().operations,
        [Operation::Kube(KubeOperation::MarkFormed)],
        "not when data is taken over: its users have waited long enough"
    );
}

#[test]
fn nothing_is_decided_while_a_pod_was_not_read_before_the_cluster_has_formed() {
    for i in 0..6 {
        let mut look = unformed();
        (0..6).for_each(|i| drop(look.fresh(i).id.clone()));
        look.pod(i).redis = Err(Unreachable::Refused);
        let plan = look.plan();
        assert_eq!(plan.step, "await_pods");
        assert!(look.commands().is_empty(), "{plan:?}");
        assert!(plan.message.contains(&format!("demo-{i}")), "{}", plan.message);
    }
}

#[test]
fn unowned_slots_are_never_given_out_once_data_was_held() {
    let lost = |look: &mut Look| drop(look.fresh(0).id.clone());
    let mut look = formed();
    lost(&mut look);
    assert!(!look.commands().iter().any(|c| matches!(c, RedisCommand::AddSlots(_))), "the marker is set");
    let mut look = unformed();
    lost(&mut look);
    assert!(look.commands().iter().any(|c| matches!(c, RedisCommand::AddSlots(_))), "nothing was ever held");
    look.node(1).keys = 1;
    assert!(!look.commands().iter().any(|c| matches!(c, RedisCommand::AddSlots(_))), "a node has a key");
}

#[test]
fn two_worlds_with_data_are_never_joined() {
    let mut look = unformed();
    for i in [0, 3] {
        look.node(i).keys = 5;
        look.node(i).peers.retain(|other, _| *other == id(0) || *other == id(3));
    }
    for i in [1, 2, 4, 5] {
        look.node(i).keys = 7;
        look.node(i).peers.retain(|other, _| *other != id(0) && *other != id(3));
    }
    let plan = look.plan();
    assert!(look.commands().is_empty(), "{plan:?}");
    assert!(plan.message.contains("two different clusters"), "{}", plan.message);
    for i in [0, 3] {
        look.node(i).keys = 0;
    }
    assert!(look.commands().iter().all(|c| matches!(c, RedisCommand::Meet { .. })), "one of them is empty");
    assert!(!look.commands().is_empty());
    look.node(0).role = primary_with(SlotSet::share(1, 3));
    let plan = look.plan();
    assert!(look.commands().is_empty(), "{plan:?}");
    assert!(plan.message.contains("claim slots"), "{}", plan.message);
}

#[test]
fn a_living_stranger_stops_forming() {
    let mut look = unformed();
    let stranger = Peer { slots: SlotSet::empty(), ..peer(0) };
    look.node(2).peers.insert(id(77), stranger);
    let plan = look.plan();
    assert!(plan.operations.is_empty(), "{plan:?}");
    assert!(plan.message.contains(&id(77).to_string()), "{}", plan.message);
}

#[test]
fn ghosts_are_forgotten_by_all_and_only_when_nothing_hangs_on_them() {
    let ghost = || Peer { linked: false, slots: SlotSet::empty(), address: None, ..peer(0) };
    let mut look = formed();
    (0..6).for_each(|i| drop(look.node(i).peers.insert(id(66), ghost())));
    assert_eq!(look.commands(), vec![RedisCommand::Forget(id(66)); 6]);
    let dialled = || Peer { linked: true, health: PeerHealth::Failed, ..ghost() };
    (0..6).for_each(|i| drop(look.node(i).peers.insert(id(66), dialled())));
    assert_eq!(look.commands().len(), 6, "a link to an address that swallows everything is no sign of life");
    let mut unread = formed();
    unread.node(1).peers.insert(id(66), ghost());
    unread.pod(5).redis = Err(Unreachable::TimedOut);
    assert!(unread.commands().is_empty(), "the ghost could be the node that was not read");
    for hangs in [Peer { slots: SlotSet::range(1, 1), ..ghost() }, Peer { linked: true, ..ghost() }] {
        look.node(4).peers.insert(id(66), hangs);
        assert!(look.commands().is_empty());
    }
    look.node(4).peers.insert(id(66), ghost());
    look.node(4).role = Role::Replica { of: id(66), offset: 0, link_up: false, source: None };
    assert!(look.commands().is_empty(), "a node replicates it");
}

#[test]
fn nodes_at_new_addresses_meet_in_both_directions() {
    let mut look = formed();
    look.pod(5).ip = Some(ip(50));
    let plan = look.plan();
    let targets: BTreeSet<String> = plan
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Redis { on, command: RedisCommand::Meet { ip: to, .. } } => format!("{} {to}", on.pod),
            other => panic!("{other:?}"),
        })
        .collect();
    let others: BTreeSet<String> = (0..5).map(|i| format!("demo-{i} 10.0.0.50")).collect();
    assert_eq!(targets, others);
}

#[test]
fn two_pods_with_one_identity_stop_everything() {
    let mut look = formed();
    look.node(5).id = id(4);
    let plan = look.plan();
    assert!(plan.operations.is_empty() && plan.message.contains("demo-4 and demo-5"), "{plan:?}");
}

#[test]
fn a_corrected_resource_replaces_only_pods_that_hold_nothing() {
    let mut look = unformed();
    let mut earlier = look.desired.in_force.clone();
    earlier.image = "redis:nonsense".to_owned();
    look.observed.stateful_set.as_mut().expect("a set").in_force = Some(earlier.clone());
    assert!(matches!(look.plan().operations[..], [Operation::Kube(KubeOperation::Apply { .. })]));
    look.observed.stateful_set.as_mut().expect("a set").in_force = Some(look.desired.in_force.clone());
    (0..6).for_each(|i| look.pod(i).revision = Some("old".to_owned()));
    assert_eq!(look.deleted_pods().len(), 6, "no node has a key");
    for i in 0..3 {
        look.pod(i).redis = Err(Unreachable::AuthenticationFailed);
    }
    assert_eq!(look.deleted_pods().len(), 6, "what is in memory is nothing, also where nobody answers");
    let storage = a_cluster().persistent().resource().spec.storage;
    look.desired.in_force.storage.clone_from(&storage);
    let Manifest::ConfigMap(config) = config_files(&look.desired) else { panic!("a ConfigMap") };
    look.observed.config.as_mut().expect("files").files = config.data.expect("files");
    look.observed.stateful_set.as_mut().expect("a set").in_force = Some(look.desired.in_force.clone());
    look.pod(0).trouble = Some(PodTrouble::ImagePull("not found".to_owned()));
    assert_eq!(
        look.deleted_pods(),
        ["demo-0", "demo-3", "demo-4", "demo-5"],
        "what runs silently may hold anything"
    );
    look.node(3).keys = 1;
    assert_eq!(look.deleted_pods(), ["demo-0"]);
    look.observed.formed = true;
    look.observed.stateful_set.as_mut().expect("a set").in_force = Some(earlier);
    assert!(look.plan().operations.is_empty(), "a formed cluster's change waits");
}

/// A cluster with volumes whose nodes with these numbers refuse the operator.
fn locked_out_of(pods: &[usize]) -> Look {
    let mut look = formed();
    let storage = a_cluster().persistent().resource().spec.storage;
    look.desired.in_force.storage.clone_from(&storage);
    let Manifest::ConfigMap(config) = config_files(&look.desired) else { panic!("a ConfigMap") };
    look.observed.config.as_mut().expect("files").files = config.data.expect("files");
    look.observed.stateful_set.as_mut().expect("a set").in_force = Some(look.desired.in_force.clone());
    let Manifest::ConfigMap(file) = users_file(&look.desired, &baseline_users_file(&look.desired)) else {
        panic!("a ConfigMap")
    };
    look.observed.acl.as_mut().expect("files").files = file.data.expect("files");
    for i in pods {
        look.pod(*i).redis = Err(Unreachable::AuthenticationFailed);
        look.observed.locked_out.insert(PodName::new(format!("demo-{i}")));
    }
    look
}

#[test]
fn a_node_that_refuses_the_operator_starts_again_from_its_file_replicas_first() {
    for (refusing, restarted) in [
        (&[4][..], Some("demo-4")),
        (&[0, 3, 4], Some("demo-3")),
        (&[0, 1, 2], Some("demo-0")),
        (&[0, 1, 2, 3, 4], Some("demo-3")),
        // Its replica can't be asked whether it is in sync, so that one comes first.
        (&[0, 3], Some("demo-3")),
    ] {
        assert_eq!(locked_out_of(refusing).deleted_pods(), restarted.as_slice(), "{refusing:?}");
    }
    let mut for_users_only = locked_out_of(&[1, 4]);
    (for_users_only.pod(1).redis, for_users_only.pod(4).redis) = (Ok(node(1)), Ok(node(4)));
    assert_eq!(for_users_only.deleted_pods(), ["demo-4"], "it answers, but for its users");
    let mut everybody = locked_out_of(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(everybody.deleted_pods(), ["demo-3"], "by its label");
    (0..6).for_each(|i| everybody.pod(i).labels.role = None);
    assert_eq!(everybody.deleted_pods(), Vec::<String>::new(), "nobody tells who is what");
}

type Spoil = fn(&mut Look);

#[test]
fn a_node_that_refuses_the_operator_is_left_alone_where_a_restart_may_lose_something() {
    let mut alone = locked_out_of(&[0]);
    alone.node(3).role = Role::Replica { of: id(1), offset: 0, link_up: true, source: None };
    let plan = alone.plan();
    assert!(alone.deleted_pods().is_empty() && plan.message.contains("SECURITY.md"), "{plan:?}");

    let mut in_memory = locked_out_of(&[0, 3]);
    in_memory.desired.in_force.storage = None;
    assert!(in_memory.deleted_pods().is_empty(), "its primary could not give it its copy again");
    let mut few = locked_out_of(&[0]);
    for i in 1..6 {
        let node = few.node(i);
        node.peers.retain(|_, peer| peer.primary != Some(true) || peer.slots.contains(0));
        node.role = role(if i < 3 { i + 3 } else { i });
    }
    assert!(few.deleted_pods().is_empty(), "nobody is left to elect its replica");

    let spoiled: [(&str, Spoil); 8] = [
        ("another pod is not ready", |look| look.pod(5).ready = false),
        ("another pod came back empty", |look| look.node(5).role = primary_with(SlotSet::empty())),
        ("for a moment only", |look| look.observed.locked_out.clear()),
        ("another pod is away", |look| look.pod(5).redis = Err(Unreachable::TimedOut)),
        ("another pod goes", |look| look.pod(5).terminating = true),
        ("a replica is behind", |look| {
            look.node(5).role = Role::Replica { of: id(2), offset: 0, link_up: false, source: None };
        }),
        ("the file is another one", |look| look.observed.acl.as_mut().expect("files").files.clear()),
        ("nothing has formed", |look| look.observed.formed = false),
    ];
    for (why, spoil) in spoiled {
        let mut look = locked_out_of(&[4]);
        assert_eq!(look.deleted_pods(), ["demo-4"]);
        spoil(&mut look);
        assert_eq!(look.deleted_pods(), Vec::<String>::new(), "{why}");
    }
}

/// Libraries of functions are replicated and kept in files as keys are.
#[test]
fn functions_are_data() {
    let mut look = unformed();
    (0..6).for_each(|i| drop(look.fresh(i).id.clone()));
    assert_eq!(look.plan().step, "assign_slots");
    look.node(4).libraries = 1;
    assert!(look.plan().message.contains("not given out empty"), "{:?}", look.plan());
    assert!(
        look.commands().iter().all(|command| matches!(command, RedisCommand::Meet { .. })),
        "{:?}",
        look.plan()
    );
}

/// Valkey since 8.1 answers OK to this command and does nothing: the step would never end.
#[test]
fn a_link_that_the_server_moves_itself_is_left_to_it() {
    let mut look = formed();
    look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up: false, source: Some(ip(99)) };
    for (kind, version, heals) in [
        (EngineKind::Redis, "8.6.3", true),
        (EngineKind::Valkey, "8.0.4", true),
        (EngineKind::Valkey, "8.1.0", false),
        (EngineKind::Valkey, "9.1.2", false),
        (EngineKind::Valkey, "10.0.0", false),
    ] {
        look.node(3).engine = Engine { kind, version: version.to_owned() };
        assert_eq!(look.plan().step == "heal_addresses", heals, "{kind:?} {version}");
    }
}

#[test]
fn replicas_of_the_stateful_set_never_go_below_what_holds_data() {
    let mut look = formed();
    look.observed.stateful_set = None;
    look.observed.pods.clear();
    for (volumes, pods) in [(vec![], 6), (vec![0, 1, 8], 9), (vec![2], 6), (vec![7, 99_999, u32::MAX], 8)] {
        look.observed.volumes = volumes.into_iter().collect();
        let [Operation::Kube(KubeOperation::Create(manifest))] = &look.plan().operations[..] else {
            panic!()
        };
        let Manifest::StatefulSet(set) = manifest.as_ref() else { panic!("{manifest:?}") };
        assert_eq!(set.spec.as_ref().and_then(|spec| spec.replicas), Some(pods));
    }
    let mut lowered = formed();
    let set = lowered.observed.stateful_set.as_mut().expect("a set");
    set.replicas = 2;
    assert_eq!(
        lowered.plan().operations,
        [Operation::Kube(KubeOperation::ScaleUp { uid: Uid::new("set"), replicas: 6 })]
    );
}

/// What a formed cluster runs without stands beside the steps: an object that can't be written keeps nobody from being
/// healed.
#[test]
fn files_are_put_back_beside_the_steps_once_there_is_a_cluster() {
    let mut look = formed();
    look.observed.config.as_mut().expect("files").files.clear();
    look.observed.acl = None;
    look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up: false, source: Some(ip(99)) };
    let plan = look.plan();
    assert_eq!(plan.step, "heal_addresses");
    assert!(
        matches!(plan.upkeep[..], [KubeOperation::Apply { .. }, KubeOperation::Create(_)]),
        "{:?}",
        plan.upkeep
    );
    let mut lost = look.desired.clone();
    lost.system.passwords.replication = None;
    let plan = next_step(&lost, &look.observed, Timestamp::UNIX_EPOCH);
    assert!(plan.upkeep.is_empty(), "without all passwords a file would shut somebody out: {plan:?}");
    look.desired.foreign_objects.insert("ConfigMap/demo-acl".to_owned());
    assert!(matches!(look.plan().upkeep[..], [KubeOperation::Apply { .. }]), "a stranger's is left alone");
    look.observed.formed = false;
    assert!(look.plan().upkeep.is_empty(), "before, pods wait for their files");
    assert_eq!(look.plan().step, "create_workload");
}

#[test]
fn claims_of_somebody_else_are_not_taken() {
    let mut look = formed();
    look.observed.stateful_set = None;
    look.observed.formed = false;
    look.observed.foreign_volumes = ["data-demo-1".to_owned()].into();
    let plan = look.plan();
    assert!(plan.operations.is_empty() && plan.blocked, "{plan:?}");
    assert!(plan.message.contains("data-demo-1") && plan.message.contains("keyslot.dev/cluster=demo"));
}

#[test]
fn what_becomes_of_volumes_is_changed_at_once() {
    let mut look = formed();
    let delete = RetentionPolicy { on_delete: Retention::Delete };
    for (has, wants, changed) in [
        (Some(delete), RetentionPolicy::default(), true),
        (Some(RetentionPolicy::default()), delete, true),
        (Some(delete), delete, false),
        (None, delete, false),
    ] {
        // Also while nothing has formed: it may never.
        look.observed.formed = changed;
        look.observed.stateful_set.as_mut().expect("a set").retention = has;
        look.desired.retention = wants;
        let operation = KubeOperation::Retention { uid: Uid::new("set"), policy: wants };
        assert_eq!(look.plan().upkeep, Vec::from_iter(changed.then_some(operation)));
    }
}

#[test]
fn replicas_that_are_too_many_are_moved_while_nothing_has_data() {
    let mut look = unformed();
    // demo-4 follows demo-0 too, and demo-1 has nobody.
    look.node(4).role = Role::Replica { of: id(0), offset: 0, link_up: true, source: Some(ip(0)) };
    assert_eq!(look.commands(), [RedisCommand::Replicate(id(1))]);
    look.node(2).keys = 1;
    assert!(!look.commands().iter().any(|c| matches!(c, RedisCommand::Replicate(_))), "a copy is a copy");
}

#[test]
fn before_the_cluster_opens_no_host_leads_half_of_the_shards() {
    let mut look = unformed();
    // demo-1 and demo-2 are primaries on one host; demo-4, which replicates demo-1, is elsewhere.
    look.pod(1).host = Some(HostName::new("host-2"));
    look.pod(4).host = Some(HostName::new("host-0"));
    look.pod(0).host = Some(HostName::new("host-1"));
    assert_eq!(look.commands(), [RedisCommand::TakeOver]);
    assert!(look.plan().message.contains("demo-4"), "{}", look.plan().message);
    look.node(4).role = Role::Replica { of: id(1), offset: 0, link_up: false, source: Some(ip(1)) };
    assert!(look.commands().iter().all(|c| *c != RedisCommand::TakeOver), "it can't yet");
    look.node(4).role = role(4);
    look.node(0).keys = 1;
    assert!(look.commands().iter().all(|c| *c != RedisCommand::TakeOver), "writes may not have reached it");
}

#[test]
fn a_replica_is_attached_to_a_primary_whose_slots_it_knows() {
    let mut look = formed();
    look.node(3).role = primary_with(SlotSet::empty());
    assert_eq!(look.commands(), [RedisCommand::Replicate(id(0))]);
    look.node(3).peers.get_mut(&id(0)).expect("a peer").slots = SlotSet::empty();
    assert!(look.commands().is_empty(), "promoted, it would not claim them");
}

#[test]
fn labels_follow_roles() {
    let mut look = formed();
    look.pod(0).labels = MemberLabels { shard: Some(0), role: Some(RoleLabel::Replica) };
    look.pod(4).labels = MemberLabels::default();
    let labelled: Vec<_> = look.plan().operations;
    let label = |i: usize, role| {
        let (pod, uid) = (PodName::new(format!("demo-{i}")), Uid::new(format!("pod-{i}")));
        Operation::Kube(KubeOperation::Label { pod, uid, shard: i32::try_from(i % 3).ok(), role: Some(role) })
    };
    assert_eq!(labelled, [label(0, RoleLabel::Primary), label(4, RoleLabel::Replica)]);
}

#[test]
fn a_replica_that_copies_from_an_address_its_primary_has_left_is_pointed_to_the_new_one() {
    let hangs = |look: &mut Look, link_up| {
        look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up, source: Some(ip(99)) };
    };
    let mut look = formed();
    hangs(&mut look, false);
    assert_eq!(look.commands(), [RedisCommand::Replicate(id(0))]);
    hangs(&mut look, true);
    assert!(look.commands().is_empty(), "a link that works is left alone");
    look.node(3).role = Role::Replica { of: id(0), offset: 0, link_up: false, source: Some(ip(0)) };
    assert!(look.commands().is_empty(), "the right address: a sync may be under way");
    hangs(&mut look, false);
    look.pod(0).redis = Err(Unreachable::TimedOut);
    assert!(look.commands().is_empty(), "nobody knows where the primary is");
}

#[test]
fn of_two_that_claim_the_same_slots_the_higher_epoch_owns_them() {
    let mut look = formed();
    // demo-3 was promoted; demo-0, cut off, has not heard of it.
    look.node(3).role = primary_with(SlotSet::share(0, 3));
    look.node(3).config_epoch = 9;
    let plan = look.plan();
    let labelled: Vec<_> = plan
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Kube(KubeOperation::Label { pod, shard, role, .. }) => (pod.as_str(), *shard, *role),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(labelled, [("demo-0", None, None), ("demo-3", Some(0), Some(RoleLabel::Primary))]);
}
