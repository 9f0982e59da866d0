//! Keyslot's own users: their passwords change while everybody works, and a node that lost the operator's user gets it again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::labels::ROTATE_SYSTEM;
use keyslot_api::v1alpha1::SystemRotationStage;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::invariants::assert_invariants;
use keyslot_e2e::nodes::Node;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::steps::{DEFAULT_SECRET, WORKER_SECRET, formed, on_all_nodes, storage};

const SYSTEM_SECRET: &str = "demo-system";

/// The delay in which files follow is not waited for: the story sets back the time that the operator remembers.
#[test]
fn system_passwords_change_without_breaking_a_link_or_a_probe() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Valkey81, 3, 1)).await?;
        let old = cluster.secret(SYSTEM_SECRET, "operator-password").await?;
        let syncs = full_syncs(&cluster).await?;

        let patch = json!({ "metadata": { "annotations": { ROTATE_SYSTEM: "a leak" } } });
        cluster.api.patch(&cluster.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        stage_with_time(&cluster, SystemRotationStage::Announced).await?;
        let next = cluster.secret(SYSTEM_SECRET, "second.operator-password").await?;
        both_are_valid(&cluster, &old, &next).await?;
        ensure!(cluster.secret(SYSTEM_SECRET, "operator-password").await? == old, "the next one is in use");

        let_time_pass(&cluster).await?;
        stage_with_time(&cluster, SystemRotationStage::InUse).await?;
        ensure!(cluster.secret(SYSTEM_SECRET, "operator-password").await? == next, "the old one is in use");
        both_are_valid(&cluster, &old, &next).await?;
        replicas_log_in_anew(&cluster).await?;
        assert_invariants(&cluster).await?;

        let_time_pass(&cluster).await?;
        wait::until("the rotation ends", wait::SOON, async || {
            let under_way = cluster.status().await?.system_rotation;
            ensure!(under_way.is_none(), "{under_way:?}");
            Ok(())
        })
        .await?;
        wait::until("the old password has ended everywhere", wait::SOON, async || {
            for pod in cluster.list_pods().await? {
                let answers =
                    nodes::ask_as(&cluster, &pod.name_any(), "keyslot-operator", &old, &["PING"]).await;
                let Err(error) = answers else { bail!("{} lets the old password in", pod.name_any()) };
                ensure!(error.to_string().contains("WRONGPASS"), "{error:#}");
            }
            Ok(())
        })
        .await?;
        cluster.wait_ready().await?;
        assert_invariants(&cluster).await?;
        ensure!(full_syncs(&cluster).await? == syncs, "a replica was copied anew");
        for pod in cluster.list_pods().await? {
            let status = pod.status.clone().unwrap_or_default();
            let restarts: i32 = status.container_statuses.iter().flatten().map(|one| one.restart_count).sum();
            ensure!(restarts == 0, "{} was restarted", pod.name_any());
        }
        client::write_and_read(namespace, WORKER_SECRET, 100).await.map(drop)
    })
}

#[test]
fn nodes_that_lost_the_operators_user_start_again_from_their_files() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 3, 1);
        spec.storage = Some(storage("64Mi"));
        let cluster = formed(namespace, spec).await?;
        client::write_and_read(namespace, WORKER_SECRET, 300).await?;
        let before = uids(&cluster).await?;
        let is_replica = |node: &&Node| node.info("role") == Some("slave");
        let all = nodes::read_all(&cluster).await?;
        let replica = all.iter().find(is_replica).context("no replica")?.pod.clone();
        let primary = all.iter().find(|node| !is_replica(node)).context("no primary")?.pod.clone();

        let admin = cluster.secret(DEFAULT_SECRET, "password").await?;
        for pod in [&replica, &primary] {
            let deluser = "ACL DELUSER keyslot-operator";
            let answers = nodes::ask_as(&cluster, pod, "default", &admin, &[deluser]).await?;
            ensure!(answers == ["1"], "{pod}: {answers:?}");
        }
        wait::until("both were started anew", wait::A_WHILE, async || {
            let after = uids(&cluster).await?;
            let anew = |pod: &String| after.get(pod).is_some_and(|uid| before.get(pod) != Some(uid));
            ensure!(anew(&replica) && anew(&primary), "{:?}", cluster.status().await?.message);
            Ok(())
        })
        .await?;
        on_all_nodes(&cluster, "keyslot-operator", "is there", |line| line.is_some()).await?;
        cluster.wait_ready().await?;
        let after = uids(&cluster).await?;
        let others: Vec<_> = before.iter().filter(|(pod, _)| **pod != replica && **pod != primary).collect();
        ensure!(others.iter().all(|(pod, uid)| after.get(*pod) == Some(uid)), "another pod was restarted");
        client::read(namespace, WORKER_SECRET, 300).await.map(drop)
    })
}

