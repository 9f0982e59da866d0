//! Every field of the resource with every kind of wrong value, on a cluster that serves: the API server refuses it, or
//! the operator shows what became of it, and taking it back leaves no trace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use keyslot_api::v1alpha1::RedisCluster;
use kube::Config;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::enumerator::Ground;
use crate::faults::Faults;
use crate::flow::{APP_PASSWORD, FIRST_PASSWORD, every_field};
use crate::operator::RunningOperator;
use crate::oracles::invariants::End;
use crate::oracles::snapshot::{self, differences};
use crate::oracles::{invariants, ledger};
use crate::report::Report;
use crate::run::nothing_forbidden;
use crate::scene::{NAME, Scene, until};

mod mutations;

pub use mutations::Mutation;

/// What [`every_field`] asks for.
const END: End = End { shards: 1, replicas: 1, spread: false };
/// The operator has seen a change by then.
const SEEN: Duration = Duration::from_secs(20);

/// What came of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server said no.
    Refused,
    /// It means the same as before.
    Same,
    /// It was accepted, and conditions tell what became of it.
    Shown,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Same => "means the same as before",
            Self::Shown => "accepted and told",
        }
    }
}

/// A cluster that serves, for one mutation after the other.
pub struct Bench {
    scene: Scene,
    operator: RunningOperator,
    faults: Arc<Faults>,
    good: Value,
    before: snapshot::Snapshot,
}

impl Bench {
    /// Forms a cluster that has every field.
    pub async fn set(scene: Scene, config: &Config) -> Result<Self> {
        let faults = Arc::new(Faults::none(0, scene.truth()));
        let operator = RunningOperator::start(config, &scene.namespace, &faults);
        scene.password_secret(APP_PASSWORD, FIRST_PASSWORD).await?;
        scene.apply(every_field()?).await?;
        scene.ready().await?;
        ledger::write(&scene).await?;
        scene.all_ready(2).await?;
        let good = serde_json::to_value(scene.cluster().await?.spec)?;
        let before = snapshot::take(&scene).await?;
        Ok(Self { scene, operator, faults, good, before })
    }

    /// Applies a mutation, looks what comes of it, and takes it back.
    pub async fn try_out(&self, mutation: &Mutation) -> Result<Outcome> {
        let mut spec = self.good.clone();
        mutation.put(&mut spec).context("no such field")?;
        let generation = self.generation().await?;
        if let Some(words) = self.replace(&spec).await? {
            ensure!(mutation.is_named(&words, &self.good), "refused, and the field is not named: {words}");
            return Ok(Outcome::Refused);
        }
        let outcome = if self.generation().await? == generation {
            Outcome::Same
        } else {
            let shown = tokio::time::timeout(SEEN, self.shown(&mutation.field)).await;
            shown.context("accepted, and nothing tells of it")??;
            Outcome::Shown
        };
        ensure!(self.operator.is_alive(), "the operator has ended");
        nothing_forbidden(&self.faults)?;
        let refused = self.replace(&self.good).await?;
        ensure!(refused.is_none(), "it can't be taken back: {}", refused.unwrap_or_default());
        self.scene.ready().await.context("after it was taken back")?;
        ledger::is_complete(&self.scene).await?;
        until("all is as before", async || {
            let mut differences = differences(&self.before, &snapshot::take(&self.scene).await?);
            // Keyslot has no right to delete Secrets: those made for a while stay, and passwords generated for a while.
            let stays = |line: &str| line.starts_with("Secret/") && line.ends_with(" should not be there");
            differences.retain(|line| !stays(line) && !line.contains("-system.data.user."));
            ensure!(differences.is_empty(), "{}", differences.join("; "));
            Ok(())
        })
        .await?;
        Ok(outcome)
    }

    async fn generation(&self) -> Result<Option<i64>> {
        Ok(self.scene.cluster().await?.metadata.generation)
    }

