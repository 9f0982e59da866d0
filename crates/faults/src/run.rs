//! One run of a flow with at most one fault, and what must be true after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec};
use kube::Config;
use kube::api::{Api, DeleteParams, ListParams};

use crate::faults::{Faults, Plan, Proof, Record, passwords};
use crate::flow::{APP_PASSWORD, FIRST_PASSWORD, Flow};
use crate::nodes::Machine;
use crate::operator::RunningOperator;
use crate::oracles::snapshot::{self, Snapshot, differences};
use crate::oracles::{invariants, ledger};
use crate::scene::{NAME, Scene};

/// Without a request for so long, and without one that waits for an answer, nothing more is coming: the shortest of the
/// operator's delays are a tenth of that.
const QUIET: Duration = Duration::from_millis(1500);
/// Several looks of the topology loop. The settings loop looks at users less often, each 80 s or more.
const LONG_QUIET: Duration = Duration::from_secs(65);

/// How long it may take to get quiet.
const LOUD: usize = 12;

/// How long the operator may ask for nothing while a person waits. It looks at users once a minute or less often, and finds
/// then what it has missed; what a person waits for must not need that. A machine that has too much to do is slow, and not silent.
const WAITING: Duration = Duration::from_secs(45);

/// Whether to listen for long in the end, until what comes from time to time has come, too.
pub type Listens<'a> = &'a (dyn Fn(Proof) -> bool + Sync);

/// What a run without faults ended with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What was requested.
    pub record: Record,
    /// What was there in the end.
    pub snapshot: Snapshot,
    /// How long the acts took.
    pub took: Duration,
}

/// A scene in which a flow is run again and again.
pub struct Stage {
    flow: Flow,
    config: Config,
    scene: Scene,
}

impl Stage {
    /// Makes the flow's start.
    pub async fn set(flow: Flow, scene: Scene, config: &Config) -> Result<Self> {
        // A run that failed in the middle may have left some without power.
        for machine in Machine::of_group(&scene.group) {
            scene.kubelets.power_on(&machine).await?;
        }
        let stage = Self { flow, config: config.clone(), scene };
        if let Some(start) = flow.start
            && let Err(error) = stage.start(start()).await
        {
            // Nobody else would end its servers.
            let _ = stage.leave().await;
            return Err(error);
        }
        Ok(stage)
    }

    async fn start(&self, spec: RedisClusterSpec) -> Result<()> {
        let faults = self.no_faults(0);
        let _operator = self.operator(&faults);
        // Some flows refer to it.
        self.scene.password_secret(APP_PASSWORD, FIRST_PASSWORD).await?;
        self.scene.apply(spec).await?;
        self.scene.ready().await?;
        ledger::write(&self.scene).await?;
        nothing_forbidden(&faults)
    }

    /// Runs the flow without a fault.
    pub async fn reference(&self, seed: u64) -> Result<Reference> {
        let faults = self.no_faults(seed);
        let (snapshot, took) = self.play(&faults, &|_| false).await?;
        self.rewind().await?;
        Ok(Reference { record: faults.record(), snapshot, took })
    }

    /// Runs it with a fault. All of it has to be well, whether the fault has happened or not.
    pub async fn run(&self, plan: &Plan, reference: &Reference, listens: Listens<'_>) -> Result<Proof> {
        let start = self.scene.version().await?;
        let faults = Faults::new(Some(plan.clone()), plan.seed, start, self.scene.truth());
        let faults = Arc::new(faults);
        let ended = self.meet(&faults, reference, listens).await;
        ended.with_context(|| format!("fault: {:?}; {}", faults.proof(), faults.record().told()))?;
        self.rewind().await.context("on the way back, without faults")?;
        Ok(faults.proof())
    }

    async fn meet(&self, faults: &Arc<Faults>, reference: &Reference, listens: Listens<'_>) -> Result<()> {
        let (snapshot, _) = self.play(faults, listens).await?;
        judge(&reference.snapshot, &snapshot, &reference.record, &faults.record())
    }

    /// From the start to the end, and until nothing more happens. What must never be said explains most of what can go
    /// wrong.
    async fn play(&self, faults: &Arc<Faults>, listens: Listens<'_>) -> Result<(Snapshot, Duration)> {
        self.scene.forget_former_users().await?;
        let secrets = self.scene.api::<Secret>().list(&ListParams::default()).await?;
        for data in secrets.items.iter().filter_map(|secret| secret.data.as_ref()) {
            faults.know(passwords(data));
        }
        let played = self.play_acts(faults, listens).await;
        nothing_forbidden(faults)?;
        played
    }

