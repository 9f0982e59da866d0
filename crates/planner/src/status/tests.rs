//! Tables on the status.

use std::collections::{BTreeMap, BTreeSet};

use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::RedisCluster;
use serde_json::json;

use super::*;
use ConditionType::{
    AclApplied, ConfigApplied, ConsentNeeded, Degraded, Ready, ReplicasHealthy, SlotsCovered, UpdatePending,
};

use crate::Inputs;
use crate::desired::{SystemMemory, SystemPasswords};
use crate::ids::{NodeId, PodName, RunId, Uid};
use crate::observed::{
    Engine, EngineKind, Member, MemberLabels, Peer, PeerHealth, PodTrouble, RedisNode, Role, RoleLabel,
    StatefulSetSeen, Unreachable,
};
use crate::plan::Requeue;
use crate::settings::WantedSettings;
use crate::settings::{NodeReport, UserState};
use crate::slots::SlotSet;

struct World {
    cluster: RedisCluster,
    inputs: Inputs,
    observed: Observed,
    plan: Plan,
    outcome: Outcome,
    report: SettingsReport,
}

/// Two shards with one replica each, formed and settled.
fn settled() -> World {
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "demo", "namespace": "shop", "uid": "1", "generation": 3},
        "spec": {"image": "redis:8.0", "shards": 2, "users": [{"name": "worker", "rules": ["~*", "+get"]}]},
    }))
    .unwrap();
    let made = || Some("made".into());
    let mut system = SystemMemory {
        formed: true,
        passwords: SystemPasswords { operator: made(), replication: made(), probe: made() },
        ..SystemMemory::default()
    };
    system.user_passwords.insert("worker".to_owned(), "abcdefghijklmnopqrstuvwxyz".into());
    let pods: BTreeMap<PodName, Member> =
        (0..4).map(|i| (PodName::new(format!("demo-{i}")), member(i))).collect();
    let applied = |user: &str| (user.to_owned(), UserState::Applied);
    let node = NodeReport {
        run_id: RunId::new("r"),
        users: [applied("worker"), applied("default")].into(),
        strangers: Vec::new(),
        config_differences: Vec::new(),
    };
    let report = SettingsReport {
        wanted: WantedSettings::default(),
        nodes: pods.keys().map(|pod| (pod.clone(), Ok(node.clone()))).collect(),
        unread: BTreeSet::new(),
        file_problem: None,
        secrets_problem: None,
    };
    let set = StatefulSetSeen {
        uid: Uid::new("s"),
        replicas: 4,
        update_revision: None,
        in_force: None,
        retention: None,
        terminating: false,
    };
    let mut world = World {
        inputs: Inputs { system, ..Inputs::default() },
        cluster,
        observed: Observed { pods, stateful_set: Some(set), formed: true, ..Observed::default() },
        plan: Plan {
            step: crate::plan::SETTLED,
            message: "as wanted".to_owned(),
            operations: vec![],
            upkeep: vec![],
            requeue: Requeue::Soon,
            blocked: false,
        },
        outcome: Outcome::Done,
        report,
    };
    world.report.wanted = WantedSettings::of(&Desired::from_spec(&world.cluster, &world.inputs));
    world
}

fn id(i: usize) -> NodeId {
    format!("{i:040x}").parse().unwrap()
}

/// `demo-0` and `demo-1` are primaries, `demo-2` and `demo-3` their replicas.
fn member(i: usize) -> Member {
    let primary = i < 2;
    let role = if primary {
        Role::Primary {
            slots: SlotSet::share(i, 2),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            offset: 100,
        }
    } else {
        Role::Replica { of: id(i - 2), offset: 90, link_up: true, source: None }
    };
    let redis = RedisNode {
        id: id(i),
        run_id: RunId::new("r"),
        engine: Engine { kind: EngineKind::Redis, version: "8.0.2".to_owned() },
        role,
        config_epoch: 1,
        current_epoch: 2,
        cluster_ok: true,
        keys: 10,
        libraries: 0,
        memory_bytes: 1000,
        node_timeout: Duration::from_secs(5),
        maxmemory: 0,
        peers: BTreeMap::new(),
    };
    Member {
        uid: Uid::new("p"),
        ip: None,
        host: None,
        zone: None,
        ready: true,
        terminating: false,
        revision: None,
        labels: MemberLabels {
            shard: i32::try_from(i % 2).ok(),
            role: Some(if primary { RoleLabel::Primary } else { RoleLabel::Replica }),
        },
        trouble: None,
        redis: Ok(redis),
    }
}

