//! What the nodes themselves must say of a settled cluster. Asked over connections of our own.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Secret};
use keyslot_e2e::invariants;
use keyslot_e2e::nodes::{Known, Node};
use keyslot_testkit::redis_server::RawConnection;
use kube::ResourceExt;

use crate::flow::End;
use crate::scene::{NAME, PATIENCE, Scene, until};

/// Waits until all invariants hold.
pub async fn hold(scene: &Scene, end: End) -> Result<()> {
    until("the invariants hold", async || {
        let secret = scene.api::<Secret>().get(&format!("{NAME}-system")).await?;
        let password = secret.data.and_then(|mut data| data.remove("operator-password"));
        let password = String::from_utf8(password.context("no operator-password")?.0)?;
        let pods = scene.pods().await?;
        let look = move || pods.iter().map(|pod| read(pod, &password)).collect::<Result<Vec<Node>>>();
        let nodes = tokio::task::spawn_blocking(look).await??;
        let check = if end.spread { invariants::check } else { invariants::check_all_but_places };
        check(&nodes, end.shards, end.replicas)
    })
    .await
}

fn read(pod: &Pod, password: &str) -> Result<Node> {
    let name = pod.name_any();
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod without address")?;
    let mut node = RawConnection::open(format!("{ip}:6379").parse()?, PATIENCE)?;
    node.ask(&["AUTH", "keyslot-operator", password])?;
    let known = node.ask(&["CLUSTER", "NODES"])?;
    let known = known.lines().filter(|line| !line.is_empty()).map(Known::parse).collect::<Result<_>>()?;
    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    Ok(Node { pod: name, host, known, info: node.ask(&["INFO"])? })
}
