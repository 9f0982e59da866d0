//! The operator's own process: what it shows of its work, where it looks, and how it ends.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_e2e::clusters::{self, Cluster, WORKER_RULES, user};
use keyslot_e2e::operator::{LEASE, Metrics, holder};
use keyslot_e2e::settings::{OPERATOR_NAMESPACE, Server};
use keyslot_e2e::{Namespace, install, operator, wait, with_namespace};
use kube::api::{Api, DeleteParams, PostParams, Preconditions, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};

use crate::steps::formed;

/// A cluster that can't be brought up: something of another owner has the name of one of its objects.
const CLASH: &str = "clash";

#[test]
fn every_process_of_the_operator_says_that_it_is_well() -> Result<()> {
    with_namespace(async |namespace| {
        // Other stories end processes of the operator, so it takes more than one look.
        wait::until("all processes answer", wait::A_WHILE, async || {
            let pods = install::operator_pods(&namespace.client).await?;
            ensure!(pods.len() >= 2, "{} pods", pods.len());
            for pod in pods {
                for path in ["healthz", "readyz"] {
                    let answer =
                        operator::get(&namespace.client, OPERATOR_NAMESPACE, &pod.name_any(), path).await?;
                    ensure!(answer == "ok\n", "{path} of {}: {answer}", pod.name_any());
                }
            }
            Ok(())
        })
        .await
    })
}

#[test]
fn the_leader_counts_its_work_and_forgets_what_is_deleted() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis70, 1, 1)).await?;
        let clash = clash(namespace).await?;
        let mut look = 0;
        // Another story may end the leader at any time, and the next one counts from nothing: so each look
        // gives it something to do.
        wait::until("the leader counts its work", wait::A_WHILE, async || {
            look += 1;
            let mut worker = user("worker", &WORKER_RULES);
            worker.rules.push(format!("~look:{look}:*"));
            cluster.set_users(&[user("default", &["~*", "&*", "+@all"]), worker]).await?;
            work_is_counted(&of_the_leader(&namespace.client).await?)
        })
        .await?;
        cluster.wait_ready().await?;
        wait::until("the leader shows both clusters", wait::A_WHILE, async || {
            let metrics = of_the_leader(&namespace.client).await?;
            shows(&metrics, &cluster, [1.0, 16384.0, 2.0])?;
            shows(&metrics, &clash, [0.0, 0.0, 0.0])
        })
        .await?;
        cluster.delete().await?;
        clash.delete().await?;
        wait::until("no process shows what is deleted", wait::A_WHILE, async || {
            for pod in install::operator_pods(&namespace.client).await? {
                let metrics =
                    operator::metrics(&namespace.client, OPERATOR_NAMESPACE, &pod.name_any()).await?;
                let left = metrics.about(&namespace.name);
                ensure!(left.is_empty(), "{}: {left:?}", pod.name_any());
            }
            Ok(())
        })
        .await
    })
}

#[test]
fn a_leader_that_is_asked_to_end_gives_the_lease_to_the_next_one() -> Result<()> {
    with_namespace(async |namespace| {
        let client = &namespace.client;
        let leases = Api::<Lease>::namespaced(client.clone(), OPERATOR_NAMESPACE);
        wait::until("two operators are there", wait::A_WHILE, async || {
            let pods = install::operator_pods(client).await?.len();
            ensure!(pods >= 2, "{pods}");
            Ok(())
        })
        .await?;
        // Not before the deletion, and without a gap after it.
        let (version, before) = delete_leader(client).await?;
        let only_it = WatchParams::default().fields(&format!("metadata.name={LEASE}"));
        let mut changes = Box::pin(leases.watch(&only_it, &version).await?);
        let mut holders = Vec::new();
        let next = async {
            while let Some(change) = changes.try_next().await? {
                let (WatchEvent::Modified(lease) | WatchEvent::Added(lease)) = change else {
                    bail!("{change:?}")
                };
                let now = holder(&lease).map(str::to_owned);
                holders.push(now.clone());
                if let Some(now) = now.filter(|now| *now != before) {
                    return Ok(now);
                }
            }
            bail!("the watch has ended")
        };
        let next = tokio::time::timeout(wait::A_WHILE, next).await;
        let next = next.with_context(|| format!("nobody else leads: {holders:?}"))??;
        // A lease that expires passes from one holder to the next without being free in between.
        ensure!(holders.contains(&None), "{before} did not give the lease free: {holders:?}");
        println!("from {before} to {next}: {holders:?}");
        Ok(())
    })
}

