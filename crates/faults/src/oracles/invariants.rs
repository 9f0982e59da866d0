//! What the nodes themselves must say of a settled cluster. Asked over connections of our own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use keyslot_api::labels::{ROLE, ROLE_PRIMARY, ROLE_REPLICA, SHARD};
use keyslot_api::v1alpha1::{AclStorage, RedisCluster};
use keyslot_e2e::invariants;
use keyslot_e2e::nodes::{Known, Node};
use keyslot_testkit::redis_server::RawConnection;
use kube::ResourceExt;
use kube::api::ListParams;

use super::ledger;
use super::logins::{Logins, file_gives, lines_of_users, users_are};
use crate::scene::{NAME, PATIENCE, Scene, until};

/// A cluster at the end of a flow.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Its shards.
    pub shards: usize,
    /// Replicas of each.
    pub replicas: usize,
    /// Whether primaries are spread over machines; elections do not ask for that.
    pub spread: bool,
}

/// Waits until all invariants hold.
pub async fn hold(scene: &Scene, end: End) -> Result<()> {
    until("the invariants hold", async || hold_now(scene, end).await).await
}

/// All invariants hold at this moment.
pub async fn hold_now(scene: &Scene, end: End) -> Result<()> {
    let cluster = scene.cluster().await?;
    let (pods, nodes, lists) = look(scene).await?;
    let check = if end.spread { invariants::check } else { invariants::check_all_but_places };
    check(&nodes, end.shards, end.replicas)?;
    labels_are_true(&pods, &nodes)?;
    let file = users_file(scene, cluster.spec.acl_storage).await?;
    if all_users_are_in_force(&cluster) {
        file_gives(&file, &cluster.spec.users)?;
    }
    let compare = move || {
        nodes.iter().zip(&lists).try_for_each(|(node, list)| {
            users_are(&file, list).with_context(|| format!("users of {}", node.pod))
        })
    };
    tokio::task::spawn_blocking(compare).await?
}

/// Whether the status says so, of the resource as it is now.
fn all_users_are_in_force(cluster: &RedisCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let applied = conditions.filter(|one| one.type_ == "AclApplied" && one.status == "True");
    applied.into_iter().any(|one| one.observed_generation == cluster.metadata.generation)
}

/// Which process is in each pod, and what it is: the same at the end where no node is touched.
pub async fn processes(scene: &Scene) -> Result<BTreeMap<String, String>> {
    let (pods, nodes, _) = look(scene).await?;
    let told = pods.iter().zip(&nodes).map(|(pod, node)| {
        let line =
            |key: &str| node.info.lines().find(|line| line.starts_with(key)).unwrap_or_default().trim();
        let pod_uid = pod.uid().unwrap_or_default();
        (node.pod.clone(), format!("pod {pod_uid}, {}, {}", line("run_id:"), line("role:")))
    });
    Ok(told.collect())
}

/// The users that each node lists.
pub async fn users(scene: &Scene) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let list = |pod: &Pod| {
        let listed = lines_of_users(&connection(pod)?.ask(&["ACL", "LIST"])?);
        Ok((pod.name_any(), listed))
    };
    let pods = scene.pods().await?;
    tokio::task::spawn_blocking(move || pods.iter().map(list).collect()).await?
}

/// To the node of a pod, as the user of the ledger.
fn connection(pod: &Pod) -> Result<RawConnection> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod without address")?;
    let mut node = RawConnection::open(format!("{ip}:6379").parse()?, PATIENCE)?;
    node.ask(&["AUTH", ledger::USER, ledger::PASSWORD])?;
    Ok(node)
}

async fn users_file(scene: &Scene, storage: AclStorage) -> Result<String> {
    let name = format!("{NAME}-acl");
    match storage {
        AclStorage::ConfigMap => {
            let map = scene.api::<ConfigMap>().get(&name).await?;
            map.data.unwrap_or_default().remove("users.acl").context("no users.acl")
        }
        AclStorage::Secret => {
            let secret = scene.api::<Secret>().get(&name).await?;
            let file = secret.data.unwrap_or_default().remove("users.acl").context("no users.acl")?;
            Ok(String::from_utf8(file.0)?)
        }
    }
}

/// The pods, their nodes, and the users of each.
async fn look(scene: &Scene) -> Result<(Vec<Pod>, Vec<Node>, Vec<BTreeSet<String>>)> {
    let pods = scene.pods().await?;
    let secrets = scene.api::<Secret>().list(&ListParams::default()).await?.items;
    let logins = Logins::of(&scene.cluster().await?, &secrets)?;
    let asked = pods.clone();
    let read_all = move || asked.iter().map(|pod| read(pod, &logins)).collect::<Result<Vec<_>>>();
    let (nodes, lists) = tokio::task::spawn_blocking(read_all).await??.into_iter().unzip();
    Ok((pods, nodes, lists))
}

/// A node, and a line for each of its users. Everybody who should be let in is.
fn read(pod: &Pod, logins: &Logins) -> Result<(Node, BTreeSet<String>)> {
    let name = pod.name_any();
    let mut node = connection(pod)?;
    let users = lines_of_users(&node.ask(&["ACL", "LIST"])?);
    for (user, password) in &logins.valid {
        node.ask(&["AUTH", user, password]).with_context(|| format!("{name} lets {user} not in"))?;
    }
    node.ask(&["AUTH", "keyslot-operator", &logins.operator])?;
    let known = node.ask(&["CLUSTER", "NODES"])?;
    let known = known.lines().filter(|line| !line.is_empty()).map(Known::parse).collect::<Result<_>>()?;
    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    Ok((Node { pod: name, host, known, info: node.ask(&["INFO"])? }, users))
}

/// Labels of pods, by which budgets and people choose: the role, and one number for each shard.
fn labels_are_true(pods: &[Pod], nodes: &[Node]) -> Result<()> {
    let mut primaries = BTreeMap::new();
    for (pod, node) in pods.iter().zip(nodes) {
        let myself = node.myself()?;
        let label = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
        let role = if myself.primary.is_some() { ROLE_REPLICA } else { ROLE_PRIMARY };
        ensure!(label(ROLE) == role, "{} is labelled {:?}, not {role}", node.pod, label(ROLE));
        let primary = myself.primary.clone().unwrap_or_else(|| myself.id.clone());
        let shard = primaries.entry(label(SHARD)).or_insert_with(|| primary.clone());
        ensure!(*shard == primary, "shard {:?} is the label of two shards", label(SHARD));
    }
    Ok(())
}
