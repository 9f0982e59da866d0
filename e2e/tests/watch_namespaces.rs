//! An operator that is limited to a namespace needs no right elsewhere and looks nowhere else.
//!
//! The installed operator looks after all namespaces, so the limited one must not change anything: it may only
//! read, comes when its cluster is settled, and goes before the cluster does. That it leads in its own Lease
//! and shows the cluster as it is proves that it works; that it acts is what all other stories show.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::operator::{LEASE, Metrics, holder};
use keyslot_e2e::settings::{self, OPERATOR_NAMESPACE, Server};
use keyslot_e2e::{Namespace, install, operator, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::steps::{NAME, formed};

const LIMITED: &str = "limited";

#[test]
fn an_operator_of_one_namespace_needs_no_right_elsewhere_and_looks_nowhere_else() -> Result<()> {
    with_namespace(async |namespace| {
        let other = Namespace::create(&namespace.client).await?;
        let outcome = story(namespace, &other).await;
        if !settings::keeps_namespaces() {
            other.delete().await?;
        }
        outcome
    })
}

async fn story(namespace: &Namespace, other: &Namespace) -> Result<()> {
    let elsewhere = formed(other, clusters::spec(Server::Valkey81, 1, 0)).await?;
    let cluster = formed(namespace, clusters::spec(Server::Valkey81, 1, 0)).await?;
    start(namespace).await?;
    wait::until("it shows the cluster of its namespace", wait::A_WHILE, async || {
        let metrics = of_the_limited(namespace).await?;
        let labels = [("namespace", namespace.name.as_str()), ("name", NAME)];
        let shown = ["keyslot_cluster_ready", "keyslot_cluster_slots_served", "keyslot_cluster_nodes"]
            .map(|name| metrics.sum(name, &labels));
        ensure!(shown == [Some(1.0), Some(16384.0), Some(1.0)], "{shown:?}");
        ensure!(metrics.sum("keyslot_leader", &[]) == Some(1.0), "it does not lead");
        Ok(())
    })
    .await?;
    let lease = namespace.api::<Lease>().get(LEASE).await?;
    ensure!(holder(&lease).is_some_and(|holder| holder.starts_with(LIMITED)), "{lease:?}");
    // Something to see for whoever looks at the other namespace.
    change_and_await(&elsewhere).await?;
    left_alone(&of_the_limited(namespace).await?, namespace)?;
    stop(namespace).await?;
    ensure!(cluster.get().await?.metadata.deletion_timestamp.is_none(), "the cluster is going away");
    Ok(())
}

/// It has looked at its own cluster without a failure, changed no node, and knows no other namespace.
fn left_alone(metrics: &Metrics, namespace: &Namespace) -> Result<()> {
    let commands = metrics.sum("keyslot_redis_commands_total", &[]);
    ensure!(commands.is_none(), "it has sent {commands:?} commands");
    let errors: Vec<_> = metrics.with("keyslot_reconcile_errors_total", &[]).collect();
    ensure!(errors.is_empty(), "{errors:?}");
    let ready: Vec<_> = metrics.with("keyslot_cluster_ready", &[]).collect();
    let ours = ready.iter().all(|series| series.labels.get("namespace") == Some(&namespace.name));
    ensure!(ours && ready.len() == 1, "{ready:?}");
    Ok(())
}

async fn change_and_await(cluster: &Cluster) -> Result<()> {
    let mut users = cluster.get().await?.spec.users;
    users.push(clusters::user("another", &["~other:*", "+get"]));
    cluster.set_users(&users).await?;
    cluster.wait_ready().await?;
    Ok(())
}

/// The installed operator once more, in this namespace, limited to it, with rights to read in it and to its
/// own Lease.
async fn start(namespace: &Namespace) -> Result<()> {
    let name = &namespace.name;
    let metadata = json!({ "name": LIMITED, "namespace": name });
    let rbac = "rbac.authorization.k8s.io";
    let account = json!({ "kind": "ServiceAccount", "name": LIMITED, "namespace": name });
    let objects = [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata,
            "rules": rules(namespace).await?,
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": LIMITED }, "subjects": [account],
        }),
        deployment(namespace, metadata).await?,
    ];
    for object in &objects {
        install::apply(&namespace.client, object).await?;
    }
    wait::until("the limited operator is available", wait::A_WHILE, async || {
        let status = namespace.api::<Deployment>().get(LIMITED).await?.status.unwrap_or_default();
        ensure!(status.available_replicas == Some(1), "{status:?}");
        Ok(())
    })
    .await
}

async fn rules(namespace: &Namespace) -> Result<Value> {
    let role = Api::<ClusterRole>::all(namespace.client.clone()).get("keyslot").await?;
    let mut rules = role.rules.context("the operator has no rules")?;
    for rule in &mut rules {
        rule.verbs.retain(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
    }
    rules.retain(|rule| !rule.verbs.is_empty());
    let mut rules = serde_json::to_value(rules)?;
    let lease = json!({
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "patch"],
    });
    rules.as_array_mut().context("rules are a list")?.push(lease);
    Ok(rules)
}

async fn deployment(namespace: &Namespace, metadata: Value) -> Result<Value> {
    let installed = Api::<Deployment>::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    let installed = installed.get("keyslot-operator").await?.spec.context("no spec")?;
    let labels = json!({ "app": LIMITED });
    let mut template = serde_json::to_value(installed.template)?;
    template["metadata"] = json!({ "labels": labels });
    let spec = &mut template["spec"];
    spec["serviceAccountName"] = json!(LIMITED);
    spec["serviceAccount"] = json!(LIMITED);
    spec["topologySpreadConstraints"] = json!([]);
    let arguments = spec.pointer_mut("/containers/0/args").and_then(Value::as_array_mut);
    let arguments = arguments.context("the operator has no arguments")?;
    arguments.push(json!(format!("--watch-namespaces={}", namespace.name)));
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": template },
    }))
}

async fn of_the_limited(namespace: &Namespace) -> Result<Metrics> {
    let pods = limited_pods(namespace).await?;
    let pod = pods.first().context("it has no pod")?;
    operator::metrics(&namespace.client, &namespace.name, &pod.name_any()).await
}

async fn limited_pods(namespace: &Namespace) -> Result<Vec<Pod>> {
    let ours = ListParams::default().labels(&format!("app={LIMITED}"));
    Ok(namespace.api::<Pod>().list(&ours).await?.items)
}

async fn stop(namespace: &Namespace) -> Result<()> {
    namespace.api::<Deployment>().delete(LIMITED, &DeleteParams::default()).await?;
    wait::until("the limited operator is gone", wait::A_WHILE, async || {
        let pods = limited_pods(namespace).await?.len();
        ensure!(pods == 0, "{pods} pods");
        Ok(())
    })
    .await
}
