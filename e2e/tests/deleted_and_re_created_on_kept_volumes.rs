//! Volumes outlive the resource unless they are told not to, and a new resource takes the data over.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::{Persistence, RedisClusterSpec, Retention};
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, client, nodes, wait, with_namespace};
use kube::api::ListParams;
use serde_json::json;

use crate::steps::{NAME, WORKER_SECRET, formed, storage};

const KEYS: usize = 1000;

#[test]
fn all_keys_are_back_in_a_cluster_of_the_same_size() -> Result<()> {
    with_namespace(async |namespace| {
        let spec = spec(Server::Redis80);
        write_and_delete(namespace, spec.clone()).await?;
        formed(namespace, spec).await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        Ok(())
    })
}

#[test]
fn volumes_go_with_the_resource_when_they_are_told_to() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis86, 1, 1);
        let mut storage = storage("64Mi");
        storage.retention_policy.on_delete = Retention::Delete;
        spec.storage = Some(storage);
        let cluster = formed(namespace, spec).await?;
        ensure!(volumes(namespace).await? == 2, "there are no volumes");
        cluster.delete().await?;
        wait::until("the volumes are gone", wait::A_WHILE, async || {
            let left = volumes(namespace).await?;
            ensure!(left == 0, "{left} are left");
            Ok(())
        })
        .await
    })
}

#[test]
fn all_keys_are_back_although_fewer_shards_are_wanted() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = spec(Server::Valkey91);
        write_and_delete(namespace, spec.clone()).await?;
        spec.shards = 2;
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        // The cluster that is found is taken over as it is; making it smaller is a change that waits.
        let pending = cluster.wait_for(ConditionType::UpdatePending, Reason::WaitingForRoll).await?;
        ensure!(pending.message.contains("spec.shards"), "{}", pending.message);
        cluster.wait_for(ConditionType::SlotsCovered, Reason::AllHealthy).await?;
        wait::until("the old cluster is whole", wait::SOON, async || {
            invariants::check(&nodes::read_all(&cluster).await?, 3, 1)
        })
        .await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        Ok(())
    })
}

/// A server reads only the kind of file that it is told to. One that would start empty does not start at all.
#[test]
fn volumes_that_were_written_otherwise_are_not_taken_for_empty() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Valkey81, 1, 1);
        spec.storage = Some(storage("64Mi"));
        write_and_delete(namespace, spec.clone()).await?;
        if let Some(storage) = &mut spec.storage {
            storage.persistence = Persistence::Rdb;
        }
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        let trouble = cluster.wait_for(ConditionType::Degraded, Reason::PodCrashLooping).await?;
        ensure!(trouble.message.contains("set it back to AOF"), "{}", trouble.message);
        cluster.change(json!({ "storage": { "persistence": "AOF" } })).await?;
        cluster.wait_ready().await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        Ok(())
    })
}

fn spec(server: Server) -> RedisClusterSpec {
    let mut spec = clusters::spec(server, 3, 1);
    spec.storage = Some(storage("64Mi"));
    spec
}

/// Leaves the volumes, and nothing else.
async fn write_and_delete(namespace: &Namespace, spec: RedisClusterSpec) -> Result<()> {
    let nodes = usize::try_from(spec.shards * (1 + spec.replicas_per_shard))?;
    let cluster = formed(namespace, spec).await?;
    client::write_and_read(namespace, WORKER_SECRET, KEYS).await?;
    cluster.delete().await?;
    wait::until("all but the volumes is gone", wait::SOON, async || {
        let ours = ListParams::default().labels("keyslot.dev/cluster=demo");
        let left = [
            namespace.api::<Secret>().list(&ours).await?.items.len(),
            namespace.api::<ConfigMap>().list(&ours).await?.items.len(),
            namespace.api::<Service>().list(&ours).await?.items.len(),
        ];
        ensure!(left == [0, 0, 0], "{left:?} Secrets, ConfigMaps and Services are left");
        Ok(())
    })
    .await?;
    let volumes = volumes(namespace).await?;
    ensure!(volumes == nodes, "{volumes} volumes of {nodes} pods are left");
    Ok(())
}

async fn volumes(namespace: &Namespace) -> Result<usize> {
    Ok(namespace.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items.len())
}
