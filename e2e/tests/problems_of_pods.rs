//! Pods that can't be made or can't run: a condition says which and why, and correcting it heals it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, ResourceQuota};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use keyslot_api::conditions::Reason;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants::assert_invariants;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{wait, with_namespace};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::steps::{NAME, formed, storage};

#[test]
fn an_object_of_someone_else_is_told_and_not_touched() -> Result<()> {
    with_namespace(async |namespace| {
        let maps = namespace.api::<ConfigMap>();
        let mut foreign = ConfigMap {
            data: Some(BTreeMap::from([("mine".to_owned(), "yes".to_owned())])),
            ..ConfigMap::default()
        };
        foreign.metadata.name = Some("demo-config".to_owned());
        let foreign = maps.create(&PostParams::default(), &foreign).await?;
        let cluster = Cluster::create(namespace, NAME, clusters::spec(Server::Redis70, 1, 0)).await?;
        let told = told(&cluster, Reason::ResourceConflict).await?;
        ensure!(told.message.contains("demo-config"), "{}", told.message);
        ensure!(maps.get("demo-config").await? == foreign, "it was changed");
        maps.delete("demo-config", &DeleteParams::default()).await?;
        heals(&cluster).await
    })
}

#[test]
fn a_volume_of_someone_else_is_told_and_not_taken() -> Result<()> {
    with_namespace(async |namespace| {
        let claims = namespace.api::<PersistentVolumeClaim>();
        let claim = json!({
            "metadata": { "name": "data-demo-0" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "64Mi" } } },
        });
        claims.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
        let mut spec = clusters::spec(Server::Redis70, 1, 0);
        spec.storage = Some(storage("64Mi"));
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        let told = told(&cluster, Reason::ResourceConflict).await?;
        ensure!(told.message.contains("data-demo-0"), "{}", told.message);
        ensure!(cluster.list_pods().await?.is_empty(), "pods have taken it");
        // As the message says.
        let ours = Patch::Merge(json!({ "metadata": { "labels": { "keyslot.dev/cluster": NAME } } }));
        claims.patch("data-demo-0", &PatchParams::default(), &ours).await?;
        heals(&cluster).await
    })
}

#[test]
fn an_image_that_does_not_exist_is_told_and_can_be_corrected() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis80, 1, 0);
        let image = std::mem::replace(&mut spec.image, "localhost/redis:0.0".to_owned());
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        let told = told(&cluster, Reason::ImagePullFailed).await?;
        ensure!(told.message.contains("demo-0"), "{}", told.message);
        cluster.change(json!({ "image": image })).await?;
        heals(&cluster).await
    })
}

#[test]
fn a_pod_that_fits_on_no_host_is_told_and_can_be_corrected() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis80, 1, 0);
        spec.node_selector = BTreeMap::from([("example.com/pool".to_owned(), "nowhere".to_owned())]);
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        let told = told(&cluster, Reason::Unschedulable).await?;
        ensure!(told.message.contains("demo-0"), "{}", told.message);
        cluster.change(json!({ "nodeSelector": null })).await?;
        heals(&cluster).await
    })
}

#[test]
fn a_setting_with_which_no_server_starts_is_told_and_can_be_corrected() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 1, 0);
        spec.config = BTreeMap::from([("maxmemory-policy".to_owned(), "all-of-them".to_owned())]);
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        let told = told(&cluster, Reason::DirectiveRefused).await?;
        for word in ["spec.config.maxmemory-policy", "demo-0", "all-of-them", "volatile-lru"] {
            ensure!(told.message.contains(word), "no {word}: {}", told.message);
        }
        cluster.change(json!({ "config": { "maxmemory-policy": "allkeys-lru" } })).await?;
        heals(&cluster).await
    })
}

#[test]
fn a_pod_that_a_quota_forbids_is_told_and_made_later() -> Result<()> {
    with_namespace(async |namespace| {
        let quotas = namespace.api::<ResourceQuota>();
        let quota = json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": "2" } } });
        quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
        let cluster = Cluster::create(namespace, NAME, clusters::spec(Server::Redis80, 3, 0)).await?;
        let told = told(&cluster, Reason::PodNotMade).await?;
        for word in ["demo-", "exceeded quota", "few"] {
            ensure!(told.message.contains(word), "no {word}: {}", told.message);
        }
        quotas.delete("few", &DeleteParams::default()).await?;
        // As the reason's meaning says.
        let any_change = Patch::Merge(json!({ "metadata": { "annotations": { "example.com/try": "now" } } }));
        namespace.api::<StatefulSet>().patch(NAME, &PatchParams::default(), &any_change).await?;
        heals(&cluster).await
    })
}

#[test]
fn a_pod_that_has_lost_its_label_is_told() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis80, 1, 0)).await?;
        let label = |value: Value| {
            Patch::Merge(json!({ "metadata": { "labels": { "keyslot.dev/cluster": value } } }))
        };
        cluster.pods.patch("demo-0", &PatchParams::default(), &label(Value::Null)).await?;
        let told = told(&cluster, Reason::PodNotMade).await?;
        ensure!(told.message.contains("demo-0: it is there without the label"), "{}", told.message);
        // As the message says.
        cluster.pods.patch("demo-0", &PatchParams::default(), &label(NAME.into())).await?;
        heals(&cluster).await
    })
}

/// Some condition has this reason.
async fn told(cluster: &Cluster, reason: Reason) -> Result<Condition> {
    wait::until(&format!("{reason} is told"), wait::A_WHILE, async || {
        let resource = cluster.get().await?;
        let conditions = resource.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.clone().find(|one| one.reason == reason.as_str()).cloned();
        found.ok_or_else(|| anyhow::anyhow!("{}", clusters::summary(&resource)))
    })
    .await
}

async fn heals(cluster: &Cluster) -> Result<()> {
    cluster.wait_ready().await?;
    assert_invariants(cluster).await?;
    Ok(())
}