/// Deletes the leading pod with its ordinary grace period. Returns who held the Lease, and its version then.
async fn delete_leader(client: &Client) -> Result<(String, String)> {
    let leases = Api::<Lease>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let pods = Api::<Pod>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    wait::until("the leader is told to end", wait::A_WHILE, async || {
        let leader = operator::leader(client).await?;
        let (pod, lease) = (pods.get(&leader).await?, leases.get(LEASE).await?);
        let holder = holder(&lease).unwrap_or_default().to_owned();
        ensure!(holder.starts_with(&leader), "{holder} leads now");
        let same = Preconditions { uid: pod.uid(), ..Preconditions::default() };
        pods.delete(&leader, &DeleteParams { preconditions: Some(same), ..DeleteParams::default() }).await?;
        Ok((lease.resource_version().context("a lease without version")?, holder))
    })
    .await
}

async fn of_the_leader(client: &Client) -> Result<Metrics> {
    operator::metrics(client, OPERATOR_NAMESPACE, &operator::leader(client).await?).await
}

async fn clash(namespace: &Namespace) -> Result<Cluster> {
    let mut foreign = ConfigMap { data: Some(BTreeMap::new()), ..ConfigMap::default() };
    foreign.metadata.name = Some(format!("{CLASH}-config"));
    namespace.api::<ConfigMap>().create(&PostParams::default(), &foreign).await?;
    let clash = Cluster::create(namespace, CLASH, clusters::spec(Server::Redis70, 1, 0)).await?;
    clash.wait_for(ConditionType::Degraded, Reason::ResourceConflict).await?;
    Ok(clash)
}

/// Passes, how long they took, errors and commands are counted, and the sums agree.
fn work_is_counted(metrics: &Metrics) -> Result<()> {
    ensure!(metrics.sum("keyslot_leader", &[]) == Some(1.0), "it does not call itself the leader");
    for controller in ["topology", "settings"] {
        let of = [("controller", controller)];
        let count = |name: &str| metrics.sum(name, &of).with_context(|| format!("no {name} of {controller}"));
        let done = metrics.sum("keyslot_reconciles_total", &[of[0], ("outcome", "done")]);
        ensure!(done >= Some(1.0), "no pass of {controller} was done");
        let passes = count("keyslot_reconciles_total")?;
        let timed = count("keyslot_reconcile_duration_seconds_count")?;
        ensure!((passes - timed).abs() < 1.5, "{timed} of {passes} passes of {controller} were timed");
        ensure!(count("keyslot_reconcile_duration_seconds_sum")? > 0.0, "{controller} took no time");
    }
    let failed = metrics.sum("keyslot_reconciles_total", &[("outcome", "failed")]);
    ensure!(failed >= Some(1.0), "no pass has failed");
    let conflicts = metrics.sum("keyslot_reconcile_errors_total", &[("reason", "ResourceConflict")]);
    ensure!(conflicts >= Some(1.0), "no error is a conflict");
    let commands = metrics.sum("keyslot_redis_commands_total", &[("kind", "set-user"), ("result", "ok")]);
    ensure!(commands >= Some(1.0), "no user was set");
    Ok(())
}

/// Ready, slots and nodes of a cluster.
fn shows(metrics: &Metrics, cluster: &Cluster, expected: [f64; 3]) -> Result<()> {
    let labels = [("namespace", cluster.namespace.name.as_str()), ("name", cluster.name.as_str())];
    let names = ["keyslot_cluster_ready", "keyslot_cluster_slots_served", "keyslot_cluster_nodes"];
    let shown = names.map(|name| metrics.sum(name, &labels));
    ensure!(shown == expected.map(Some), "{}: {shown:?} instead of {expected:?}", cluster.name);
    Ok(())
}
