//! Talks to the cluster's API server: waits for it and for the nodes, makes the objects that every
//! cluster has.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node as NodeObject, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use crate::layout::{DNS_PORT, DNS_SERVICE_ADDRESS, HOST_ADDRESS, NODES, PROVISIONER, STORAGE_CLASS};

/// Runs asynchronous work to its end from this otherwise ordinary program.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the asynchronous runtime")?.block_on(work)
}

pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read {}; is the cluster up?", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Whether the API server has everything that the other components rely on from their first moment.
pub async fn is_ready(kubeconfig: &Path) -> Result<()> {
    let client = client(kubeconfig).await?;
    let question = http::Request::get("/readyz").body(Vec::new())?;
    let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(question)).await;
    answer.context("no answer in 5 s")??;
    Ok(())
}

/// Applies what every cluster has; waits for the API server to have its own first objects.
pub async fn make_objects(client: &Client) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = apply_all(client).await {
        if Instant::now() > deadline {
            return Err(error).context("cannot make the objects of DNS and storage");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn apply_all(client: &Client) -> Result<()> {
    let system = "kube-system";
    let apply = PatchParams::apply("local-kubernetes").force();
    Api::<Service>::namespaced(client.clone(), system)
        .patch("kube-dns", &apply, &Patch::Apply(dns_service()))
        .await?;
    Api::<EndpointSlice>::namespaced(client.clone(), system)
        .patch("kube-dns", &apply, &Patch::Apply(dns_endpoints()))
        .await?;
    Api::<StorageClass>::all(client.clone())
        .patch(STORAGE_CLASS, &apply, &Patch::Apply(storage_class()))
        .await?;
    Ok(())
}

fn dns_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "kube-dns" },
        "spec": {
            "clusterIP": DNS_SERVICE_ADDRESS,
            "ports": [
                { "name": "dns", "port": DNS_PORT, "protocol": "UDP" },
                { "name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP" },
            ],
        },
    })
}

/// The DNS server is no pod: it runs on the machine.
fn dns_endpoints() -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": "kube-dns", "labels": { "kubernetes.io/service-name": "kube-dns" } },
        "addressType": "IPv4",
        "ports": [
            { "name": "dns", "port": DNS_PORT, "protocol": "UDP" },
            { "name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP" },
        ],
        "endpoints": [{ "addresses": [HOST_ADDRESS], "conditions": { "ready": true } }],
    })
}

fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": PROVISIONER,
        // Only then does the scheduler say on which node the volume must be.
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
    })
}

/// Names of the nodes that say that they are ready.
pub async fn ready_nodes(client: &Client) -> Result<Vec<String>> {
    let listed = Api::<NodeObject>::all(client.clone()).list(&ListParams::default()).await?;
    let is_ready = |node: &&NodeObject| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    Ok(listed.items.iter().filter(is_ready).map(ResourceExt::name_any).collect())
}

/// Waits until pods can be made: all nodes are ready and the controllers have made the account that
/// pods of the default namespace use.
pub async fn wait_for_nodes(client: &Client) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    loop {
        let ready = ready_nodes(client).await.unwrap_or_default();
        if ready.len() == NODES.len() && accounts.get("default").await.is_ok() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not everything became ready in 90 s; nodes that did: [{}]", ready.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
