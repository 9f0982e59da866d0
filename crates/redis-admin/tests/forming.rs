//! The planner's steps against real servers: what the simulator promises, Redis and Valkey have to keep.
//!
//! Pods are server processes on loopback with addresses of their own; of Kubernetes only what forming needs is played:
//! the marker, and the labels of pods. The servers run with the users file and the password of replication that pods
//! get, so this also shows that the rules of the system's users are enough.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::desired::{SystemMemory, SystemPasswords};
use keyslot_planner::ids::{HostName, PodName, Uid};
use keyslot_planner::manifests::baseline_users_file;
use keyslot_planner::observed::{FilesSeen, Member, MemberLabels, Observed, Role, StatefulSetSeen};
use keyslot_planner::plan::{KubeOperation, Operation, Requeue, SETTLED};
use keyslot_planner::{Desired, Inputs, Plan, next_step};
use keyslot_redis_admin::{Credentials, NodeClient, NodeConnections};
use keyslot_testkit::redis_server::{OUTER_VERSIONS, PATIENCE, RedisServers, ServerOptions};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(2);

struct Formation {
    servers: RedisServers,
    client: NodeConnections,
    credentials: Credentials,
    desired: Desired,
    labels: BTreeMap<PodName, MemberLabels>,
    formed: bool,
    /// Operations that were tried.
    tried: usize,
    /// The operator "dies" after so many operations: the rest of that plan is never sent.
    dies_after: Option<usize>,
}

impl Formation {
    fn new(version: &str, shards: i32, replicas: i32) -> Self {
        let cluster: RedisCluster = serde_json::from_value(json!({
            "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "demo", "namespace": "shop", "uid": "1"},
            "spec": {"image": "redis:8.0", "shards": shards, "replicasPerShard": replicas},
        }))
        .unwrap();
        let system = SystemMemory {
            passwords: SystemPasswords {
                operator: Some("operator-password".into()),
                replication: Some("replication-password".into()),
                probe: Some("probe-password".into()),
            },
            ..SystemMemory::default()
        };
        let desired = Desired::from_spec(&cluster, &Inputs { system, ..Inputs::default() });
        let baseline = baseline_users_file(&desired);
        let acl: Vec<String> = baseline.lines().map(ToOwned::to_owned).collect();
        let config = ["masteruser keyslot-replication", "masterauth replication-password"];
        let count = usize::try_from(desired.pod_count()).unwrap();
        let servers =
            RedisServers::start(version, count, &ServerOptions { acl: &acl, config: &config }).unwrap();
        Self {
            servers,
            client: NodeConnections::default(),
            credentials: Credentials {
                username: "keyslot-operator".to_owned(),
                passwords: vec!["operator-password".into()],
            },
            desired,
            labels: BTreeMap::new(),
            formed: false,
            tried: 0,
            dies_after: None,
        }
    }

    async fn observe(&self) -> Observed {
        let looks =
            self.servers.iter().map(|server| self.client.observe(server.ip(), &self.credentials, LIMIT));
        let nodes = join_all(looks).await;
        let pods = nodes.into_iter().zip(self.servers.iter()).enumerate().map(|(i, (redis, server))| {
            let pod = PodName::new(format!("demo-{i}"));
            let member = Member {
                uid: Uid::new(format!("pod-{i}")),
                ip: Some(server.ip()),
                host: Some(HostName::new(format!("host-{}", i % 3))),
                zone: None,
                ready: redis.is_ok(),
                terminating: false,
                revision: None,
                labels: self.labels.get(&pod).cloned().unwrap_or_default(),
                trouble: None,
                redis,
            };
            (pod, member)
        });
        let files = |files| Some(FilesSeen { uid: Uid::new("files"), version: String::new(), files });
        let keyslot_planner::Manifest::ConfigMap(config) =
            keyslot_planner::manifests::config_files(&self.desired)
        else {
            panic!("the files of pods are a ConfigMap")
        };
        Observed {
            absent: [].into(),
            locked_out: BTreeSet::new(),
            pods: pods.collect(),
            stateful_set: Some(StatefulSetSeen {
                uid: Uid::new("set"),
                replicas: self.desired.pod_count(),
                update_revision: None,
                in_force: Some(self.desired.in_force.clone()),
                retention: None,
                terminating: false,
            }),
            config: files(config.data.unwrap_or_default()),
            acl: files(BTreeMap::new()),
            formed: self.formed,
            foreign_volumes: BTreeSet::new(),
            volumes: BTreeSet::new(),
        }
    }