    async fn play_acts(&self, faults: &Arc<Faults>, listens: Listens<'_>) -> Result<(Snapshot, Duration)> {
        let is_untouched = self.flow.keeps_serving();
        let writer = if is_untouched { Some(ledger::Writer::start(&self.scene).await?) } else { None };
        let before = if is_untouched { Some(invariants::processes(&self.scene).await?) } else { None };
        let (operator, begin) = (self.operator(faults), Instant::now());
        (self.flow.acts)(&self.scene).await?;
        let (took, silence) = (begin.elapsed(), faults.silence());
        ensure!(
            silence < WAITING,
            "for {:.0} s nothing was done: only a look from time to time brought it on",
            silence.as_secs_f64()
        );
        if let Some(end) = self.flow.end.filter(|_| self.flow.keeps_serving()) {
            // Ready means that all is in force already.
            invariants::hold_now(&self.scene, end).await.context("it is called ready, and is not")?;
        }
        if let Some(end) = self.flow.end {
            invariants::hold(&self.scene, end).await?;
            self.scene.all_ready(end.shards * (1 + end.replicas)).await?;
        }
        quiet(faults).await?;
        if let Some(end) = self.flow.end {
            // What the nodes have known for a moment, the operator may see only with its next look.
            self.scene.ready().await?;
            quiet(faults).await?;
            // Whatever came late has come.
            invariants::hold(&self.scene, end).await?;
            ledger::is_complete(&self.scene).await.context("the ledger")?;
        }
        if let Some(writer) = writer {
            writer.stop(&self.scene).await.context("an application that writes all the time")?;
        }
        if let Some(before) = before {
            let now = invariants::processes(&self.scene).await?;
            ensure!(now == before, "nodes were touched: they are {now:?}, and were {before:?}");
        }
        if listens(faults.proof()) {
            self.stays_quiet(faults).await?;
        }
        ensure!(operator.is_alive(), "the operator has ended");
        Ok((snapshot::take(&self.scene).await?, took))
    }

    /// Nothing comes of any of the looks from time to time but figures of the status, such as how many keys there are.
    async fn stays_quiet(&self, faults: &Faults) -> Result<()> {
        let conditions = async || {
            let cluster = self.scene.api::<RedisCluster>().get_opt(NAME).await?;
            let status = cluster.and_then(|cluster| cluster.status);
            Ok::<_, anyhow::Error>(status.map(|status| status.conditions))
        };
        let (before, told) = (faults.record().requests.len(), conditions().await?);
        tokio::time::sleep(LONG_QUIET).await;
        let requests = faults.record().requests;
        let late = requests.iter().skip(before).filter(|point| !point.class.ends_with("/status"));
        let late: Vec<String> = late.map(ToString::to_string).collect();
        ensure!(late.is_empty(), "it was settled and quiet, and then came {}", late.join(", "));
        let now = conditions().await?;
        ensure!(now == told, "it was settled and said {told:?}, and then {now:?}");
        Ok(())
    }

    async fn rewind(&self) -> Result<()> {
        let faults = self.no_faults(0);
        let _operator = self.operator(&faults);
        (self.flow.back)(&self.scene).await?;
        nothing_forbidden(&faults)
    }

    fn no_faults(&self, seed: u64) -> Arc<Faults> {
        Arc::new(Faults::none(seed, self.scene.truth()))
    }

    fn operator(&self, faults: &Arc<Faults>) -> RunningOperator {
        RunningOperator::start(&self.config, &self.scene.namespace, faults)
    }

    /// Leaves the scene to Kubernetes.
    pub async fn leave(self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.scene.client.clone());
        namespaces.delete(&self.scene.namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Nothing was said that must never be said, with a fault or without.
pub fn nothing_forbidden(faults: &Faults) -> Result<()> {
    let forbidden = faults.record().forbidden;
    ensure!(forbidden.is_empty(), "forbidden: {}", forbidden.join("; "));
    Ok(())
}

/// Waits until nothing is requested any more.
async fn quiet(faults: &Faults) -> Result<()> {
    let mut before = faults.record().requests.len();
    for _ in 0..LOUD {
        tokio::time::sleep(QUIET).await;
        let requests = faults.record().requests.len();
        if requests == before && faults.under_way() == 0 && !faults.is_hiding() {
            return Ok(());
        }
        before = requests;
    }
    let requests = faults.record().requests;
    let last: Vec<String> = requests.iter().rev().take(5).map(ToString::to_string).collect();
    bail!("it does not get quiet; last: {}", last.join(", "))
}

/// The same end, by the same number of births and deaths.
fn judge(expected: &Snapshot, found: &Snapshot, reference: &Record, record: &Record) -> Result<()> {
    let differences = differences(expected, found);
    ensure!(
        differences.is_empty(),
        "another end than without the fault:\n    {}",
        differences.join("\n    ")
    );
    for (what, expected, found) in
        [("made", &reference.created, &record.created), ("deleted", &reference.deleted, &record.deleted)]
    {
        for (object, count) in found {
            let wanted = expected.get(object).copied().unwrap_or(0);
            ensure!(*count <= wanted, "{object} was {what} {count} times instead of {wanted}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::json;

    fn record(created: usize, deleted: usize) -> Record {
        let count = |times| BTreeMap::from([("secrets/demo-system".to_owned(), times)]);
        Record { created: count(created), deleted: count(deleted), ..Record::default() }
    }

    #[test]
    fn another_end_and_one_birth_or_death_too_many_are_failures() {
        let end =
            |shards: u32| Snapshot::from([("RedisCluster/demo".to_owned(), json!({ "shards": shards }))]);
        let reference = record(1, 0);
        let judged = |found, record: &Record| judge(&end(3), &found, &reference, record);
        judged(end(3), &record(1, 0)).unwrap();
        judged(end(3), &record(0, 0)).unwrap();
        assert!(judged(end(2), &record(1, 0)).is_err());
        assert!(judged(end(3), &record(2, 0)).is_err());
        assert!(judged(end(3), &record(1, 1)).is_err());
    }
}
