//! `make bench-form`: how long forming takes, beside `redis-cli --cluster create` on the same pods, and what
//! the operator costs. docs/benchmarks.md tells what each figure means.
//!
//! Needs the local Kubernetes: it connects to pods, and reads the audit log and /proc. A missed aim is
//! printed and is no failure.

mod formation;
mod idle;
mod keyslot;
mod memory;
mod nodes;
mod pods;
mod redis_cli;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::bench::{in_namespace, machine, server};
use keyslot_e2e::settings::{self, Server};
use keyslot_e2e::{Namespace, install};
use kube::Client;

use crate::redis_cli::{Begin, Objects};
use crate::table::{Runs, Table};

/// Measures how long the operator takes to form clusters, and what it costs; prints a Markdown table.
#[derive(Parser)]
#[command(name = "bench-form")]
struct Arguments {
    /// Servers, such as redis-7.0.
    #[arg(long, value_delimiter = ',', value_parser = server, default_value = "redis-7.0,valkey-9.1")]
    servers: Vec<Server>,
    /// Shapes: shards, x, replicas of each.
    #[arg(long, value_delimiter = ',', default_value = "3x1,5x1,6x1")]
    shapes: Vec<Shape>,
    /// How often each shape is formed by each side.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many seconds the settled cluster is watched.
    #[arg(long, default_value_t = 300)]
    idle: u64,
    /// Volumes of this size, such as 1Gi, from the default class; without it the data is in memory only.
    #[arg(long)]
    storage: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Arguments::parse()).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-form could not measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<String> {
    let client = settings::connect().await?;
    let machine = machine::describe(&client).await?;
    let (load, others) = (machine::load()?, machine::other_pods(&client).await?);
    if others > 0 {
        eprintln!("{others} pods of others run here: the figures will be worse for it");
    }
    let mut table = Table::default();
    for server in &arguments.servers {
        measure_server(&client, *server, arguments, &mut table).await?;
    }
    let volumes =
        arguments.storage.as_ref().map_or("no volumes".to_owned(), |size| format!("volumes of {size}"));
    let caption = format!(
        "Keyslot {}, {}; {volumes}; median (range) of {} runs; load {load:.1} and {others} pods of others at the \
         beginning, load {:.1} at the end.",
        env!("CARGO_PKG_VERSION"),
        machine,
        arguments.runs,
        machine::load()?,
    );
    Ok(format!("{caption}\n\n{}", table.markdown()))
}

/// The operator starts anew for each server: its memory is that of a process that has seen one cluster.
async fn measure_server(
    client: &Client,
    server: Server,
    arguments: &Arguments,
    table: &mut Table,
) -> Result<()> {
    eprintln!("{}: a new operator and its first cluster, then {} s of rest", server.image(), arguments.idle);
    install::install(client).await?;
    let first = *arguments.shapes.first().context("no shape")?;
    let storage = arguments.storage.as_deref();
    let name = in_namespace(client, async |namespace| {
        let formed = keyslot::form(namespace, server, first, storage).await?;
        eprintln!("  first cluster: Ready after {:.2} s", formed.apply_to_ready);
        let idle = idle::measure(namespace, Duration::from_secs(arguments.idle)).await?;
        for (pod, rate) in &idle.commands {
            eprintln!("  {pod}: {rate:.3} commands per second");
        }
        idle.writes.iter().for_each(|write| eprintln!("  {write}"));
        table.idle((&formed.server, first), &idle);
        table.memory("one settled cluster", (&formed.server, first), memory::of_leader(client).await?);
        Ok(formed.server)
    })
    .await?;
    for shape in &arguments.shapes {
        let mut runs = Runs::default();
        for number in 1..=arguments.runs {
            run(client, (server, *shape, storage), &mut runs).await?;
            eprintln!("  {shape}, run {number}: {}", runs.last());
        }
        table.formed((&name, *shape), &runs);
    }
    table.memory("after all runs, no cluster", (&name, first), memory::of_leader(client).await?);
    Ok(())
}

/// One cluster by the operator, and then the same pods twice by redis-cli.
async fn run(
    client: &Client,
    (server, shape, storage): (Server, Shape, Option<&str>),
    runs: &mut Runs,
) -> Result<()> {
    let (formed, objects) = in_namespace(client, async |namespace| {
        let formed = keyslot::form(namespace, server, shape, storage).await?;
        Ok((formed, Objects::of(namespace).await?))
    })
    .await?;
    runs.keyslot.push(formed);
    let (at_once, when_ready) = (&mut runs.redis_cli, &mut runs.patient_redis_cli);
    for (begin, runs) in [(Begin::AllAnswer, at_once), (Begin::AllReady, when_ready)] {
        let form = async |namespace: &Namespace| redis_cli::form(namespace, &objects, shape, begin).await;
        runs.push(in_namespace(client, form).await?);
    }
    Ok(())
}