    /// One pass of the topology loop. A refused or failed command ends it, as in the operator.
    async fn pass(&mut self) -> Plan {
        let plan = next_step(&self.desired, &self.observe().await, Timestamp::now());
        for operation in &plan.operations {
            if self.dies_after == Some(self.tried) {
                self.dies_after = None;
                return plan;
            }
            self.tried += 1;
            match operation {
                Operation::Redis { on, command } => {
                    if self.client.execute(on, &self.credentials, command).await.is_err() {
                        return plan;
                    }
                }
                Operation::Kube(KubeOperation::MarkFormed) => self.formed = true,
                Operation::Kube(KubeOperation::Label { pod, shard, role, .. }) => {
                    self.labels.insert(pod.clone(), MemberLabels { shard: *shard, role: *role });
                }
                Operation::Kube(other) => panic!("forming asked for {other:?}"),
            }
        }
        plan
    }

    async fn settle(&mut self) -> Duration {
        let began = Instant::now();
        loop {
            let plan = self.pass().await;
            if plan.step == SETTLED {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "stuck in {}: {}", plan.step, plan.message);
            if plan.requeue != Requeue::Now {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// All that forming promises, from what the nodes themselves say.
    async fn assert_formed(&self) {
        let observed = self.observe().await;
        let nodes: Vec<_> = observed.nodes().map(|(_, member, node)| (member, node)).collect();
        assert_eq!(nodes.len(), self.servers.len());
        let owners: Vec<_> = nodes.iter().filter(|(_, node)| !node.slots().is_empty()).collect();
        let shards = usize::try_from(self.desired.in_force.shards).unwrap();
        let replicas = usize::try_from(self.desired.in_force.replicas_per_shard).unwrap();
        assert_eq!(owners.len(), shards);
        assert_eq!(owners.iter().map(|(_, node)| node.slots().len()).sum::<usize>(), 16384, "no slot twice");
        let epochs: BTreeSet<u64> = owners.iter().map(|(_, node)| node.config_epoch).collect();
        assert_eq!(epochs.len(), shards, "config epochs are unique");
        for (_, node) in &nodes {
            assert!(node.cluster_ok && node.slots_known().is_all(), "{node:?}");
            assert_eq!(node.peers.len(), nodes.len() - 1, "{node:?}");
            assert_eq!(node.node_timeout, self.desired.node_timeout, "the short node-timeout is gone");
        }
        for (at, owner) in &owners {
            let copies: Vec<_> = nodes
                .iter()
                .filter(|(_, node)| matches!(&node.role, Role::Replica { of, link_up: true, .. } if *of == owner.id))
                .collect();
            assert_eq!(copies.len(), replicas, "in-sync replicas of {:?}", owner.id);
            let hosts: BTreeSet<_> = copies.iter().map(|(at, _)| &at.host).chain([&at.host]).collect();
            assert_eq!(hosts.len(), 1 + replicas, "copies of one shard are on different hosts");
        }
    }
}

async fn forms(version: &str, shards: i32, replicas: i32) {
    let mut formation = Formation::new(version, shards, replicas);
    let took = formation.settle().await;
    println!("{version} {shards}x{replicas}: settled after {} ms", took.as_millis());
    formation.assert_formed().await;
}

#[tokio::test]
async fn every_shape_forms_on_the_oldest_and_the_newest_server() {
    for version in OUTER_VERSIONS {
        for (shards, replicas) in [(3, 1), (3, 0), (1, 1), (1, 0), (3, 2)] {
            forms(version, shards, replicas).await;
        }
    }
}

#[tokio::test]
async fn the_versions_between_form() {
    for version in ["redis-8.0", "redis-8.6", "valkey-8.1"] {
        forms(version, 3, 1).await;
    }
}

#[tokio::test]
async fn twelve_nodes_form() {
    for version in OUTER_VERSIONS {
        forms(version, 6, 1).await;
    }
}

#[tokio::test]
async fn an_operator_that_dies_after_any_operation_is_followed_by_one_that_goes_on() {
    for version in OUTER_VERSIONS {
        // 6 × node-timeout, 3 × (epoch, slots), 30 × MEET, 3 × REPLICATE, 6 × node-timeout, marker: about 52.
        join_all([0, 3, 7, 9, 12, 20, 41, 43, 48].map(|dies_after| async move {
            let mut formation = Formation::new(version, 3, 1);
            formation.dies_after = Some(dies_after);
            formation.settle().await;
            assert_eq!(formation.dies_after, None, "the operator did die");
            formation.assert_formed().await;
        }))
        .await;
    }
}

#[tokio::test]
async fn a_node_that_comes_back_without_memory_while_forming_takes_its_place_again() {
    for version in OUTER_VERSIONS {
        join_all((0..6).map(|victim| async move {
            let mut formation = Formation::new(version, 3, 1);
            formation.pass().await;
            let server = &mut formation.servers[victim];
            server.kill().unwrap();
            std::fs::remove_file(server.folder().join("nodes.conf")).unwrap();
            server.spawn().unwrap();
            server.listens().unwrap();
            formation.settle().await;
            formation.assert_formed().await;
        }))
        .await;
    }
}
