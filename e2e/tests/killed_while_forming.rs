//! Whatever dies while a cluster forms, the next pass goes on, and there is one cluster in the end.
//!
//! Forming takes about two seconds once all pods run. A quota of the namespace that lacks room for one pod
//! holds it back for as long as a death needs; each death is proven to come before the end of forming.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Secret};
use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::RedisClusterSpec;
use keyslot_e2e::clusters::{self, Cluster, condition};
use keyslot_e2e::invariants::assert_invariants;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, client, operator, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::steps::{NAME, WORKER_SECRET, storage};

/// Pods of the clusters of this file: three shards with a replica each.
const PODS: usize = 6;
const QUOTA: &str = "room-for-all-but-one";

#[test]
fn a_cluster_forms_although_its_operator_dies_again_and_again() -> Result<()> {
    with_namespace(async |namespace| {
        hold_one_pod_back(namespace).await?;
        let cluster = Cluster::create(namespace, NAME, clusters::spec(Server::Redis80, 3, 1)).await?;
        let sets = namespace.api::<StatefulSet>();
        wait::until("there is a StatefulSet", wait::A_WHILE, async || Ok(sets.get(NAME).await?)).await?;
        leader_dies_while_forming(&cluster, "with a StatefulSet").await?;

        // The next one finds what the first has left.
        operator::leader(&namespace.client).await?;
        wait::until("all pods but one run", wait::A_WHILE, async || running(&cluster, PODS - 1).await)
            .await?;
        leader_dies_while_forming(&cluster, "with all pods but one").await?;

        // The third dies as soon as all pods run, which is in the midst of forming if nothing is slow.
        let leader = operator::leader(&namespace.client).await?;
        let_all_pods_come(&cluster).await?;
        all_run(&cluster).await?;
        operator::kill(&namespace.client, &leader).await?;
        println!("{leader} died with all pods; formed: {}", is_formed(&cluster).await?);
        ends_well(&cluster).await
    })
}

#[test]
fn a_cluster_in_memory_forms_although_its_pods_die() -> Result<()> {
    with_namespace(async |namespace| {
        let spec = clusters::spec(Server::Valkey91, 3, 1);
        forms_although_pods_die(namespace, spec).await
    })
}

#[test]
fn a_cluster_with_volumes_forms_although_its_pods_die() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 3, 1);
        spec.storage = Some(storage("64Mi"));
        forms_although_pods_die(namespace, spec).await
    })
}

async fn forms_although_pods_die(namespace: &Namespace, spec: RedisClusterSpec) -> Result<()> {
    hold_one_pod_back(namespace).await?;
    let cluster = Cluster::create(namespace, NAME, spec).await?;
    wait::until("all pods but one run", wait::A_WHILE, async || running(&cluster, PODS - 1).await).await?;
    let victim = cluster.list_pods().await?.first().context("there is no pod")?.name_any();
    let step = still_forming(&cluster).await?;
    dies(&cluster, &victim).await?;
    still_forming(&cluster).await.with_context(|| format!("{victim} was to die at step {step}"))?;
    println!("{victim} died at step {step}");

    let_all_pods_come(&cluster).await?;
    for name in ["demo-4", "demo-2"] {
        wait::until(&format!("{name} runs"), wait::A_WHILE, async || {
            let status = cluster.pods.get(name).await?.status.unwrap_or_default();
            ensure!(status.phase.as_deref() == Some("Running"), "{:?}", status.phase);
            Ok(())
        })
        .await?;
        dies(&cluster, name).await?;
        println!("{name} died; formed: {}", is_formed(&cluster).await?);
    }
    ends_well(&cluster).await
}

async fn dies(cluster: &Cluster, pod: &str) -> Result<()> {
    cluster.pods.delete(pod, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// Kills the leader; forming was under way before and is not done after it.
async fn leader_dies_while_forming(cluster: &Cluster, when: &str) -> Result<()> {
    let client = &cluster.namespace.client;
    let leader = operator::leader(client).await?;
    let step = still_forming(cluster).await?;
    operator::kill(client, &leader).await?;
    still_forming(cluster).await.with_context(|| format!("{leader} was to die at step {step}"))?;
    println!("{leader} died {when}, at step {step}");
    Ok(())
}

/// Fails unless forming has begun and not ended; returns its step.
async fn still_forming(cluster: &Cluster) -> Result<String> {
    let resource = cluster.get().await?;
    let ready = condition(&resource, ConditionType::Ready);
    ensure!(ready.as_ref().is_none_or(|ready| ready.status != "True"), "it is Ready already: {ready:?}");
    ensure!(!is_formed(cluster).await?, "it has formed already");
    cluster.namespace.api::<StatefulSet>().get(NAME).await.context("forming has not begun")?;
    Ok(resource.status.and_then(|status| status.step).unwrap_or_else(|| "unknown".to_owned()))
}

/// The operator's own mark, set by the last step of forming.
async fn is_formed(cluster: &Cluster) -> Result<bool> {
    let secret = cluster.namespace.api::<Secret>().get_opt("demo-system").await?;
    Ok(secret.and_then(|secret| secret.data).is_some_and(|data| data.contains_key("formed")))
}

async fn hold_one_pod_back(namespace: &Namespace) -> Result<()> {
    let quota = serde_json::from_value(json!({
        "metadata": { "name": QUOTA },
        "spec": { "hard": { "pods": (PODS - 1).to_string() } },
    }))?;
    namespace.api::<ResourceQuota>().create(&PostParams::default(), &quota).await?;
    Ok(())
}

/// Takes the quota away. Kubernetes tries ever more rarely to make the pod that was refused, but at once when
/// another pod of the set changes.
async fn let_all_pods_come(cluster: &Cluster) -> Result<()> {
    cluster.namespace.api::<ResourceQuota>().delete(QUOTA, &DeleteParams::default()).await?;
    let mut look: u32 = 0;
    wait::until("all pods are there", wait::A_WHILE, async || {
        let pods = cluster.list_pods().await?;
        if pods.len() == PODS {
            return Ok(());
        }
        look += 1;
        let patch = json!({ "metadata": { "annotations": { "keyslot-e2e/look": look.to_string() } } });
        if let Some(pod) = pods.first() {
            cluster.pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
        bail!("{} of {PODS}", pods.len())
    })
    .await
}

async fn running(cluster: &Cluster, wanted: usize) -> Result<()> {
    let runs = |pod: &&Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
    let running = cluster.list_pods().await?.iter().filter(runs).count();
    ensure!(running == wanted, "{running} pods run");
    Ok(())
}

/// Without the pause of [`wait::until`]: what comes next is over soon.
async fn all_run(cluster: &Cluster) -> Result<()> {
    let look = async {
        while running(cluster, PODS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(wait::A_WHILE, look).await.context("not all pods run")
}

async fn ends_well(cluster: &Cluster) -> Result<()> {
    cluster.wait_ready().await?;
    assert_invariants(cluster).await?;
    client::write_and_read(&cluster.namespace, WORKER_SECRET, 300).await?;
    Ok(())
}
