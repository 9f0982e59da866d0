//! What people change or delete by hand comes back; what they add stays.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::steps::{WORKER_SECRET, formed};

#[test]
fn objects_that_are_changed_or_deleted_by_hand_come_back() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis80, 1, 1)).await?;
        let (services, budgets) = (namespace.api::<Service>(), namespace.api::<PodDisruptionBudget>());
        let (secrets, maps) = (namespace.api::<Secret>(), namespace.api::<ConfigMap>());
        let by_hand = PatchParams::default();

        let nobody = json!({
            "metadata": { "annotations": { "example.com/added": "yes" } },
            "spec": { "selector": { "keyslot.dev/cluster": "another" } },
        });
        services.patch("demo-client", &by_hand, &Patch::Merge(nobody)).await?;
        let all = json!({ "spec": { "minAvailable": 0 } });
        budgets.patch("demo-0", &by_hand, &Patch::Merge(all)).await?;
        secrets.delete(WORKER_SECRET, &DeleteParams::default()).await?;
        maps.delete("demo-connection", &DeleteParams::default()).await?;

        wait::until("everything is as it was", wait::A_WHILE, async || repaired(&cluster).await).await?;
        let service = services.get("demo-client").await?;
        ensure!(service.annotations().contains_key("example.com/added"), "what was added is gone");
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;
        Ok(())
    })
}

async fn repaired(cluster: &Cluster) -> Result<()> {
    let namespace = &cluster.namespace;
    let selector = namespace.api::<Service>().get("demo-client").await?.spec.and_then(|spec| spec.selector);
    let selects = selector.as_ref().and_then(|selector| selector.get("keyslot.dev/cluster"));
    ensure!(selects.is_some_and(|name| name == "demo"), "the Service selects {selector:?}");
    let budget = namespace.api::<PodDisruptionBudget>().get("demo-0").await?.spec;
    let least = budget.and_then(|spec| spec.min_available);
    ensure!(json!(least) == 1, "the budget keeps {least:?}");
    cluster.secret(WORKER_SECRET, "password").await?;
    namespace.api::<ConfigMap>().get("demo-connection").await?;
    Ok(())
}
