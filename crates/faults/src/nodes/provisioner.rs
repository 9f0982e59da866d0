//! The driver of volumes: a folder for each claim, on the machine that the scheduler has chosen for its pod.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

const CLASS: &str = "played";
const DRIVER: &str = "keyslot.dev/played";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Folder of a volume.
pub fn folder_of(volumes: &Path, volume: &str) -> PathBuf {
    volumes.join(volume)
}

/// Makes the storage class that claims get by default.
pub async fn make_class(client: &Client) -> Result<()> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {
            "name": CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": DRIVER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &class).await?;
    Ok(())
}

/// Makes and removes volumes for ever.
pub async fn provision(client: Client, volumes: PathBuf) {
    let claims = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), watcher::Config::default());
    let made = watcher(Api::<PersistentVolume>::all(client.clone()), watcher::Config::default());
    let mut claims = std::pin::pin!(claims.default_backoff().applied_objects());
    let mut made = std::pin::pin!(made.default_backoff().applied_objects());
    loop {
        let done = tokio::select! {
            Some(claim) = claims.next() => match claim {
                Ok(claim) => make(&client, &volumes, &claim).await,
                Err(error) => Err(error.into()),
            },
            Some(volume) = made.next() => match volume {
                Ok(volume) => remove(&client, &volumes, &volume).await,
                Err(error) => Err(error.into()),
            },
            else => return,
        };
        if let Err(error) = done {
            eprintln!("volumes: {error:#}");
        }
    }
}

async fn make(client: &Client, volumes: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let spec = claim.spec.as_ref().context("a claim without a spec")?;
    let Some(node) = claim.annotations().get(SELECTED_NODE) else { return Ok(()) };
    let ours = spec.storage_class_name.as_deref() == Some(CLASS);
    if !ours || spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = format!("pvc-{}", claim.uid().context("a claim without a uid")?);
    let folder = folder_of(volumes, &name);
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o777))?;
    let host = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": DRIVER } },
        "spec": {
            "capacity": spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
            "accessModes": spec.access_modes,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "volumeMode": "Filesystem",
            "local": { "path": folder },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [host] }] } },
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.metadata.namespace,
                "name": claim.metadata.name,
                "uid": claim.metadata.uid,
            },
        },
    }))?;
    match Api::<PersistentVolume>::all(client.clone()).create(&PostParams::default(), &volume).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn remove(client: &Client, volumes: &Path, volume: &PersistentVolume) -> Result<()> {
    let released = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released");
    if !released || volume.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = volume.name_any();
    let folder = folder_of(volumes, &name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    // Deleting twice is no failure: an event may come more than once.
    let _ = tokio::time::timeout(
        Duration::from_secs(5),
        Api::<PersistentVolume>::all(client.clone()).delete(&name, &DeleteParams::default()),
    )
    .await;
    Ok(())
}
