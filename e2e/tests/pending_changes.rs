//! Changes that a later version carries out are accepted and named, and nothing of them gets through.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::steps::{WORKER_SECRET, formed, storage};

#[test]
fn changes_that_wait_are_named_and_reach_nothing() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 1, 1);
        spec.storage = Some(storage("64Mi"));
        let cluster = formed(namespace, spec).await?;
        client::write_and_read(namespace, WORKER_SECRET, 300).await?;
        let before = everything(&cluster).await?;

        let changes = json!({
            "image": Server::Redis80.image(),
            "shards": 2,
            "replicasPerShard": 2,
            "resources": { "limits": { "memory": "256Mi" } },
            "config": { "maxmemory-policy": "allkeys-lru" },
            "storage": { "size": "128Mi", "persistence": "RDB" },
        });
        cluster.change(changes.clone()).await?;
        let pending = cluster.wait_for(ConditionType::UpdatePending, Reason::WaitingForRoll).await?;
        for field in changes.as_object().context("no object")?.keys() {
            ensure!(
                pending.message.contains(&format!("spec.{field}")),
                "{field} is not in: {}",
                pending.message
            );
        }
        unchanged(&before, &everything(&cluster).await?)?;

        a_restarted_pod_comes_back_as_it_was(&cluster, &before).await?;
        a_deleted_stateful_set_comes_back_as_it_was(&cluster, &before).await?;
        client::read(namespace, WORKER_SECRET, 300).await?;

        let revert = json!({
            "image": Server::Redis70.image(),
            "shards": 1,
            "replicasPerShard": 1,
            "resources": { "limits": null },
            "config": null,
        });
        cluster.change(revert).await?;
        let pending = cluster.wait_for(ConditionType::UpdatePending, Reason::WaitingForRoll).await?;
        ensure!(pending.message.contains("spec.storage"), "{}", pending.message);
        ensure!(!pending.message.contains("spec.image"), "{}", pending.message);
        Ok(())
    })
}

async fn a_restarted_pod_comes_back_as_it_was(
    cluster: &Cluster,
    before: &BTreeMap<String, Value>,
) -> Result<()> {
    let uid = cluster.pods.get("demo-1").await?.uid();
    cluster.pods.delete("demo-1", &DeleteParams::default()).await?;
    is_back(cluster, "demo-1", uid).await?;
    wait::until("all is as before", wait::SOON, async || unchanged(before, &everything(cluster).await?)).await
}

/// Its pods go with it, and nobody but the operator knows what they were made from.
async fn a_deleted_stateful_set_comes_back_as_it_was(
    cluster: &Cluster,
    before: &BTreeMap<String, Value>,
) -> Result<()> {
    let pods = cluster.list_pods().await?;
    let sets = cluster.namespace.api::<StatefulSet>();
    sets.delete("demo", &DeleteParams::default()).await?;
    for pod in pods {
        is_back(cluster, &pod.name_any(), pod.uid()).await?;
    }
    wait::until("all is as before", wait::SOON, async || unchanged(before, &everything(cluster).await?)).await
}

async fn is_back(cluster: &Cluster, pod: &str, uid: Option<String>) -> Result<()> {
    wait::until(&format!("{pod} is back"), wait::A_WHILE, async || {
        let pod = cluster.pods.get(pod).await?;
        ensure!(pod.uid() != uid, "it is not gone yet");
        let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        ensure!(is_ready, "{conditions:?}");
        Ok(())
    })
    .await
}

fn unchanged(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Result<()> {
    for (what, value) in before {
        ensure!(after.get(what) == Some(value), "{what} was {value} and is {:?}", after.get(what));
    }
    ensure!(before.len() == after.len(), "there is more than before: {:?}", after.keys());
    Ok(())
}

/// All that a change could reach: the workload, files, volumes, and the settings of each node.
async fn everything(cluster: &Cluster) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let namespace = &cluster.namespace;
    let workload = namespace.api::<StatefulSet>().get("demo").await?;
    all.insert("StatefulSet".to_owned(), json!([workload.metadata.generation, workload.spec]));
    let every = ListParams::default();
    for map in namespace.api::<ConfigMap>().list(&every.clone().labels("keyslot.dev/cluster=demo")).await? {
        all.insert(format!("ConfigMap {}", map.name_any()), json!(map.data));
    }
    for claim in namespace.api::<PersistentVolumeClaim>().list(&every).await? {
        let asked = claim.spec.as_ref().and_then(|spec| spec.resources.clone());
        all.insert(format!("claim {}", claim.name_any()), json!(asked));
    }
    for pod in cluster.list_pods().await? {
        let name = pod.name_any();
        let settings = ["maxmemory", "maxmemory-policy", "cluster-node-timeout", "appendonly"]
            .map(|name| format!("CONFIG GET {name}"));
        let answers = nodes::ask(cluster, &name, &settings.each_ref().map(String::as_str)).await?;
        let image = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| &container.image);
        all.insert(format!("image of {name}"), json!(image.collect::<Vec<_>>()));
        all.insert(format!("settings of {name}"), json!(answers));
    }
    Ok(all)
}
