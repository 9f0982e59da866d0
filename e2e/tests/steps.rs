//! Steps that several stories share.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use keyslot_api::v1alpha1::{Persistence, RedisClusterSpec, RetentionPolicy, Storage};
use keyslot_e2e::Namespace;
use keyslot_e2e::clusters::Cluster;
use keyslot_e2e::invariants::assert_invariants;
use keyslot_e2e::{nodes, wait};
use kube::ResourceExt;

pub const NAME: &str = "demo";
pub const WORKER_SECRET: &str = "demo-user-worker";
pub const DEFAULT_SECRET: &str = "demo-user-default";

/// Creates the cluster `demo` and waits until it is Ready and its nodes agree.
pub async fn formed(namespace: &Namespace, spec: RedisClusterSpec) -> Result<Cluster> {
    let cluster = Cluster::create(namespace, NAME, spec).await?;
    cluster.wait_ready().await?;
    assert_invariants(&cluster).await?;
    Ok(cluster)
}

/// Volumes of this size, from the default class.
pub fn storage(size: &str) -> Storage {
    Storage {
        size: Quantity(size.to_owned()),
        storage_class_name: None,
        persistence: Persistence::Aof,
        retention_policy: RetentionPolicy::default(),
    }
}

/// The line of a user in ACL LIST of each node; `None` where there is no such user. The operator's user may not ask that.
pub async fn acl_lines(cluster: &Cluster, user: &str) -> Result<Vec<Option<String>>> {
    let pods = cluster.list_pods().await?;
    let password = cluster.secret(DEFAULT_SECRET, "password").await?;
    let (password, begin) = (&password, &format!("user {user} "));
    let lines = pods.iter().map(|pod| async move {
        let answers = nodes::ask_as(cluster, &pod.name_any(), "default", password, &["ACL LIST"]).await?;
        let line = answers.iter().flat_map(|answer| answer.lines()).find(|line| line.starts_with(begin));
        anyhow::Ok(line.map(str::to_owned))
    });
    try_join_all(lines).await
}

/// Waits until this is true of the user's line on every node.
pub async fn on_all_nodes(
    cluster: &Cluster,
    user: &str,
    what: &str,
    is_so: impl Fn(Option<&str>) -> bool,
) -> Result<()> {
    wait::until(&format!("{user} on all nodes: {what}"), wait::SOON, async || {
        let lines = acl_lines(cluster, user).await?;
        ensure!(!lines.is_empty(), "there are no nodes");
        ensure!(lines.iter().all(|line| is_so(line.as_deref())), "{lines:?}");
        Ok(())
    })
    .await
}