impl World {
    fn status(&self) -> RedisClusterStatus {
        self.status_after(Some(&self.report))
    }

    fn status_before_settings(&self) -> RedisClusterStatus {
        self.status_after(None)
    }

    fn status_after(&self, settings: Option<&SettingsReport>) -> RedisClusterStatus {
        let desired = Desired::from_spec(&self.cluster, &self.inputs);
        status(StatusInputs {
            cluster: &self.cluster,
            desired: &desired,
            topology: Some((&self.observed, &self.plan, &self.outcome)),
            settings,
            now: Timestamp::UNIX_EPOCH,
        })
    }

    fn lose(&mut self, pod: &str, why: Unreachable) {
        self.observed.pods.get_mut(&PodName::new(pod)).unwrap().redis = Err(why.clone());
        self.report.nodes.insert(PodName::new(pod), Err(why));
    }

    fn node(&mut self, pod: &str) -> &mut RedisNode {
        self.observed.pods.get_mut(&PodName::new(pod)).unwrap().redis.as_mut().unwrap()
    }

    fn report_of(&mut self, pod: &str) -> &mut NodeReport {
        self.report.nodes.get_mut(&PodName::new(pod)).unwrap().as_mut().unwrap()
    }

    fn user_state(&mut self, pod: &str, state: UserState) {
        self.report_of(pod).users.insert("worker".to_owned(), state);
    }
}

/// How the others see a primary.
fn peer_of(i: usize) -> Peer {
    Peer {
        address: None,
        hostname: None,
        primary: Some(true),
        replicates: None,
        slots: SlotSet::share(i, 2),
        config_epoch: 1,
        linked: false,
        handshake: false,
        health: PeerHealth::Failed,
    }
}

fn is(status: &RedisClusterStatus, kind: ConditionType, value: &str, reason: Reason) -> bool {
    status
        .conditions
        .iter()
        .any(|c| c.type_ == kind.as_str() && c.status == value && c.reason == reason.as_str())
}

#[test]
fn a_settled_cluster_is_ready_and_says_who_serves_what() {
    let status = settled().status();
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.ready_nodes.as_deref(), Some("4/4"));
    assert_eq!(status.shard_count, Some(2));
    assert_eq!(status.shards[1].primary.as_deref(), Some("demo-1"));
    assert_eq!(status.shards[1].slots, "8192-16383");
    assert_eq!(status.shards[1].replicas[0].pod, "demo-3");
    assert_eq!(status.shards[1].replicas[0].lag_bytes, Some(10));
    assert_eq!((status.users[0].nodes_applied, status.users[0].nodes_total), (4, 4));
    assert_eq!(status.users.len(), 1, "an unlisted default is no user of the resource");
    assert_eq!(status.binding.as_ref().map(|b| b.name.as_str()), Some("demo-user-worker"));
    assert_eq!(status.conditions.len(), ConditionType::ALL.len());
    for condition in &status.conditions {
        let positive = ["Ready", "SlotsCovered", "ReplicasHealthy", "AclApplied", "ConfigApplied"];
        let expected = if positive.contains(&condition.type_.as_str()) { "True" } else { "False" };
        assert_eq!(condition.status, expected, "{condition:?}");
    }
}

#[test]
fn people_see_until_when_a_replaced_password_is_valid() {
    let mut world = settled();
    let history = json!({
        "previous": {"0".repeat(64): {"source": "generated", "until": "2026-11-22T03:57:29.685287Z"}},
    });
    world.inputs.system.histories.insert("worker".to_owned(), serde_json::from_value(history).unwrap());
    let shown = world.status().users[0].previous_password_valid_until.clone();
    assert_eq!(shown.as_deref(), Some("2026-11-22T03:57:29Z"));
}

/// What is changed in a settled world, and the conditions that must show it.
struct Case {
    what: &'static str,
    change: fn(&mut World),
    shows: &'static [(ConditionType, &'static str, Reason)],
}

