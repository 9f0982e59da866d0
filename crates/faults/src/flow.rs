//! Flows: what a person does with a cluster, from a start to an end. Every request of the operator in between is a place
//! where something can go wrong.

use anyhow::{Result, ensure};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use keyslot_api::v1alpha1::{RedisClusterSpec, User};
use keyslot_testkit::builders::a_cluster;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::oracles::ledger;
use crate::scene::{NAME, Scene, until};

/// What a person does.
type Acts = for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, Result<()>>;

/// A flow.
#[derive(Clone, Copy)]
pub struct Flow {
    /// Its name, in replay lines and tables.
    pub name: &'static str,
    /// The cluster that is there at the start, Ready and with a full ledger; nothing is there without.
    pub start: Option<fn() -> RedisClusterSpec>,
    /// What is done, up to the end. Faults happen here.
    pub acts: Acts,
    /// What brings everything back to the start. No faults happen here.
    pub back: Acts,
    /// Shards and replicas of each, when a cluster is there at the end.
    pub end: Option<(usize, usize)>,
}

impl Flow {
    /// The flow of this name.
    pub fn named(name: &str) -> Option<Self> {
        FLOWS.iter().find(|flow| flow.name == name).copied()
    }
}

/// All flows.
pub const FLOWS: &[Flow] = &[
    Flow {
        name: "create",
        start: None,
        acts: |scene| async { create(scene, plain()).await }.boxed_local(),
        back: |scene| scene.delete().boxed_local(),
        end: Some((3, 1)),
    },
    Flow {
        name: "create-with-users",
        start: None,
        acts: |scene| async { create(scene, with_users()).await }.boxed_local(),
        back: |scene| scene.delete().boxed_local(),
        end: Some((3, 1)),
    },
    Flow {
        name: "user-changed",
        start: Some(with_users),
        acts: |scene| async { change_and_wait(scene, json!({ "users": other_users() })).await }.boxed_local(),
        back: |scene| {
            async { change_and_wait(scene, json!({ "users": with_users().users })).await }.boxed_local()
        },
        end: Some((3, 1)),
    },
    Flow {
        name: "paused-and-on-again",
        start: Some(with_users),
        acts: |scene| async { edit_while_paused(scene).await }.boxed_local(),
        back: |scene| {
            async { change_and_wait(scene, json!({ "users": with_users().users })).await }.boxed_local()
        },
        end: Some((3, 1)),
    },
    Flow {
        name: "change-that-waits",
        start: Some(plain),
        acts: |scene| async { change_that_waits(scene).await }.boxed_local(),
        back: |scene| {
            let back = json!({ "config": null, "resources": null, "shards": 3 });
            async { change_and_wait(scene, back).await }.boxed_local()
        },
        end: Some((3, 1)),
    },
    Flow {
        name: "files-deleted-by-hand",
        start: Some(plain),
        acts: |scene| async { delete_files(scene).await }.boxed_local(),
        back: |_| async { Ok(()) }.boxed_local(),
        end: Some((3, 1)),
    },
    Flow {
        name: "system-secret-lost-and-put-back",
        start: Some(plain),
        acts: |scene| async { lose_system_secret(scene).await }.boxed_local(),
        back: |_| async { Ok(()) }.boxed_local(),
        end: Some((3, 1)),
    },
    Flow {
        name: "delete",
        start: Some(plain),
        acts: |scene| scene.delete().boxed_local(),
        back: |scene| async { create(scene, plain()).await }.boxed_local(),
        end: None,
    },
    Flow {
        name: "re-create-on-kept-volumes",
        start: Some(on_volumes),
        acts: |scene| async { re_create(scene, on_volumes()).await }.boxed_local(),
        back: |_| async { Ok(()) }.boxed_local(),
        end: Some((3, 1)),
    },
    Flow {
        name: "re-create-with-fewer-shards",
        start: Some(on_volumes),
        acts: |scene| async { re_create_with_fewer_shards(scene).await }.boxed_local(),
        back: |scene| async { re_create(scene, on_volumes()).await }.boxed_local(),
        end: Some((3, 1)),
    },
];

/// 3 shards with 1 replica each, in memory, with the user of the ledger.
fn plain() -> RedisClusterSpec {
    let mut spec = a_cluster().resource().spec;
    "localhost/redis:7.0".clone_into(&mut spec.image);
    spec.users = vec![ledger::user()];
    spec
}

fn on_volumes() -> RedisClusterSpec {
    let storage = a_cluster().persistent().resource().spec.storage;
    RedisClusterSpec { storage, ..plain() }
}

