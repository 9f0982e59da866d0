//! Runs flows with faults.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use futures::future::join_all;
use keyslot_faults::bad_resources;
use keyslot_faults::enumerator::{Ears, Explored, Ground, by_flow, explore, run_all};
use keyslot_faults::faults::{LaneLayer, Plan};
use keyslot_faults::flow::{FLOWS, Flow};
use keyslot_faults::nodes::{Kubelets, Machine};
use keyslot_faults::part::Part;
use keyslot_faults::report::Report;
use keyslot_faults::tier::{self, Place, Tier};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Earlier failures, run again each time.
const REGRESSIONS: &str = include_str!("../regressions.txt");

/// Flows with a fault at every request of the operator, on a real control plane with played nodes. Needs root.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How many runs go side by side.
    #[arg(long, global = true, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Chooses the sample, and how requests interleave; by default the time.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Only this flow.
    #[arg(long, global = true)]
    flow: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Earlier failures, and as many runs of some flows as fit into the time.
    Sample {
        #[arg(long, default_value_t = 2)]
        minutes: u64,
        /// How many flows, besides those that have failed before.
        #[arg(long, default_value_t = 3)]
        flows: usize,
    },
    /// Everything, or a part of it.
    All {
        /// One of equal parts that together are everything, such as 2/8.
        #[arg(long)]
        part: Option<Part>,
    },
    /// One run again: the line that its failure printed.
    Replay { plan: String },
    /// Print the requests of each flow.
    Requests,
    /// Every field of the resource with every kind of wrong value, or as many as fit into the time.
    BadResources {
        #[arg(long)]
        minutes: Option<u64>,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let tier = match tier::enter()? {
        Place::Inside(tier) => tier,
        Place::Outside(code) => return Ok(code),
    };
    listen();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    ensure!(provider.install_default().is_ok(), "a TLS provider was installed before");
    let control_plane = tier.control_plane()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let report = runtime.block_on(async {
        let read = Kubeconfig::read_from(control_plane.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        let ground = ground(&tier, config, arguments.parallel).await?;
        carry_out(&arguments, &ground).await
    })?;
    let (passed, failed) = report.totals();
    println!("\n{report}");
    // As cargo's test binaries say it.
    println!("test result: {}. {passed} passed; {failed} failed", if failed == 0 { "ok" } else { "FAILED" });
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Spans carry the lanes of requests; the operator's words are shown with `RUST_LOG`.
fn listen() {
    let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let shown = shown
        .with_filter(EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy());
    let lanes = LaneLayer.with_filter(Targets::new().with_target("keyslot_operator", LevelFilter::DEBUG));
    tracing_subscriber::registry().with(lanes).with(shown).init();
}

async fn ground(tier: &Tier, config: Config, parallel: u16) -> Result<Ground> {
    let client = Client::try_from(config.clone())?;
    Api::all(client.clone()).create(&PostParams::default(), &keyslot_api::crd()).await?;
    let kubelets = Kubelets::start(client.clone(), &tier.folder().join("nodes")).await?;
    tier.resolve(&kubelets.hosts())?;
    let groups: Vec<String> = (0..parallel).map(|number| format!("group{number}")).collect();
    for group in &groups {
        kubelets.add(&Machine::of_group(group)).await?;
    }
    Ok(Ground::new(client, config, groups, kubelets))
}

async fn carry_out(arguments: &Arguments, ground: &Ground) -> Result<Report> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    match &arguments.command {
        Command::Sample { minutes, flows } => {
            let chosen = match arguments.flow.as_deref() {
                Some(name) => named(name)?,
                None => some(*flows, seed)?,
            };
            let (flows, report) = explored(chosen, ground, seed).await?;
            Ok(report.and(run_everything(ground, &flows, (seed, &|_| true), Some(*minutes)).await?))
        }
        Command::All { part } => {
            let (flows, report) = explored(all_or(arguments.flow.as_deref())?, ground, seed).await?;
            let is_wanted = |plan: &Plan| part.is_none_or(|part| part.has(plan));
            let report = report.and(run_everything(ground, &flows, (seed, &is_wanted), None).await?);
            Ok(if part.is_none() { report.with_every_fault(arguments.flow.is_none()) } else { report })
        }
        Command::Replay { plan } => {
            let plan: Plan = plan.parse()?;
            let (flows, report) = explored(named(&plan.flow)?, ground, plan.seed).await?;
            let plans = flows.iter().map(|_| vec![plan.clone()]).collect();
            Ok(report.and(run_all(ground, &flows, plans, (None, Ears::Long)).await?.without_void()))
        }
        Command::Requests => {
            let (flows, report) = explored(all_or(arguments.flow.as_deref())?, ground, seed).await?;
            for flow in flows {
                println!("{}: {:.1} s without a fault", flow.name(), flow.took().as_secs_f64());
                flow.points().iter().for_each(|point| println!("{} | {point}", flow.name()));
            }
            Ok(report)
        }
        Command::BadResources { minutes } => bad_resources::run(ground, seed, minutes.map(from_now)).await,
    }
}

fn from_now(minutes: u64) -> Instant {
    Instant::now() + Duration::from_secs(60 * minutes)
}

fn named(name: &str) -> Result<Vec<Flow>> {
    let names = || FLOWS.iter().map(|flow| flow.name).collect::<Vec<_>>().join(", ");
    let flow =
        Flow::named(name).with_context(|| format!("no flow is called {name}; there are {}", names()))?;
    Ok(vec![flow])
}

fn all_or(name: Option<&str>) -> Result<Vec<Flow>> {
    name.map_or_else(|| Ok(FLOWS.to_vec()), named)
}

/// Those that have failed before, and so many others, chosen by the seed.
fn some(count: usize, seed: u64) -> Result<Vec<Flow>> {
    let regressions = by_flow(REGRESSIONS)?;
    let (mut chosen, mut others): (Vec<Flow>, Vec<Flow>) =
        FLOWS.iter().partition(|flow| regressions.contains_key(flow.name));
    others.shuffle(&mut SmallRng::seed_from_u64(seed));
    chosen.extend(others.into_iter().take(count));
    Ok(chosen)
}

/// Looks at flows without faults, beside each other. Those that fail without any are in the report.
async fn explored(chosen: Vec<Flow>, ground: &Ground, seed: u64) -> Result<(Vec<Explored>, Report)> {
    let begin = Instant::now();
    let queue = Mutex::new(VecDeque::from(chosen));
    let report = Mutex::new(Report::default());
    let explorers = ground.groups.iter().map(async |group| {
        let mut flows = Vec::new();
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some(flow) = next() {
            match explore(ground, flow, group, seed).await {
                Ok(explored) => flows.push(explored),
                Err(error) => report
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .fail(format!("{} without a fault, seed {seed}", flow.name), &error),
            }
        }
        flows
    });
    let flows: Vec<Explored> = join_all(explorers).await.into_iter().flatten().collect();
    println!("{} flows explored in {:.0} s", flows.len(), begin.elapsed().as_secs_f64());
    Ok((flows, report.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Earlier failures first, then every plan, or as many as can be run in some minutes.
async fn run_everything(
    ground: &Ground,
    flows: &[Explored],
    (seed, is_wanted): (u64, &dyn Fn(&Plan) -> bool),
    minutes: Option<u64>,
) -> Result<Report> {
    let regressions = by_flow(REGRESSIONS)?;
    let ears = if minutes.is_some() { (Ears::Short, Ears::Short) } else { (Ears::Long, Ears::EachOnce) };
    let earlier = flows.iter().map(|flow| regressions.get(flow.name()).cloned().unwrap_or_default());
    let earlier = run_all(ground, flows, earlier.collect(), (None, ears.0)).await?.without_void();
    let plans = |flow: &Explored| flow.plans(seed).into_iter().filter(is_wanted).collect();
    let plans = flows.iter().map(plans).collect();
    // Whatever the rest took.
    let report = run_all(ground, flows, plans, (minutes.map(from_now), ears.1)).await?;
    ensure!(
        minutes.is_none() || report.totals() != (0, 0),
        "nothing was run: the time was over before the first plan"
    );
    let mut report = earlier.and(report.with_proof());
    for flow in flows {
        report.explored(flow.name(), flow.points().len());
    }
    Ok(report)
}
