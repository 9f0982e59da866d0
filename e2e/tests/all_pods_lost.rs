//! A cluster all of whose pods are lost at one moment comes back from its volumes.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};

use crate::steps::{WORKER_SECRET, formed, storage};

const KEYS: usize = 300;

#[test]
fn a_cluster_whose_pods_are_all_deleted_at_once_comes_back_with_all_keys() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis80, 3, 1);
        spec.storage = Some(storage("64Mi"));
        let cluster = formed(namespace, spec).await?;
        client::write_and_read(namespace, WORKER_SECRET, KEYS).await?;
        let before = uids(&cluster).await?;

        let ours = ListParams::default().labels("keyslot.dev/cluster=demo");
        cluster.pods.delete_collection(&DeleteParams::default().grace_period(0), &ours).await?;
        wait::until("all pods are new and answer", wait::A_WHILE, async || {
            let now = uids(&cluster).await?;
            ensure!(now.len() == before.len(), "{} pods", now.len());
            ensure!(now.is_disjoint(&before), "a pod was not deleted");
            // The word Ready is of the time before until the operator has seen what happened.
            assert_answers(&cluster).await
        })
        .await?;
        cluster.wait_ready().await?;
        // Pods that come back at different moments are failed over. (Nothing moves primaries back over the
        // hosts yet.)
        wait::until("the cluster is whole", wait::A_WHILE, async || {
            invariants::check_all_but_places(&nodes::read_all(&cluster).await?, 3, 1)
        })
        .await?;
        client::read(namespace, WORKER_SECRET, KEYS).await?;
        cluster.wait_ready().await?;
        Ok(())
    })
}

async fn uids(cluster: &Cluster) -> Result<BTreeSet<Option<String>>> {
    Ok(cluster.list_pods().await?.iter().map(ResourceExt::uid).collect())
}

/// Every pod is ready in the eyes of Kubernetes: its server answers the probe.
async fn assert_answers(cluster: &Cluster) -> Result<()> {
    for pod in cluster.list_pods().await? {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        ensure!(ready, "{} is not ready", pod.name_any());
    }
    Ok(())
}
