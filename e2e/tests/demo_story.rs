//! The demo's story: one resource becomes a running cluster, and an application works with it.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keyslot_api::v1alpha1::{ClientEndpoint, RedisCluster};
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::exec::exec;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, client, wait, with_namespace};
use kube::api::ListParams;
use serde_json::Value;

use crate::steps::{DEFAULT_SECRET, WORKER_SECRET, formed, storage};

#[test]
fn redis_7_0_serves_clients_that_connect_by_pod_address() -> Result<()> {
    with_namespace(async |namespace| {
        let nodes = story(namespace, Server::Redis70, ClientEndpoint::Ip).await?;
        let is_address = |node: &String| host(node).is_some_and(|host| host.parse::<IpAddr>().is_ok());
        ensure!(nodes.iter().all(is_address), "{nodes:?}");
        Ok(())
    })
}

#[test]
fn valkey_9_1_serves_clients_that_connect_by_pod_name() -> Result<()> {
    with_namespace(async |namespace| {
        let nodes = story(namespace, Server::Valkey91, ClientEndpoint::Hostname).await?;
        let domain = format!(".demo.{}.svc.", namespace.name);
        ensure!(nodes.iter().all(|node| node.contains(&domain)), "{nodes:?}");
        Ok(())
    })
}

fn host(node: &str) -> Option<&str> {
    Some(node.rsplit_once(':')?.0)
}

/// Returns the addresses of the primaries as clients know them.
async fn story(namespace: &Namespace, server: Server, endpoint: ClientEndpoint) -> Result<Vec<String>> {
    let mut spec = clusters::spec(server, 3, 1);
    spec.storage = Some(storage("64Mi"));
    spec.client_endpoint = endpoint;
    let cluster = formed(namespace, spec).await?;
    // The kubelets look at their pods every few seconds, so their word comes after the operator's.
    wait::until("the status tells it", wait::SOON, async || {
        the_status_tells_it(&cluster.get().await?, server)
    })
    .await?;
    kubectl_shows_it(&cluster).await?;
    each_shard_can_spare_one_pod(namespace).await?;
    nobody_gets_in_without_a_password(&cluster).await?;
    let read = client::write_and_read(namespace, WORKER_SECRET, 1000).await?;
    ensure!(read.keys_by_primary.len() == 3, "{read:?}");
    rules_bind_the_worker_and_not_the_administrator(namespace).await?;
    Ok(read.keys_by_primary.into_keys().collect())
}

fn the_status_tells_it(cluster: &RedisCluster, server: Server) -> Result<()> {
    let status = cluster.status.as_ref().context("no status")?;
    let engine = status.engine.as_ref().context("no engine")?;
    ensure!(engine.name == server.engine() && engine.version.starts_with(server.version()), "{engine:?}");
    ensure!(status.ready_nodes.as_deref() == Some("6/6"), "{:?}", status.ready_nodes);
    ensure!(status.shard_count == Some(3) && status.shards.len() == 3, "{:?}", status.shards);
    for shard in &status.shards {
        ensure!(shard.primary.is_some() && !shard.slots.is_empty(), "{shard:?}");
        ensure!(shard.replicas.len() == 1 && shard.replicas.iter().all(|one| one.link_up), "{shard:?}");
    }
    for user in &status.users {
        ensure!((user.nodes_applied, user.nodes_total) == (6, 6), "{user:?}");
    }
    let binding = status.binding.as_ref().map(|binding| binding.name.as_str());
    ensure!(binding == Some(WORKER_SECRET), "{binding:?}");
    Ok(())
}

/// A drain may go on, one copy of a shard at a time.
async fn each_shard_can_spare_one_pod(namespace: &Namespace) -> Result<()> {
    wait::until("every budget allows one disruption", wait::A_WHILE, async || {
        let budgets = namespace.api::<PodDisruptionBudget>().list(&ListParams::default()).await?;
        let allowed: Vec<i32> =
            budgets.iter().filter_map(|budget| Some(budget.status.as_ref()?.disruptions_allowed)).collect();
        ensure!(allowed == [1, 1, 1], "{allowed:?}");
        Ok(())
    })
    .await
}

/// The columns of `kubectl get`, and the subresource of `kubectl scale`.
async fn kubectl_shows_it(cluster: &Cluster) -> Result<()> {
    let client = cluster.namespace.client.clone();
    let target = format!("{}/{}", cluster.api.resource_url(), cluster.name);
    let table = http::Request::get(&target).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = client.request(table.body(Vec::new())?).await?;
    let cells = &table["rows"][0]["cells"];
    let shown = serde_json::json!(["demo", 3, 1, "6/6", "AllHealthy"]);
    ensure!(
        cells.as_array().is_some_and(|cells| cells.starts_with(shown.as_array().map_or(&[], |all| all))),
        "{cells}"
    );
    let scale: Value =
        client.request(http::Request::get(format!("{target}/scale")).body(Vec::new())?).await?;
    ensure!(scale["spec"]["replicas"] == 3 && scale["status"]["replicas"] == 3, "{scale}");
    let selector = "keyslot.dev/cluster=demo,keyslot.dev/role=primary";
    ensure!(scale["status"]["selector"] == selector, "{scale}");
    Ok(())
}

async fn nobody_gets_in_without_a_password(cluster: &Cluster) -> Result<()> {
    let answer = exec(&cluster.pods, "demo-0", &["redis-cli"], "PING\nQUIT\n").await?;
    ensure!(answer.contains("NOAUTH"), "{answer}");
    Ok(())
}

async fn rules_bind_the_worker_and_not_the_administrator(namespace: &Namespace) -> Result<()> {
    let commands = ["run", "SET other:1 x", "CONFIG GET maxmemory", "FLUSHALL", "GET app:1"];
    let answers = client::run(namespace, WORKER_SECRET, &commands).await?;
    for forbidden in 0..3 {
        let error = answers[forbidden]["error"].as_str().unwrap_or_default();
        ensure!(error.to_lowercase().contains("perm"), "{answers}");
    }
    ensure!(answers[3]["error"].is_null(), "{answers}");
    let commands = ["run", "SET other:1 x", "GET other:1", "CONFIG GET maxmemory"];
    let answers = client::run(namespace, DEFAULT_SECRET, &commands).await?;
    let all_went_well = answers.as_array().is_some_and(|all| all.iter().all(|one| one["error"].is_null()));
    ensure!(all_went_well, "{answers}");
    Ok(())
}