/// One shard with one replica, and every field that can be set on machines like ours.
pub fn every_field() -> RedisClusterSpec {
    let settings = json!({
        "image": "localhost/redis:7.0",
        "shards": 1,
        "replicasPerShard": 1,
        "resources": { "requests": { "cpu": "10m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
        "maxMemoryPercent": 60,
        "config": { "maxmemory-policy": "allkeys-lru", "tcp-keepalive": "60" },
        "storage": { "size": "1Gi", "persistence": "AOF", "retentionPolicy": { "onDelete": "Delete" } },
        "aclStorage": "Secret",
        "clientEndpoint": "Hostname",
        "clusterNodeTimeout": "5s",
        "podLabels": { "team": "shop" },
        "podAnnotations": { "example.com/note": "a note" },
        "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "redis", "effect": "NoSchedule" }],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        }],
        "imagePullSecrets": [{ "name": "registry" }],
    });
    let mut spec: RedisClusterSpec = serde_json::from_value(settings).unwrap_or_else(|_| plain());
    let selectors = serde_json::from_value(json!([{ "rules": ["~other:*", "+get"] }])).unwrap_or_default();
    spec.users = vec![ledger::user(), User { selectors, ..user("app", &["~app:*", "+@read"]) }];
    spec
}

fn with_users() -> RedisClusterSpec {
    let mut spec = plain();
    spec.users
        .extend([user("app", &["~app:*", "+@read", "+@write"]), user("reports", &["%R~app:*", "+@read"])]);
    spec
}

/// One user with other rules, one gone, one new, one switched off.
fn other_users() -> Vec<User> {
    let off = User { enabled: false, ..user("off", &["~*", "+ping"]) };
    vec![
        ledger::user(),
        user("app", &["~app:*", "~more:*", "+@read", "+@write"]),
        user("fresh", &["+ping"]),
        off,
    ]
}

/// With a generated password.
fn user(name: &str, rules: &[&str]) -> User {
    User {
        name: name.to_owned(),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        passwords: Vec::new(),
        ..ledger::user()
    }
}

async fn create(scene: &Scene, spec: RedisClusterSpec) -> Result<()> {
    scene.apply(spec).await?;
    scene.ready().await?;
    ledger::write(scene).await
}

async fn change_and_wait(scene: &Scene, spec: Value) -> Result<()> {
    scene.change(spec).await?;
    scene.ready().await?;
    scene.says("UpdatePending", "False", None).await
}

async fn edit_while_paused(scene: &Scene) -> Result<()> {
    scene.change(json!({ "paused": true })).await?;
    scene.says("Paused", "True", None).await?;
    scene.change(json!({ "users": other_users() })).await?;
    scene.says("Paused", "True", None).await?;
    change_and_wait(scene, json!({ "paused": false })).await
}

async fn change_that_waits(scene: &Scene) -> Result<()> {
    let workload = async || {
        let set = scene.api::<StatefulSet>().get(NAME).await?;
        let files = scene.api::<ConfigMap>().get(&format!("{NAME}-config")).await?;
        Ok::<_, anyhow::Error>((set.metadata.uid, set.spec, files.data))
    };
    let before = workload().await?;
    let change = json!({
        "config": { "maxmemory-policy": "allkeys-lru" },
        "resources": { "limits": { "memory": "512Mi" } },
        "shards": 5,
    });
    scene.change(change).await?;
    scene.says("UpdatePending", "True", Some("WaitingForRoll")).await?;
    scene.ready().await?;
    ensure!(workload().await? == before, "the change has reached the StatefulSet or the files");
    Ok(())
}

async fn delete_files(scene: &Scene) -> Result<()> {
    let names = ["config", "acl", "connection"].map(|part| format!("{NAME}-{part}"));
    for name in &names {
        scene.delete_object::<ConfigMap>(name).await?;
    }
    for name in &names {
        until(&format!("{name} is back"), async || {
            let map = scene.api::<ConfigMap>().get(name).await?;
            let lines = map.data.iter().flatten().find(|(file, _)| *file == "users.acl");
            let has_users = lines.is_none_or(|(_, text)| text.contains(ledger::USER));
            ensure!(map.metadata.deletion_timestamp.is_none() && has_users, "it is not whole");
            Ok(())
        })
        .await?;
    }
    scene.ready().await
}

async fn lose_system_secret(scene: &Scene) -> Result<()> {
    let (secrets, name) = (scene.api::<Secret>(), format!("{NAME}-system"));
    let mut backup = secrets.get(&name).await?;
    scene.delete_object::<Secret>(&name).await?;
    scene.says("Degraded", "True", Some("SystemSecretLost")).await?;
    backup.metadata.resource_version = None;
    backup.metadata.uid = None;
    secrets.create(&PostParams::default(), &backup).await?;
    scene.says("Degraded", "False", None).await?;
    scene.ready().await
}

async fn re_create(scene: &Scene, spec: RedisClusterSpec) -> Result<()> {
    scene.delete().await?;
    scene.apply(spec).await?;
    scene.ready().await
}

async fn re_create_with_fewer_shards(scene: &Scene) -> Result<()> {
    re_create(scene, RedisClusterSpec { shards: 2, ..on_volumes() }).await?;
    scene.says("UpdatePending", "True", Some("WaitingForRoll")).await
}