/// Waits until the status tells this stage, with the time since when every node has been part of it.
async fn stage_with_time(cluster: &Cluster, stage: SystemRotationStage) -> Result<()> {
    wait::until(&format!("the rotation is {stage:?}"), wait::SOON, async || {
        let rotation = cluster.status().await?.system_rotation;
        let is_so = rotation.as_ref().is_some_and(|it| it.stage == stage && it.since.is_some());
        ensure!(is_so, "{rotation:?}");
        Ok(())
    })
    .await
}

/// Sets the time that the operator remembers an hour back.
async fn let_time_pass(cluster: &Cluster) -> Result<()> {
    let text = cluster.secret(SYSTEM_SECRET, "system-rotation").await?;
    let mut record: Value = serde_json::from_str(&text)?;
    let times = record["stage"].as_object_mut().context("no stage")?;
    for time in times.values_mut() {
        *time = json!("2026-01-01T00:00:00Z");
    }
    let data = BTreeMap::from([("system-rotation", ByteString(record.to_string().into_bytes()))]);
    let patch = Patch::Merge(json!({ "data": data }));
    cluster.namespace.api::<Secret>().patch(SYSTEM_SECRET, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn both_are_valid(cluster: &Cluster, one: &str, other: &str) -> Result<()> {
    for pod in cluster.list_pods().await? {
        for password in [one, other] {
            let pod = pod.name_any();
            let answers = nodes::ask_as(cluster, &pod, "keyslot-operator", password, &["PING"]).await?;
            ensure!(answers == ["PONG"], "{pod}: {answers:?}");
        }
    }
    Ok(())
}

/// Closes every link between replicas and primaries: they come back with what the replicas know now.
async fn replicas_log_in_anew(cluster: &Cluster) -> Result<()> {
    let admin = cluster.secret(DEFAULT_SECRET, "password").await?;
    let known = wait::until("every replica knows the password in use", wait::SOON, async || {
        let wanted = cluster.secret(SYSTEM_SECRET, "replication-password").await?;
        for pod in cluster.list_pods().await? {
            let question = ["CONFIG GET masterauth"];
            let answers = nodes::ask_as(cluster, &pod.name_any(), "default", &admin, &question).await?;
            ensure!(answers[0].contains(&wanted), "{} does not", pod.name_any());
        }
        Ok(())
    });
    known.await?;
    for pod in cluster.list_pods().await? {
        let kill = ["CLIENT KILL TYPE replica"];
        nodes::ask_as(cluster, &pod.name_any(), "default", &admin, &kill).await?;
    }
    wait::until("the links are up again", wait::SOON, async || {
        let nodes = nodes::read_all(cluster).await?;
        let down = nodes.iter().find(|node| node.info("master_link_status") == Some("down"));
        ensure!(down.is_none(), "{}", down.map(|node| node.pod.as_str()).unwrap_or_default());
        Ok(())
    })
    .await
}

/// How often each node has copied itself to a replica as a whole.
async fn full_syncs(cluster: &Cluster) -> Result<BTreeMap<String, Option<String>>> {
    let admin = cluster.secret(DEFAULT_SECRET, "password").await?;
    let mut all = BTreeMap::new();
    for pod in cluster.list_pods().await? {
        let answers = nodes::ask_as(cluster, &pod.name_any(), "default", &admin, &["INFO stats"]).await?;
        let line = answers[0].lines().find_map(|line| line.trim_end().strip_prefix("sync_full:"));
        all.insert(pod.name_any(), line.map(str::to_owned));
    }
    Ok(all)
}

async fn uids(cluster: &Cluster) -> Result<BTreeMap<String, Option<String>>> {
    Ok(cluster.list_pods().await?.iter().map(|pod| (pod.name_any(), pod.uid())).collect())
}
