//! A node that starts reads its mounted file, which may be older than what was done to a user. How long does somebody
//! get in there who was revoked?

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::exec::exec;
use keyslot_e2e::intruder::{Breach, Intruder};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, operator, report, wait, with_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::steps::{DEFAULT_SECRET, WORKER_SECRET, formed, on_all_nodes};

/// The aim is a second; this ends what is wrong, not what is slow.
const LONGEST: Duration = Duration::from_secs(10);
const FILE: &str = "demo-acl";

#[test]
fn a_node_that_starts_from_an_older_file_throws_a_revoked_user_out() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis80, 3, 0)).await?;
        hold_files(&cluster).await?;
        restart_after_the_revocation(&cluster, "demo-1").await?;
        switch(&cluster, true).await?;
        cluster.wait_ready().await?;
        restart_during_the_revocation(&cluster, "demo-2").await
    })
}

/// Everybody has been told, and the status says so, when the node starts.
async fn restart_after_the_revocation(cluster: &Cluster, pod: &str) -> Result<()> {
    let race = Race::start(cluster, pod).await?;
    switch(cluster, false).await?;
    cluster.wait_ready().await?;
    race.intruder.is_answered("-WRONGPASS").await?;
    race.restart_and_measure("after").await
}

/// The node hangs when the others are told, and never hears of it.
async fn restart_during_the_revocation(cluster: &Cluster, pod: &str) -> Result<()> {
    let race = Race::start(cluster, pod).await?;
    hang(cluster, pod).await?;
    switch(cluster, false).await?;
    let claims = || async {
        let found = cluster.get().await?;
        Claim::of(&found).with_context(|| clusters::summary(&found))
    };
    wait::until("all nodes but one are told", wait::SOON, async || {
        let Claim { applied, .. } = claims().await?;
        ensure!(applied == 2, "{applied} nodes");
        Ok(())
    })
    .await?;
    wait::throughout("the status does not count the node", Duration::from_secs(3), async || {
        let claim = claims().await?;
        ensure!(claim.applied == 2 && claim.of == 3, "{claim:?}");
        Ok(())
    })
    .await?;
    race.restart_and_measure("during").await
}

async fn switch(cluster: &Cluster, on: bool) -> Result<()> {
    let mut users = cluster.get().await?.spec.users;
    users[1].enabled = on;
    cluster.set_users(&users).await
}

/// From now on the files that are mounted stay as they are. A kubelet stops to watch an object that it has found to be
/// immutable for as long as it has pods that refer to it, also when another one takes its place. Without that, the files
/// are late by a minute or two, or not at all: no story could count on it.
async fn hold_files(cluster: &Cluster) -> Result<()> {
    let files = cluster.namespace.api::<ConfigMap>();
    let immutable = Patch::Merge(json!({ "immutable": true }));
    let held = files.patch(FILE, &PatchParams::default(), &immutable).await?;
    // At the first of these a kubelet may not have heard of it.
    for _ in 0..3 {
        for pod in cluster.list_pods().await? {
            client::nudge(&cluster.pods, &pod.name_any()).await?;
        }
        sleep(Duration::from_secs(1)).await;
    }
    files.delete(FILE, &DeleteParams::default()).await?;
    wait::until("there is another object with the same text", wait::SOON, async || {
        let now = files.get(FILE).await?;
        ensure!(now.uid() != held.uid() && now.data == held.data, "{now:?}");
        Ok(())
    })
    .await?;
    cluster.wait_ready().await?;
    Ok(())
}

/// It answers nobody any more, and nobody can tell it anything.
async fn hang(cluster: &Cluster, pod: &str) -> Result<()> {
    let password = cluster.secret(DEFAULT_SECRET, "password").await?;
    let pause = ["CLIENT PAUSE 600000 ALL"];
    let asked = nodes::ask_as(cluster, pod, "default", &password, &pause);
    match timeout(Duration::from_secs(5), asked).await {
        Ok(answers) => bail!("{pod} still answers: {answers:?}"),
        Err(_) => Ok(()),
    }
}

/// What the status says of the revoked user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    applied: i32,
    of: i32,
    /// The condition `AclApplied`.
    acl_applied: String,
}

