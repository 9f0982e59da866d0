//! Every fault at every request of every flow: which ones there are, and running them beside each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::{Client, Config};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::faults::{Fault, Plan, Point, Record};
use crate::flow::Flow;
use crate::nodes::Kubelets;
use crate::report::Report;
use crate::run::{Reference, Stage};
use crate::scene::Scene;

/// How often a plan is tried whose fault did not happen: some requests depend on the moment.
const TRIES: usize = 3;

/// Where flows are run.
#[derive(Clone)]
pub struct Ground {
    /// The administrator.
    pub client: Client,
    /// For operators.
    pub config: Config,
    /// One group of machines for each worker.
    pub groups: Vec<String>,
    kubelets: Arc<Kubelets>,
    scenes: Arc<AtomicUsize>,
}

impl Ground {
    /// With these groups of machines, which these kubelets play.
    pub fn new(client: Client, config: Config, groups: Vec<String>, kubelets: Kubelets) -> Self {
        Self { client, config, groups, kubelets: Arc::new(kubelets), scenes: Arc::default() }
    }

    /// A new scene on the machines of a group.
    pub async fn scene(&self, name: &str, group: &str) -> Result<Scene> {
        let number = self.scenes.fetch_add(1, Ordering::Relaxed);
        Scene::create(&self.client, &format!("{name}-{number}"), group, Arc::clone(&self.kubelets)).await
    }

    async fn stage(&self, flow: Flow, group: &str) -> Result<Stage> {
        Stage::set(flow, self.scene(flow.name, group).await?, &self.config).await
    }
}

/// A flow whose runs without faults were looked at.
pub struct Explored {
    flow: Flow,
    reference: Reference,
    points: Vec<Point>,
}

/// Runs the flow twice without a fault. Requests that both runs have are the ones that every run has.
pub async fn explore(ground: &Ground, flow: Flow, group: &str, seed: u64) -> Result<Explored> {
    let stage = ground.stage(flow, group).await?;
    let first = stage.reference(seed).await?;
    let second = stage.reference(seed.wrapping_add(1)).await?;
    let differences = crate::oracles::snapshot::differences(&first.snapshot, &second.snapshot);
    ensure!(differences.is_empty(), "two runs without a fault end differently: {}", differences.join("; "));
    stage.leave().await?;
    let points = common(&first.record, &second.record);
    Ok(Explored { flow, reference: merged(first, &second), points })
}

fn common(first: &Record, second: &Record) -> Vec<Point> {
    let mut points: Vec<Point> =
        first.requests.iter().filter(|p| second.requests.contains(p)).cloned().collect();
    points.sort();
    points
}

/// Of births and deaths, as many are allowed as either run had.
fn merged(first: Reference, second: &Reference) -> Reference {
    let mut merged = first;
    for (into, from) in [
        (&mut merged.record.created, &second.record.created),
        (&mut merged.record.deleted, &second.record.deleted),
    ] {
        for (object, count) in from {
            let most = into.entry(object.clone()).or_default();
            *most = (*most).max(*count);
        }
    }
    merged
}

impl Explored {
    /// Every fault at every request, in an order chosen by the seed.
    pub fn plans(&self, seed: u64) -> Vec<Plan> {
        let with = |at: &Point| {
            let (flow, at) = (self.flow.name.to_owned(), at.clone());
            Fault::ALL.map(move |fault| Plan { flow: flow.clone(), at: at.clone(), fault, seed })
        };
        let mut plans: Vec<Plan> = self.points.iter().flat_map(with).collect();
        plans.shuffle(&mut SmallRng::seed_from_u64(seed));
        plans
    }

    /// The flow's name.
    pub const fn name(&self) -> &'static str {
        self.flow.name
    }

    /// How long the flow takes without a fault.
    pub const fn took(&self) -> Duration {
        self.reference.took
    }

    /// The requests.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Runs plans beside each other until all are run or the time is over.
    pub async fn run(&self, ground: &Ground, plans: Vec<Plan>, until: Option<Instant>) -> Result<Report> {
        let (queue, report) = (Mutex::new(VecDeque::from(plans)), Mutex::new(Report::default()));
        let workers = ground.groups.iter().map(|group| self.work(ground, group, (&queue, &report), until));
        try_join_all(workers).await?;
        Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn work(
        &self,
        ground: &Ground,
        group: &str,
        (queue, report): (&Mutex<VecDeque<Plan>>, &Mutex<Report>),
        until: Option<Instant>,
    ) -> Result<()> {
        let mut stage = None;
        while until.is_none_or(|until| Instant::now() < until) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(plan) = next else { break };
            let outcome = self.tried(ground, group, (&mut stage, &plan)).await;
            report.lock().unwrap_or_else(PoisonError::into_inner).add(&plan, outcome);
        }
        if let Some(stage) = stage {
            stage.leave().await?;
        }
        Ok(())
    }

    /// Runs a plan, on the stage that is there or a new one. After a failure nobody knows how the stage is. `false` when
    /// the fault did not happen.
    async fn tried(
        &self,
        ground: &Ground,
        group: &str,
        (stage, plan): (&mut Option<Stage>, &Plan),
    ) -> Result<bool> {
        for _ in 0..TRIES {
            let ready = match stage.take() {
                Some(ready) => ready,
                None => ground.stage(self.flow, group).await.context("the start")?,
            };
            match ready.run(plan, &self.reference).await {
                Ok(true) => {
                    *stage = Some(ready);
                    return Ok(true);
                }
                Ok(false) => *stage = Some(ready),
                Err(failure) => {
                    ready.leave().await?;
                    return Err(failure);
                }
            }
        }
        Ok(false)
    }
}

/// Plans of a file, one a line, by their flows. Empty lines and those that start with `#` say nothing.
pub fn by_flow(lines: &str) -> Result<BTreeMap<String, Vec<Plan>>> {
    let mut plans: BTreeMap<String, Vec<Plan>> = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let plan: Plan = line.parse()?;
        ensure!(Flow::named(&plan.flow).is_some(), "no flow is called {}", plan.flow);
        plans.entry(plan.flow.clone()).or_default().push(plan);
    }
    Ok(plans)
}
