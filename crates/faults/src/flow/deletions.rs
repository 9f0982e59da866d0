//! What a person deletes in flows, each to an end that a person would wait for.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keyslot_testkit::redis_server::RawConnection;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::oracles::ledger;
use crate::scene::{NAME, PATIENCE, Scene, until};

pub(super) async fn delete_files(scene: &Scene) -> Result<()> {
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

/// Objects that nobody has mounted.
pub(super) async fn delete_services_and_budgets(scene: &Scene) -> Result<()> {
    delete_until_replaced::<Service>(scene, &[NAME.to_owned(), format!("{NAME}-client")]).await?;
    let budgets = scene.api::<PodDisruptionBudget>().list(&ListParams::default()).await?;
    let names: Vec<String> = budgets.iter().map(ResourceExt::name_any).collect();
    delete_until_replaced::<PodDisruptionBudget>(scene, &names).await?;
    scene.ready().await
}

/// With its pods, which go with their owner.
pub(super) async fn delete_set(scene: &Scene) -> Result<()> {
    delete_until_replaced::<StatefulSet>(scene, &[NAME.to_owned()]).await?;
    until("all pods are of the new StatefulSet", async || {
        let set = scene.api::<StatefulSet>().get(NAME).await?.uid();
        let pods = scene.pods().await?;
        let theirs = pods
            .iter()
            .filter(|pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.as_ref()));
        let theirs = theirs.count();
        ensure!(theirs == 6 && pods.len() == 6, "{theirs} of {} are", pods.len());
        Ok(())
    })
    .await?;
    scene.all_ready(6).await?;
    scene.ready().await
}

pub(super) async fn lose_system_secret(scene: &Scene) -> Result<()> {
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

/// With its pod, as by a person who replaces a broken disk.
pub(super) async fn lose_volume(scene: &Scene) -> Result<()> {
    let (claim, pod) = ("data-demo-0", "demo-0");
    let uid = scene.api::<PersistentVolumeClaim>().get(claim).await?.uid();
    scene.delete_object::<PersistentVolumeClaim>(claim).await?;
    scene.delete_object::<Pod>(pod).await?;
    until("the pod has another volume", async || {
        let claim = scene.api::<PersistentVolumeClaim>().get(claim).await?;
        ensure!(claim.uid() != uid, "it is the old one");
        Ok(())
    })
    .await?;
    scene.all_ready(6).await?;
    scene.ready().await
}

/// The operator's user of one node, as by somebody with the right to do it: the node has to start again to have it back.
pub(super) async fn lock_out(scene: &Scene) -> Result<()> {
    let pod = "demo-5";
    let (uid, address) = (scene.api::<Pod>().get(pod).await?.uid(), scene.address(pod).await?);
    let delete = move || {
        let mut node = RawConnection::open((address, 6379).into(), PATIENCE)?;
        node.ask(&["AUTH", ledger::USER, ledger::PASSWORD])?;
        node.ask(&["ACL", "DELUSER", "keyslot-operator"])
    };
    let deleted = tokio::task::spawn_blocking(delete).await??;
    ensure!(deleted == "1", "no user was deleted: {deleted}");
    until("the pod is another one", async || {
        let now = scene.api::<Pod>().get(pod).await.context("it has gone")?.uid();
        ensure!(now != uid, "it is the old one");
        Ok(())
    })
    .await?;
    scene.all_ready(6).await?;
    scene.ready().await
}

/// Deletes objects, and waits until there are others of their names.
async fn delete_until_replaced<K>(scene: &Scene, names: &[String]) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let mut deleted = Vec::new();
    for name in names {
        deleted.push((name, scene.api::<K>().get(name).await?.uid()));
        scene.delete_object::<K>(name).await?;
    }
    for (name, uid) in deleted {
        until(&format!("{name} is back"), async || {
            let there = scene.api::<K>().get(name).await?;
            ensure!(there.uid() != uid && there.meta().deletion_timestamp.is_none(), "it is the old one");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