const CASES: &[Case] = &[
    Case {
        what: "the last report is of an earlier resource",
        change: |w| w.cluster.spec.users[0].enabled = false,
        shows: &[(AclApplied, "False", Reason::AclNotApplied), (Ready, "False", Reason::AclNotApplied)],
    },
    Case {
        what: "a user that was removed is still on a node",
        change: |w| w.report_of("demo-1").strangers.push("reports".to_owned()),
        shows: &[(AclApplied, "False", Reason::AclNotApplied), (Ready, "False", Reason::AclNotApplied)],
    },
    Case {
        what: "a node answers, and its users could not be looked at",
        change: |w| {
            w.report.nodes.insert(PodName::new("demo-3"), Err(Unreachable::TimedOut));
            w.report.unread.insert(PodName::new("demo-3"));
        },
        shows: &[(AclApplied, "False", Reason::AclNotApplied), (Ready, "False", Reason::AclNotApplied)],
    },
    Case {
        what: "a node whose users could not be looked at is gone",
        change: |w| {
            w.lose("demo-3", Unreachable::Refused);
            w.report.unread.insert(PodName::new("demo-3"));
        },
        shows: &[(AclApplied, "True", Reason::Applied), (Ready, "True", Reason::NodeUnreachable)],
    },
    Case {
        what: "a node answers again, and its users are about to be looked at",
        change: |w| drop(w.report.nodes.insert(PodName::new("demo-3"), Err(Unreachable::TimedOut))),
        shows: &[(AclApplied, "True", Reason::Applied)],
    },
    Case {
        what: "what is to be remembered of passwords can't be stored",
        change: |w| w.inputs.not_stored = Some("403 Forbidden".to_owned()),
        shows: &[(Degraded, "True", Reason::OperationFailed)],
    },
    Case {
        what: "it is paused, and nothing else",
        change: |w| {
            w.cluster.metadata.generation = Some(4);
            w.cluster.spec.paused = true;
        },
        shows: &[
            (AclApplied, "True", Reason::Applied),
            (ConfigApplied, "True", Reason::Applied),
            (Ready, "True", Reason::PausedByUser),
        ],
    },
    Case {
        what: "a primary came back empty and its replica has the data",
        change: |w| {
            let peer = peer_of(0);
            *w.node("demo-0") = RedisNode { id: id(9), ..w.node("demo-0").clone() };
            if let Role::Primary { slots, .. } = &mut w.node("demo-0").role {
                *slots = SlotSet::empty();
            }
            w.node("demo-2").peers.insert(id(0), peer);
        },
        shows: &[
            (ConsentNeeded, "False", Reason::NoConsentNeeded),
            (Ready, "False", Reason::ShardWithoutPrimary),
        ],
    },
    Case {
        what: "a primary that is away is no change that waits",
        change: |w| w.lose("demo-0", Unreachable::TimedOut),
        shows: &[(UpdatePending, "False", Reason::UpToDate)],
    },
    Case {
        what: "a primary is gone",
        change: |w| w.lose("demo-0", Unreachable::Refused),
        shows: &[
            (SlotsCovered, "False", Reason::ShardWithoutPrimary),
            (Ready, "False", Reason::ShardWithoutPrimary),
            (Degraded, "True", Reason::NodeUnreachable),
            (ConsentNeeded, "False", Reason::NoConsentNeeded),
        ],
    },
    Case {
        what: "a replica is gone",
        change: |w| w.lose("demo-2", Unreachable::TimedOut),
        shows: &[
            (Ready, "True", Reason::NodeUnreachable),
            (ReplicasHealthy, "False", Reason::ReplicaMissing),
        ],
    },
    Case {
        what: "a replica's link is down",
        change: |w| {
            w.node("demo-2").role = Role::Replica { of: id(0), offset: 1, link_up: false, source: None }
        },
        shows: &[
            (ReplicasHealthy, "False", Reason::ReplicaLinkDown),
            (Degraded, "True", Reason::ReplicaLinkDown),
        ],
    },
    Case {
        what: "a primary does not serve",
        change: |w| w.node("demo-1").cluster_ok = false,
        shows: &[(SlotsCovered, "False", Reason::SlotsNotCovered), (Ready, "False", Reason::SlotsNotCovered)],
    },
    Case {
        what: "nobody answers",
        change: |w| (0..4).for_each(|i| w.lose(&format!("demo-{i}"), Unreachable::TimedOut)),
        shows: &[
            (SlotsCovered, "Unknown", Reason::NodesUnreachable),
            (Ready, "Unknown", Reason::NodesUnreachable),
        ],
    },
    Case {
        what: "a rule is refused",
        change: |w| {
            w.user_state("demo-3", UserState::Refused { words: "Unknown command".to_owned(), lets_in: true });
        },
        shows: &[(AclApplied, "False", Reason::RuleRefused), (Ready, "False", Reason::RuleRefused)],
    },
    Case {
        what: "a user is not set everywhere yet",
        change: |w| w.user_state("demo-3", UserState::Pending),
        shows: &[(AclApplied, "False", Reason::AclNotApplied)],
    },
    Case {
        what: "a change waits",
        change: |w| {
            let mut carried = w.cluster.spec.clone();
            carried.users.clear();
            w.inputs.in_force = Some(carried);
            w.cluster.spec.image = "redis:8.6".to_owned();
        },
        shows: &[(UpdatePending, "True", Reason::WaitingForRoll), (Ready, "True", Reason::WaitingForRoll)],
    },
    Case {
        what: "a pod is older than the template",
        change: |w| {
            w.observed.stateful_set.as_mut().unwrap().update_revision = Some("new".to_owned());
            for (pod, member) in &mut w.observed.pods {
                member.revision = Some(if pod.as_str() == "demo-1" { "old" } else { "new" }.to_owned());
            }
        },
        shows: &[(UpdatePending, "True", Reason::WaitingForRoll), (Ready, "True", Reason::WaitingForRoll)],
    },
    Case {
        what: "slots are on no pod",
        change: |w| {
            if let Role::Primary { slots, .. } = &mut w.node("demo-0").role {
                *slots = SlotSet::empty();
            }
        },
        shows: &[
            (ConsentNeeded, "True", Reason::SlotsLost),
            (SlotsCovered, "False", Reason::SlotsLost),
            (Ready, "False", Reason::SlotsLost),
        ],
    },
    Case {
        what: "a pod can't be placed",
        change: |w| {
            w.lose("demo-2", Unreachable::NoAddress);
            let pod = w.observed.pods.get_mut(&PodName::new("demo-2")).unwrap();
            pod.trouble = Some(PodTrouble::Unschedulable("0/3 nodes are available".to_owned()));
        },
        shows: &[(Degraded, "True", Reason::Unschedulable)],
    },
    Case {
        what: "a pod is not made",
        change: |w| {
            w.observed.pods.remove(&PodName::new("demo-2"));
            let words = "Kubernetes does not make it: exceeded quota".to_owned();
            w.observed.absent.insert(PodName::new("demo-2"), words);
        },
        shows: &[(Degraded, "True", Reason::PodNotMade), (Ready, "True", Reason::PodNotMade)],
    },
    Case {
        what: "a server refuses a directive at its start",
        change: |w| {
            w.observed.formed = false;
            w.cluster.spec.config.insert("hz".to_owned(), "often".to_owned());
            w.lose("demo-2", Unreachable::NoAddress);
            let refused =
                PodTrouble::ConfigRefused { line: "hz often".to_owned(), why: "no number".to_owned() };
            w.observed.pods.get_mut(&PodName::new("demo-2")).unwrap().trouble = Some(refused);
        },
        shows: &[
            (ConfigApplied, "False", Reason::DirectiveRefused),
            (Degraded, "True", Reason::PodCrashLooping),
        ],
    },
    Case {
        what: "an operation failed",
        change: |w| {
            w.outcome = Outcome::Failed { operation: "meet".to_owned(), error: "timed out".to_owned() }
        },
        shows: &[(Degraded, "True", Reason::OperationFailed)],
    },
    Case {
        what: "an object of an earlier resource is held by a finalizer",
        change: |w| w.outcome = Outcome::Held("Service/demo is still being deleted".to_owned()),
        shows: &[(Degraded, "True", Reason::ResourceConflict), (Ready, "True", Reason::ResourceConflict)],
    },
    Case {
        what: "a user's Secret can't be written",
        change: |w| {
            w.report.secrets_problem = Some("Secret/demo-user-worker is still being deleted".to_owned());
        },
        shows: &[(AclApplied, "False", Reason::AclNotApplied), (Ready, "False", Reason::AclNotApplied)],
    },
    Case {
        what: "not formed yet",
        change: |w| w.observed.formed = false,
        shows: &[(Ready, "False", Reason::Forming), (AclApplied, "False", Reason::Forming)],
    },
];