impl Claim {
    /// `None` as long as it is about an earlier generation.
    fn of(cluster: &RedisCluster) -> Option<Self> {
        let acl_applied = clusters::condition(cluster, ConditionType::AclApplied)?;
        let worker = cluster.status.as_ref()?.users.iter().find(|user| user.name == "worker")?;
        (acl_applied.observed_generation == cluster.metadata.generation).then_some(Self {
            applied: worker.nodes_applied,
            of: worker.nodes_total,
            acl_applied: acl_applied.status,
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, AclApplied {}", self.applied, self.of, self.acl_applied)
    }
}

/// What the status claims, whenever it is something else than before, with the time in milliseconds since 1970.
struct Claims {
    claims: Arc<Mutex<Vec<(i64, Claim)>>>,
    task: AbortHandle,
}

impl Claims {
    fn watch(cluster: &Cluster) -> Self {
        let claims: Arc<Mutex<Vec<(i64, Claim)>>> = Arc::default();
        let (cluster, kept) = (cluster.clone(), Arc::clone(&claims));
        let task = tokio::spawn(async move {
            loop {
                let claim = cluster.get().await.ok().and_then(|found| Claim::of(&found));
                if let Some(claim) = claim {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.last().is_none_or(|(_, last)| *last != claim) {
                        kept.push((Timestamp::now().as_millisecond(), claim));
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        Self { claims, task: task.abort_handle() }
    }

    fn told(self) -> Vec<(i64, Claim)> {
        self.task.abort();
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A node, and somebody at its door.
struct Race<'a> {
    cluster: &'a Cluster,
    pod: &'a str,
    intruder: Intruder,
}

impl<'a> Race<'a> {
    /// The intruder has the password while it is valid.
    async fn start(cluster: &'a Cluster, pod: &'a str) -> Result<Self> {
        let intruder = Intruder::start(&cluster.namespace, WORKER_SECRET, pod).await?;
        Ok(Self { cluster, pod, intruder })
    }

    async fn restart_and_measure(&self, when: &str) -> Result<()> {
        let kube = &self.cluster.namespace.client;
        self.ensure_old_file().await?;
        let leader = operator::leader(kube).await?;
        let claims = Claims::watch(self.cluster);
        let before = self.restarts().await?;
        // The end of the container may come before the end of the conversation.
        let _ = exec(&self.cluster.pods, self.pod, &["sh", "-c", "kill 1"], "").await;
        let breach = self.intruder.breach().await?;
        let claims = claims.told();
        wait::until("the container was started once more", wait::SOON, async || {
            let after = self.restarts().await?;
            ensure!(after == before + 1, "{before} restarts before, and {after} now");
            Ok(())
        })
        .await?;
        self.ensure_old_file().await.context("what the node started from")?;
        self.judge(when, &breach, &claims, leader == operator::leader(kube).await?)?;
        on_all_nodes(self.cluster, "worker", "is off", |line| {
            line.is_some_and(|line| line.contains(" off "))
        })
        .await?;
        self.cluster.wait_ready().await?;
        self.intruder.delete().await
    }

    fn judge(
        &self,
        when: &str,
        breach: &Breach,
        claims: &[(i64, Claim)],
        is_same_leader: bool,
    ) -> Result<()> {
        ensure!(breach.open == 0, "the intruder is still in: {breach:?}");
        ensure!(breach.refusals > 0, "nobody was refused: {breach:?}");
        // Another story may end the operator at any time; then this is about how soon there is another one.
        let bound = if is_same_leader { LONGEST } else { wait::A_WHILE };
        ensure!(breach.window() <= bound, "a revoked user was {breach}");
        let told = claims.iter().map(|(at, claim)| format!("{} ms: {claim}", at - breach.first_answer_at));
        let told = told.collect::<Vec<_>>().join("; ");
        let operator = if is_same_leader { "" } else { ", while another operator took over" };
        report::measured(&format!(
            "{} starts from an older file {when} a revocation{operator}: {breach}; status since the kill: {told}",
            self.pod
        ));
        Ok(())
    }

    async fn restarts(&self) -> Result<i32> {
        let status = self.cluster.pods.get(self.pod).await?.status.unwrap_or_default();
        let statuses = status.container_statuses.unwrap_or_default();
        Ok(statuses.first().context("no container")?.restart_count)
    }

    /// The file that the node starts from lets the user in.
    async fn ensure_old_file(&self) -> Result<()> {
        client::nudge(&self.cluster.pods, self.pod).await?;
        sleep(Duration::from_secs(1)).await;
        let file = exec(&self.cluster.pods, self.pod, &["cat", "/etc/keyslot/acl/users.acl"], "").await?;
        let line = file.lines().find(|line| line.starts_with("user worker "));
        ensure!(line.is_some_and(|line| line.contains(" on ")), "the file is not older: {line:?}");
        Ok(())
    }
}
