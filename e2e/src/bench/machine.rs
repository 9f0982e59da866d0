//! What the figures were measured on, in one line.

use std::fs;
use std::thread;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams};

use crate::settings::OPERATOR_NAMESPACE;

/// Processors, memory, Kubernetes.
pub async fn describe(client: &Client) -> Result<String> {
    let processors = thread::available_parallelism()?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?.items;
    let status = nodes.first().and_then(|node| node.status.as_ref()).context("no nodes")?;
    let info = status.node_info.as_ref().context("a node without versions")?;
    let version = client.apiserver_version().await?.git_version;
    Ok(format!(
        "{processors} cores, {} GiB; Kubernetes {version} with {} nodes, {}, Linux {}",
        memory()?,
        nodes.len(),
        info.container_runtime_version,
        info.kernel_version,
    ))
}

fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kibibytes: u64 = total.context("no MemTotal")?.trim().parse()?;
    Ok(kibibytes.div_ceil(1 << 20))
}

/// Processes that want to run, on average over the last minute.
pub fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split_whitespace().next().context("no load")?.parse().context("not a load")
}

/// Pods that are neither the operator's nor ours: they take a share of everything.
pub async fn other_pods(client: &Client) -> Result<usize> {
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await?;
    let others = pods.iter().filter(|pod| pod.metadata.namespace.as_deref() != Some(OPERATOR_NAMESPACE));
    Ok(others.count())
}
