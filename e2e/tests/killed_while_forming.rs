//! Whatever dies while a cluster forms, the next pass goes on, and there is one cluster in the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants::assert_invariants;
use keyslot_e2e::settings::{OPERATOR_NAMESPACE, Server};
use keyslot_e2e::{client, install, wait, with_namespace};
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};
use rand::RngExt;

use crate::steps::{NAME, WORKER_SECRET, storage};

const DEATHS_OF_THE_OPERATOR: usize = 3;

#[test]
fn a_cluster_forms_although_its_operator_dies_again_and_again() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = Cluster::create(namespace, NAME, clusters::spec(Server::Redis80, 3, 1)).await?;
        for _ in 0..DEATHS_OF_THE_OPERATOR {
            let leader = leader(&namespace.client).await?;
            // Anywhere in the middle of its work.
            tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..2500))).await;
            let step = cluster.get().await?.status.and_then(|status| status.step);
            println!("{leader} dies at step {step:?}");
            let pods = Api::<Pod>::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
            pods.delete(&leader, &DeleteParams::default().grace_period(0)).await?;
        }
        cluster.wait_ready().await?;
        assert_invariants(&cluster).await?;
        client::write_and_read(namespace, WORKER_SECRET, 300).await?;
        Ok(())
    })
}

#[test]
fn a_cluster_in_memory_forms_although_its_pods_die() -> Result<()> {
    with_namespace(async |namespace| {
        let spec = clusters::spec(Server::Valkey91, 3, 1);
        forms_although_pods_die(&Cluster::create(namespace, NAME, spec).await?).await
    })
}

#[test]
fn a_cluster_with_volumes_forms_although_its_pods_die() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 3, 1);
        spec.storage = Some(storage("64Mi"));
        forms_although_pods_die(&Cluster::create(namespace, NAME, spec).await?).await
    })
}

async fn forms_although_pods_die(cluster: &Cluster) -> Result<()> {
    for name in ["demo-0", "demo-4", "demo-2"] {
        wait::until(&format!("{name} runs"), wait::A_WHILE, async || {
            let status = cluster.pods.get(name).await?.status.unwrap_or_default();
            ensure!(status.phase.as_deref() == Some("Running"), "{:?}", status.phase);
            Ok(())
        })
        .await?;
        let step = cluster.get().await?.status.and_then(|status| status.step);
        println!("{name} dies at step {step:?}");
        cluster.pods.delete(name, &DeleteParams::default().grace_period(0)).await?;
    }
    cluster.wait_ready().await?;
    assert_invariants(cluster).await?;
    client::write_and_read(&cluster.namespace, WORKER_SECRET, 300).await?;
    Ok(())
}

/// The living pod that holds the operator's lease.
async fn leader(client: &Client) -> Result<String> {
    wait::until("an operator leads", wait::A_WHILE, async || {
        let leases = Api::<Lease>::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let leases = leases.list(&kube::api::ListParams::default()).await?;
        let holders: Vec<String> =
            leases.iter().filter_map(|lease| lease.spec.as_ref()?.holder_identity.clone()).collect();
        let pods = install::operator_pods(client).await?;
        let mut living = pods.iter().map(ResourceExt::name_any);
        living
            .find(|pod| holders.iter().any(|holder| holder.starts_with(pod.as_str())))
            .with_context(|| format!("{holders:?} hold the lease"))
    })
    .await
}