    /// Puts a whole spec; the API server's words when it refuses.
    async fn replace(&self, spec: &Value) -> Result<Option<String>> {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("keyslot.dev", "v1alpha1", "RedisCluster"));
        let api = Api::<DynamicObject>::namespaced_with(
            self.scene.client.clone(),
            &self.scene.namespace,
            &resource,
        );
        self.scene.will_have(spec);
        loop {
            let mut object = api.get(NAME).await?;
            object.data["spec"] = spec.clone();
            match api.replace(NAME, &PostParams::default(), &object).await {
                Ok(_) => return Ok(None),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                // Not readable, or not valid.
                Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => {
                    return Ok(Some(status.message));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until volumes are kept, or not, as the resource says.
    async fn retains(&self, cluster: &RedisCluster) -> Result<()> {
        let storage = cluster.spec.storage.as_ref().context("no storage")?;
        let wanted = serde_json::to_value(storage.retention_policy.on_delete)?;
        until("volumes are kept as wanted", async || {
            let set = self.scene.api::<StatefulSet>().get(NAME).await?;
            let policy = set.spec.and_then(|spec| spec.persistent_volume_claim_retention_policy);
            let found = policy.and_then(|policy| policy.when_deleted);
            ensure!(found.as_deref() == wanted.as_str(), "whenDeleted is {found:?}, not {wanted}");
            Ok(())
        })
        .await
    }

    /// Waits until the status is about this generation and tells what became of the change.
    async fn shown(&self, field: &str) -> Result<()> {
        loop {
            let cluster = self.scene.cluster().await?;
            match told(&cluster, field) {
                Some(Told::Yes) => return Ok(()),
                Some(Told::Nothing) if field.starts_with("/users") && has_ledger(&cluster) => {
                    // In force, then: on every node, and in the file. Without the ledger's user nobody can look.
                    return invariants::hold(&self.scene, END).await;
                }
                Some(Told::Nothing) if field.starts_with(RETENTION) => return self.retains(&cluster).await,
                Some(Told::Nothing) if field.starts_with("/paused") || field.starts_with("/users") => {
                    return Ok(());
                }
                Some(Told::Nothing) | None => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Of which a StatefulSet tells.
const RETENTION: &str = "/storage/retentionPolicy";

/// What the conditions say of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// One names the field.
    Yes,
    /// None tells of anything.
    Nothing,
}

/// What is told, once all of the status is about the present generation. That something is told without the field's
/// name is not enough.
fn told(cluster: &RedisCluster, field: &str) -> Option<Told> {
    let status = cluster.status.as_ref()?;
    let is_of_now = |one: &&Condition| one.observed_generation == cluster.metadata.generation;
    if !status.conditions.iter().all(|one| is_of_now(&one)) {
        return None;
    }
    let tells = |one: &&Condition| {
        let true_is_trouble =
            ["UpdatePending", "Degraded", "Paused", "ConsentNeeded"].contains(&one.type_.as_str());
        one.type_ != "Progressing" && (one.status == "True") == true_is_trouble
    };
    let name = field.split('/').nth(1)?;
    let mut telling = status.conditions.iter().filter(tells).peekable();
    if telling.peek().is_none() {
        return Some(Told::Nothing);
    }
    telling.any(|one| one.message.contains(name) || one.type_ == "Paused").then_some(Told::Yes)
}

fn has_ledger(cluster: &RedisCluster) -> bool {
    cluster.spec.users.iter().any(|user| user.name == ledger::USER)
}

/// Tries wrong values on several clusters beside each other, all of them or as many as the time allows.
pub async fn run(ground: &Ground, seed: u64, until: Option<Instant>) -> Result<Report> {
    let good = serde_json::to_value(every_field()?)?;
    let all = mutations::all(&good, seed).context("the definition has no schema")?;
    let queue = Mutex::new(VecDeque::from(all));
    let report = Mutex::new(Report::default());
    let workers = ground.groups.iter().map(async |group| {
        let set = async || Bench::set(ground.scene("bad-resources", group).await?, &ground.config).await;
        let mut bench = set().await?;
        while until.is_none_or(|until| Instant::now() < until) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(mutation) = next else { break };
            let outcome = bench.try_out(&mutation).await;
            let is_spoilt = outcome.is_err();
            report
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add_bad(mutation.to_string(), outcome.map(Outcome::as_str));
            if is_spoilt {
                bench = match set().await {
                    Ok(fresh) => fresh,
                    Err(error) => {
                        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                        report.fail("a new cluster to try values on".to_owned(), &error);
                        break;
                    }
                };
            }
        }
        anyhow::Ok(())
    });
    try_join_all(workers).await?;
    let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(report.totals() != (0, 0), "nothing was tried: the time was over before the first value");
    Ok(report)
}
