//! Who comes back without memory costs no data: a primary without its keys, an operator without its passwords.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::Retention;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::api::DeleteParams;
use serde_json::json;

use crate::steps::{DEFAULT_SECRET, NAME, WORKER_SECRET, formed, storage};

const KEYS: usize = 300;

#[test]
fn a_primary_whose_container_restarts_empty_does_not_empty_its_replica() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis80, 3, 1);
        spec.cluster_node_timeout = "2s".to_owned();
        let cluster = formed(namespace, spec).await?;
        client::write_and_read(namespace, WORKER_SECRET, KEYS).await?;
        let status = cluster.status().await?;
        let primary = status.shards.first().and_then(|shard| shard.primary.clone());
        let primary = primary.ok_or_else(|| anyhow::anyhow!("shard 0 has no primary"))?;
        let password = cluster.secret(DEFAULT_SECRET, "password").await?;
        // The end of its process may come before the end of the conversation.
        let _ = nodes::ask_as(&cluster, &primary, "default", &password, &["SHUTDOWN NOSAVE NOW FORCE"]).await;

        wait::until("another one is the primary of shard 0", wait::A_WHILE, async || {
            let now = cluster.status().await?.shards.first().and_then(|shard| shard.primary.clone());
            ensure!(now.as_ref().is_some_and(|now| *now != primary), "{now:?}");
            Ok(())
        })
        .await?;
        cluster.wait_ready().await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        // Its former primary follows it. (Nothing moves primaries back over the hosts yet.)
        cluster.wait_for(ConditionType::ReplicasHealthy, Reason::AllReplicasInSync).await?;
        Ok(())
    })
}

#[test]
fn a_replica_in_memory_whose_pod_is_deleted_is_replaced() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Valkey91, 3, 1)).await?;
        let nodes = nodes::read_all(&cluster).await?;
        let replica = nodes.iter().find(|node| node.myself().is_ok_and(|myself| myself.primary.is_some()));
        let replica = &replica.context("there is no replica")?.pod;
        cluster.pods.delete(replica, &DeleteParams::default().grace_period(0)).await?;
        wait::until("the cluster is whole again", wait::A_WHILE, async || {
            invariants::check_all_but_places(&nodes::read_all(&cluster).await?, 3, 1)
        })
        .await?;
        cluster.wait_for(ConditionType::ReplicasHealthy, Reason::AllReplicasInSync).await?;
        Ok(())
    })
}

#[test]
fn a_lost_system_secret_is_told_and_a_new_resource_takes_the_data_over() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 1, 1);
        let mut volumes = storage("64Mi");
        volumes.retention_policy.on_delete = Retention::Delete;
        spec.storage = Some(volumes);
        let cluster = formed(namespace, spec.clone()).await?;
        client::write_and_read(namespace, WORKER_SECRET, KEYS).await?;
        namespace.api::<Secret>().delete("demo-system", &DeleteParams::default()).await?;

        let told = cluster.wait_for(ConditionType::Degraded, Reason::SystemSecretLost).await?;
        for words in ["demo-system", "spec.storage.retentionPolicy.onDelete to Retain"] {
            ensure!(told.message.contains(words), "{}", told.message);
        }
        client::read(namespace, WORKER_SECRET, KEYS).await?;

        // As the message says.
        let keep = json!({ "storage": { "retentionPolicy": { "onDelete": "Retain" } } });
        cluster.change(keep).await?;
        wait::until("the StatefulSet keeps its volumes", wait::SOON, async || {
            let set = namespace.api::<StatefulSet>().get(NAME).await?.spec.unwrap_or_default();
            let policy = set.persistent_volume_claim_retention_policy.and_then(|policy| policy.when_deleted);
            ensure!(policy.as_deref() == Some("Retain"), "{policy:?}");
            Ok(())
        })
        .await?;
        cluster.delete().await?;
        Cluster::create(namespace, NAME, spec).await?.wait_ready().await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        Ok(())
    })
}
