//! Who comes back without memory costs no data: a primary without its keys, an operator without its passwords.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::api::DeleteParams;

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
fn a_lost_system_secret_is_told_and_a_new_resource_takes_the_data_over() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 1, 1);
        spec.storage = Some(storage("64Mi"));
        let cluster = formed(namespace, spec.clone()).await?;
        client::write_and_read(namespace, WORKER_SECRET, KEYS).await?;
        namespace.api::<Secret>().delete("demo-system", &DeleteParams::default()).await?;

        let told = cluster.wait_for(ConditionType::Degraded, Reason::SystemSecretLost).await?;
        ensure!(told.message.contains("demo-system"), "{}", told.message);
        client::read(namespace, WORKER_SECRET, KEYS).await?;

        cluster.delete().await?;
        Cluster::create(namespace, NAME, spec).await?.wait_ready().await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        Ok(())
    })
}
