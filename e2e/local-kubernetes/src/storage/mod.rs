//! The provisioner: makes volumes on demand, lets them grow, removes them. It runs beside the control
//! plane as a process of its own, like the driver of a cloud's disks.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::stream::select;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::api;
use crate::layout::{Node, PROVISIONER, State};

pub mod disks;
mod quantity;
mod tasks;

use tasks::{Objects, PROVISIONED_BY, Task};

/// How often everything is looked at although nothing was reported: what failed is tried again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Never returns while the cluster is up.
pub async fn provision(state: &State) -> Result<()> {
    let client = api::client(&state.client("provisioner")).await?;
    let claims = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), watcher::Config::default());
    let volumes = watcher(Api::<PersistentVolume>::all(client.clone()), watcher::Config::default());
    let mut changes = select(
        claims.default_backoff().map(|event| event.map(|_| ())).boxed(),
        volumes.default_backoff().map(|event| event.map(|_| ())).boxed(),
    );
    loop {
        if let Err(error) = pass(state, &client).await {
            eprintln!("{error:#}");
        }
        let _ = tokio::time::timeout(PATIENCE, changes.next()).await;
        // Changes come in bursts; one look at everything answers all of them.
        while tokio::time::timeout(Duration::from_millis(20), changes.next()).await.is_ok() {}
    }
}

async fn pass(state: &State, client: &Client) -> Result<()> {
    for task in tasks::decide(&look(client).await?) {
        // One volume's trouble, such as a node without power, must not hold up the others.
        if let Err(error) = carry_out(state, client, &task).await {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

async fn look(client: &Client) -> Result<Objects> {
    let all = ListParams::default();
    Ok(Objects {
        classes: Api::<StorageClass>::all(client.clone()).list(&all).await?.items,
        claims: Api::<PersistentVolumeClaim>::all(client.clone()).list(&all).await?.items,
        volumes: Api::<PersistentVolume>::all(client.clone()).list(&all).await?.items,
    })
}

async fn carry_out(state: &State, client: &Client, task: &Task) -> Result<()> {
    let volumes = Api::<PersistentVolume>::all(client.clone());
    match task {
        Task::Provision { claim, class, node, size } => {
            let name = tasks::volume_name(claim).context("a claim without a uid")?;
            disks::attach(state, *node, &name, *size)
                .with_context(|| format!("cannot make the disk {name}"))?;
            let volume = serde_json::from_value(volume(state, &name, claim, class, *node)?)?;
            volumes.create(&PostParams::default(), &volume).await?;
            println!("made {name} of {size} bytes on {} for {}", node.name(), claim.name_any());
        }
        Task::Grow { claim, volume, node, size } => {
            disks::grow(state, *node, volume, *size).with_context(|| format!("cannot grow {volume}"))?;
            let capacity = json!({ "storage": asked(claim)? });
            let patch = Patch::Merge(json!({ "spec": { "capacity": capacity } }));
            volumes.patch(volume, &PatchParams::default(), &patch).await?;
            let claims = Api::<PersistentVolumeClaim>::namespaced(
                client.clone(),
                &claim.namespace().unwrap_or_default(),
            );
            let patch = Patch::Merge(json!({ "status": { "capacity": capacity, "conditions": null } }));
            claims.patch_status(&claim.name_any(), &PatchParams::default(), &patch).await?;
            println!("grew {volume} to {size} bytes");
        }
        Task::Remove { volume, node } => {
            disks::remove(state, *node, volume)
                .with_context(|| format!("cannot remove the disk {volume}"))?;
            volumes.delete(volume, &DeleteParams::default()).await?;
            println!("removed {volume}");
        }
    }
    Ok(())
}

/// The size in the words of the claim.
fn asked(claim: &PersistentVolumeClaim) -> Result<Value> {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let storage = requests.and_then(|requests| requests.get("storage")).context("a claim without a size")?;
    Ok(json!(storage.0))
}

fn volume(
    state: &State,
    name: &str,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    node: Node,
) -> Result<Value> {
    let spec = claim.spec.as_ref().context("a claim without a spec")?;
    let host = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node.name()] });
    Ok(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: PROVISIONER } },
        "spec": {
            "capacity": { "storage": asked(claim)? },
            "accessModes": spec.access_modes,
            "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
            "storageClassName": class.metadata.name,
            "volumeMode": "Filesystem",
            "local": { "path": state.mounts(node).join(name) },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [host] }] } },
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.metadata.namespace,
                "name": claim.metadata.name,
                "uid": claim.metadata.uid,
            },
        },
    }))
}
