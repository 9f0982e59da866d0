//! What a person does in flows, each to an end that a person would wait for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use keyslot_api::v1alpha1::RedisClusterSpec;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::clusters::{on_volumes, other_users, with_users};
use crate::nodes::{Machine, Order};
use crate::oracles::{invariants, ledger};
use crate::scene::{NAME, Scene, until};

pub(super) async fn create(scene: &Scene, spec: RedisClusterSpec) -> Result<()> {
    scene.apply(spec).await?;
    scene.ready().await?;
    ledger::write(scene).await
}

pub(super) async fn change_and_wait(scene: &Scene, spec: Value) -> Result<()> {
    scene.change(spec).await?;
    scene.ready().await?;
    scene.says("UpdatePending", "False", None).await
}

/// The users of the start, and nothing left of others: what a person would clean up.
pub(super) async fn restore_users(scene: &Scene) -> Result<()> {
    change_and_wait(scene, json!({ "users": with_users().users })).await?;
    let mut passwords = serde_json::Map::new();
    for user in ["fresh", "off"] {
        let left =
            scene.api::<Secret>().delete(&format!("{NAME}-user-{user}"), &DeleteParams::default()).await;
        ensure!(left.is_ok() || user == "off", "no Secret of {user} was left: {left:?}");
        passwords.insert(format!("user.{user}"), Value::Null);
    }
    let patch = Patch::Merge(json!({ "data": passwords }));
    scene.api::<Secret>().patch(&format!("{NAME}-system"), &PatchParams::default(), &patch).await?;
    Ok(())
}

pub(super) async fn edit_while_paused(scene: &Scene) -> Result<()> {
    scene.change(json!({ "paused": true })).await?;
    scene.says("Paused", "True", None).await?;
    let users = async || {
        let file = scene.api::<ConfigMap>().get(&format!("{NAME}-acl")).await?.data;
        Ok::<_, anyhow::Error>((file, invariants::users(scene).await?))
    };
    let before = users().await?;
    scene.change(json!({ "users": other_users() })).await?;
    scene.says("Paused", "True", None).await?;
    // It would take a fraction of that.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(users().await? == before, "users were changed while it was paused");
    change_and_wait(scene, json!({ "paused": false })).await
}

pub(super) async fn change_that_waits(scene: &Scene) -> Result<()> {
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
    let status = scene.cluster().await?.status.unwrap_or_default();
    let pending = status.conditions.into_iter().find(|one| one.type_ == "UpdatePending");
    let words = pending.context("UpdatePending has gone")?.message;
    for field in ["config", "resources", "shards"] {
        ensure!(words.contains(field), "{field} waits, and UpdatePending does not say so: {words}");
    }
    ensure!(workload().await? == before, "the change has reached the StatefulSet or the files");
    Ok(())
}

/// What becomes of volumes when the resource is deleted.
pub(super) async fn change_retention(scene: &Scene, on_delete: &str) -> Result<()> {
    change_and_wait(scene, json!({ "storage": { "retentionPolicy": { "onDelete": on_delete } } })).await?;
    until("the StatefulSet has it", async || {
        let set = scene.api::<StatefulSet>().get(NAME).await?;
        let policy = set.spec.and_then(|spec| spec.persistent_volume_claim_retention_policy);
        let found = policy.and_then(|policy| policy.when_deleted);
        ensure!(found.as_deref() == Some(on_delete), "whenDeleted is {found:?}");
        Ok(())
    })
    .await
}

pub(super) async fn re_create(scene: &Scene, spec: RedisClusterSpec) -> Result<()> {
    scene.delete().await?;
    scene.apply(spec).await?;
    scene.ready().await
}

/// With requests just before the old one goes: what hides something at one of them may hide the end of the old one too.
pub(super) async fn re_create_without_a_pause(scene: &Scene) -> Result<()> {
    scene.change(json!({ "users": other_users() })).await?;
    scene.says("AclApplied", "True", None).await?;
    re_create(scene, on_volumes()).await
}

pub(super) async fn re_create_with_fewer_shards(scene: &Scene) -> Result<()> {
    re_create(scene, RedisClusterSpec { shards: 2, ..on_volumes() }).await?;
    scene.says("UpdatePending", "True", Some("WaitingForRoll")).await
}

/// One pod to a new address, and another one to the address that it had.
pub(super) async fn move_pods(scene: &Scene) -> Result<()> {
    let before = scene.address("demo-0").await?;
    scene.move_pod("demo-0").await?;
    scene.kubelets.next_address(&scene.namespace, "demo-1", before);
    scene.move_pod("demo-1").await?;
    scene.ready().await
}

/// A third of the pods, for longer than it takes to elect.
pub(super) async fn cut_power(scene: &Scene) -> Result<()> {
    let host = scene.host("demo-0").await?;
    let machines = Machine::of_group(&scene.group);
    let machine =
        machines.iter().find(|machine| machine.name == host).context("a pod of nobody's machine")?;
    scene.kubelets.power_off(&machine.name).await;
    scene.says("Degraded", "True", Some("NodeUnreachable")).await?;
    scene.says("SlotsCovered", "True", None).await?;
    scene.kubelets.power_on(machine).await?;
    scene.says("Degraded", "False", None).await?;
    scene.ready().await
}

pub(super) async fn let_hang(scene: &Scene) -> Result<()> {
    scene.kubelets.order(&scene.namespace, "demo-0", Order::Hang)?;
    scene.says("Degraded", "True", Some("NodeUnreachable")).await?;
    scene.kubelets.order(&scene.namespace, "demo-0", Order::GoOn)?;
    scene.says("Degraded", "False", None).await?;
    scene.ready().await
}

/// For longer than it takes to elect.
pub(super) async fn cut_cable(scene: &Scene) -> Result<()> {
    scene.kubelets.order(&scene.namespace, "demo-0", Order::Cut)?;
    scene.says("Degraded", "True", Some("NodeUnreachable")).await?;
    scene.says("SlotsCovered", "True", None).await?;
    scene.kubelets.order(&scene.namespace, "demo-0", Order::Join)?;
    scene.says("Degraded", "False", None).await?;
    scene.ready().await
}

/// Users are changed, and a server starts again from files of before: it has the new ones all the same.
pub(super) async fn kill_with_old_files(scene: &Scene) -> Result<()> {
    scene.kubelets.delay_projection(&scene.namespace, Duration::from_hours(1));
    change_and_wait(scene, json!({ "users": other_users() })).await?;
    let restarts = scene.restarts("demo-5").await?;
    scene.kubelets.order(&scene.namespace, "demo-5", Order::Kill)?;
    until("the container was started again", async || {
        ensure!(scene.restarts("demo-5").await? > restarts, "it is the old one");
        Ok(())
    })
    .await?;
    scene.all_ready(6).await?;
    scene.ready().await?;
    scene.kubelets.delay_projection(&scene.namespace, Duration::ZERO);
    Ok(())
}
