//! Every fault at every request of every flow: which ones there are, and running them beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::{Client, Config};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::faults::{Fault, Plan, Point, Proof, Record};
use crate::flow::Flow;
use crate::nodes::Kubelets;
use crate::oracles::snapshot::differences;
use crate::queue::Queue;
use crate::report::Report;
use crate::run::{Reference, Stage};
use crate::scene::Scene;

/// How often a plan is tried whose fault did not happen: some requests depend on the moment.
const TRIES: usize = 3;
/// How many plans of a flow a worker runs before another flow has its turn.
const TURN: usize = 6;

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
    let references = two_references(&stage, seed).await;
    stage.leave().await?;
    let (first, second) = references?;
    let points = common(&first.record, &second.record);
    Ok(Explored { flow, reference: merged(first, &second), points })
}

async fn two_references(stage: &Stage, seed: u64) -> Result<(Reference, Reference)> {
    let first = stage.reference(seed).await?;
    let second = stage.reference(seed.wrapping_add(1)).await?;
    let differences = differences(&first.snapshot, &second.snapshot);
    ensure!(differences.is_empty(), "two runs without a fault end differently: {}", differences.join("; "));
    Ok((first, second))
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
        // Each interleaves in its own way.
        for (plan, seed) in plans.iter_mut().zip(seed..=u64::MAX) {
            plan.seed = seed;
        }
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
}

/// After which runs it is listened for long, for what comes from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ears {
    /// After none.
    Short,
    /// After one of each flow and fault.
    EachOnce,
    /// After each.
    Long,
}

/// Runs plans of these flows beside each other until all are run or the time is over.
pub async fn run_all(
    ground: &Ground,
    flows: &[Explored],
    plans: Vec<Vec<Plan>>,
    (until, ears): (Option<Instant>, Ears),
) -> Result<Report> {
    // With little time every flow gets its turn; without an end a change of flows is only lost time.
    let turn = if until.is_some() { TURN } else { usize::MAX };
    let heard = Mutex::new(BTreeSet::new());
    let (queue, report) = (Mutex::new(Queue::new(plans, turn)), Mutex::new(Report::default()));
    let workers =
        ground.groups.iter().map(|group| Worker { ground, flows, group, ears, heard: &heard, stage: None });
    try_join_all(workers.map(|worker| worker.work(&queue, &report, until))).await?;
    Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs one plan after the other on its machines.
struct Worker<'a> {
    ground: &'a Ground,
    flows: &'a [Explored],
    group: &'a str,
    ears: Ears,
    /// Faults after which somebody has listened for long, by the index of their flow.
    heard: &'a Mutex<BTreeSet<(usize, Fault)>>,
    /// With the index of its flow.
    stage: Option<(usize, Stage)>,
}

impl Worker<'_> {
    async fn work(
        mut self,
        queue: &Mutex<Queue>,
        report: &Mutex<Report>,
        until: Option<Instant>,
    ) -> Result<()> {
        let mut here: Option<(usize, usize)> = None;
        while until.is_none_or(|until| Instant::now() < until) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next(here);
            let Some((flow, plan)) = next else { break };
            here = Some((flow, here.filter(|(last, _)| *last == flow).map_or(1, |(_, runs)| runs + 1)));
            let outcome = self.run(flow, &plan).await;
            report.lock().unwrap_or_else(PoisonError::into_inner).add(&plan, outcome);
        }
        if let Err(error) = self.leave().await {
            // All that there was to prove is proven.
            println!("a namespace stays: {error:#}");
        }
        Ok(())
    }

    /// Whether to listen for long after this fault of this flow, if it has happened.
    fn listens(&self, flow: usize, fault: Fault, proof: Proof) -> bool {
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert((flow, fault));
        proof == Proof::Happened
            && match self.ears {
                Ears::Short => false,
                Ears::EachOnce => heard(),
                Ears::Long => true,
            }
    }

    /// Runs a plan, on the stage that is there or a new one. After a failure nobody knows how the stage is.
    async fn run(&mut self, flow: usize, plan: &Plan) -> Result<Proof> {
        for _ in 0..TRIES {
            self.set(flow).await.context("the start")?;
            match self.run_once(flow, plan).await {
                Ok(Proof::NotMet) => {}
                // Many requests have nothing after them to be hidden: that is worth one try.
                Ok(proof) => return Ok(proof),
                Err(failure) => {
                    // That it can't be left either is no news.
                    let _ = self.leave().await;
                    return Err(failure);
                }
            }
        }
        Ok(Proof::NotMet)
    }

    async fn run_once(&self, flow: usize, plan: &Plan) -> Result<Proof> {
        let (_, stage) = self.stage.as_ref().context("no stage")?;
        let listens = |proof| self.listens(flow, plan.fault, proof);
        stage.run(plan, &self.flows[flow].reference, &listens).await
    }

    /// Sets the stage of a flow, if it is not there.
    async fn set(&mut self, flow: usize) -> Result<()> {
        if self.stage.as_ref().is_none_or(|(there, _)| *there != flow) {
            self.leave().await?;
            let stage = self.ground.stage(self.flows[flow].flow, self.group).await?;
            self.stage = Some((flow, stage));
        }
        Ok(())
    }

    async fn leave(&mut self) -> Result<()> {
        match self.stage.take() {
            Some((_, stage)) => stage.leave().await,
            None => Ok(()),
        }
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