#[test]
fn each_trouble_shows_in_its_condition() {
    for Case { what, change, shows } in CASES {
        let mut world = settled();
        change(&mut world);
        let status = world.status();
        for (kind, value, reason) in *shows {
            assert!(
                is(&status, *kind, value, *reason),
                "{what}: {kind} should be {value} {reason}: {:#?}",
                status.conditions
            );
        }
    }
}

#[test]
fn times_of_transition_stay_while_a_condition_stays() {
    let mut world = settled();
    world.cluster.status = Some(world.status());
    let desired = Desired::from_spec(&world.cluster, &world.inputs);
    world.plan.message = "something else".to_owned();
    let later = status(StatusInputs {
        cluster: &world.cluster,
        desired: &desired,
        topology: Some((&world.observed, &world.plan, &world.outcome)),
        settings: Some(&world.report),
        now: Timestamp::UNIX_EPOCH + Duration::from_mins(1),
    });
    let epoch = Timestamp::UNIX_EPOCH;
    assert!(later.conditions.iter().all(|c| c.last_transition_time.0 == epoch));
}

#[test]
fn what_was_not_looked_at_yet_stays_as_it_is() {
    let mut world = settled();
    world.cluster.status = Some(world.status());
    let desired = Desired::from_spec(&world.cluster, &world.inputs);
    let fresh = StatusInputs {
        cluster: &world.cluster,
        desired: &desired,
        topology: None,
        settings: None,
        now: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(
        Some(&status(fresh)),
        world.cluster.status.as_ref(),
        "a restart of the operator changes nothing"
    );
    let topology = Some((&world.observed, &world.plan, &world.outcome));
    assert!(is(
        &status(StatusInputs { topology, ..fresh }),
        ConditionType::Ready,
        "True",
        Reason::AllHealthy
    ));
}

/// A new process knows nothing of users yet; the last word on them was about another resource.
#[test]
fn a_change_is_not_ready_before_the_settings_were_looked_at() {
    let mut world = settled();
    world.cluster.status = Some(world.status());
    world.cluster.metadata.generation = Some(4);
    let told = world.status_before_settings();
    assert!(is(&told, ConditionType::Ready, "False", Reason::AclNotApplied), "{:#?}", told.conditions);
}

#[test]
fn a_missing_secret_is_told_while_the_cluster_is_forming() {
    let mut world = settled();
    world.observed.formed = false;
    world.cluster.spec.users[0].passwords =
        serde_json::from_value(json!([{"secretKeyRef": {"name": "nowhere", "key": "password"}}])).unwrap();
    let told = world.status_before_settings();
    assert!(is(&told, ConditionType::AclApplied, "False", Reason::SecretNotFound), "{:#?}", told.conditions);
}

#[test]
fn numbers_that_always_move_are_not_written_alone() {
    let before = settled().status();
    let mut memory = before.clone();
    memory.shards[0].memory_bytes += 5;
    memory.shards[0].replicas[0].lag_bytes = Some(0);
    let long = Duration::from_hours(1);
    assert!(!is_worth_writing(Some(&before), &memory, long));
    let mut keys = before.clone();
    keys.shards[0].keys += 1;
    assert!(!is_worth_writing(Some(&before), &keys, Duration::from_secs(5)));
    assert!(is_worth_writing(Some(&before), &keys, long));
    let mut step = before.clone();
    step.step = Some("meet_nodes".to_owned());
    assert!(is_worth_writing(Some(&before), &step, Duration::ZERO));
}

#[test]
fn events_tell_of_changes_only() {
    let world = settled();
    let before = world.status();
    assert_eq!(transitions(Some(&before), &before), vec![]);
    let mut lost = settled();
    lost.lose("demo-0", Unreachable::Refused);
    let events = transitions(Some(&before), &lost.status());
    assert!(events.iter().any(|e| e.warning && e.reason == "ShardWithoutPrimary"), "{events:?}");
    let healed = transitions(Some(&lost.status()), &before);
    assert!(healed.iter().any(|e| !e.warning && e.reason == "AllHealthy"), "{healed:?}");
    let mut forming = settled();
    forming.observed.formed = false;
    let first: Vec<String> = transitions(None, &forming.status()).into_iter().map(|e| e.reason).collect();
    assert_eq!(first, ["Forming"]);
}
