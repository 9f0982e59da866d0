//! `make bench-acl`: how long changes of users take until they are in force on every node, and what a hanging pod does
//! to it. docs/benchmarks.md tells what each figure means.
//!
//! Needs the local Kubernetes: it connects to pods, and stops a process. A missed aim is printed and is no failure.

mod changes;
mod figures;
mod hang;
mod look;
mod many;
mod sessions;
mod sides;
mod subject;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::bench::table::Table;
use keyslot_e2e::bench::{in_namespace, machine, server};
use keyslot_e2e::install;
use keyslot_e2e::settings::{self, Server};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::sides::{Counts, Sides};
use crate::subject::Subject;

/// Measures how long changes of users take; prints a Markdown table.
#[derive(Parser)]
#[command(name = "bench-acl")]
struct Arguments {
    /// Servers, such as redis-7.0.
    #[arg(long, value_delimiter = ',', value_parser = server, default_value = "redis-7.0")]
    servers: Vec<Server>,
    /// Shapes: shards, x, replicas of each.
    #[arg(long, value_delimiter = ',', default_value = "3x1,15x1")]
    shapes: Vec<Shape>,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "edit,revoke,hang,many")]
    parts: Vec<Part>,
    /// How many edits of one user; a fifth of it are done again soon after another one.
    #[arg(long, default_value_t = 50)]
    edits: usize,
    /// How often a user is revoked.
    #[arg(long, default_value_t = 15)]
    revocations: usize,
    /// Sessions of that user on each node.
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Users that one patch changes; a resource may have 200.
    #[arg(long, default_value_t = 200)]
    users: usize,
    /// Shape of the cluster that has them.
    #[arg(long, default_value = "6x1")]
    users_shape: Shape,
    /// How many such patches.
    #[arg(long, default_value_t = 5)]
    patches: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Edits of one user.
    Edit,
    /// A user whose sessions have to end.
    Revoke,
    /// Both of them also while one pod hangs.
    Hang,
    /// One patch that changes many users.
    Many,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn counts(&self) -> Counts {
        let edits = if self.wants(Part::Edit) { self.edits } else { 0 };
        let revocations = if self.wants(Part::Revoke) { self.revocations } else { 0 };
        Counts { edits, soon: edits.div_ceil(5), revocations, sessions: self.sessions }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::select! {
        measured = measure(&arguments) => measured,
        // What was stopped goes on when the measurement is dropped.
        interrupted = interrupted() => interrupted,
    };
    match measured {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-acl could not measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<String> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        _ = terminated.recv() => {}
    }
    bail!("it was interrupted; its namespace stays");
}

async fn measure(arguments: &Arguments) -> Result<String> {
    ensure!(settings::is_local(), "processes can be stopped only on the local Kubernetes");
    let client = settings::connect().await?;
    let machine = machine::describe(&client).await?;
    let (load, others) = (machine::load()?, machine::other_pods(&client).await?);
    if others > 0 {
        eprintln!("{others} pods of others run here: the figures will be worse for it");
    }
    let mut table = Table::of(["all pods answer", "one pod hangs"]);
    install::install(&client).await?;
    for server in &arguments.servers {
        for shape in &arguments.shapes {
            measure_shape(&client, (*server, *shape), arguments, &mut table).await?;
        }
        if arguments.wants(Part::Many) {
            measure_many(&client, *server, arguments, &mut table).await?;
        }
    }
    Ok(format!(
        "Keyslot {}, {machine}; no volumes; p50 / p99 / max, p99 of fewer than 100 being the greatest; load {load:.1} \
         and {others} pods of others at the beginning, load {:.1} at the end.\n\n{}",
        env!("CARGO_PKG_VERSION"),
        machine::load()?,
        table.markdown()
    ))
}

async fn measure_shape(
    client: &Client,
    (server, shape): (Server, Shape),
    arguments: &Arguments,
    table: &mut Table,
) -> Result<()> {
    let counts = arguments.counts();
    if counts.edits + counts.revocations == 0 {
        return Ok(());
    }
    eprintln!("{}, {shape}", server.image());
    in_namespace(client, async |namespace| {
        let mut subject = Subject::form(namespace, server, shape, changes::users()).await?;
        let mut sides = Sides::default();
        sides.measure(&mut subject, counts, arguments.wants(Part::Hang)).await?;
        figures::sides(table, (&subject.engine, shape), &sides, counts);
        Ok(())
    })
    .await
}

async fn measure_many(
    client: &Client,
    server: Server,
    arguments: &Arguments,
    table: &mut Table,
) -> Result<()> {
    let (users, shape) = (arguments.users, arguments.users_shape);
    eprintln!("{}, {shape}, {users} users", server.image());
    in_namespace(client, async |namespace| {
        let mut subject = Subject::form(namespace, server, shape, many::users(users)).await?;
        let mut runs = Vec::new();
        for run in 0..arguments.patches {
            runs.push(many::change_all(client, &mut subject, run).await?);
        }
        figures::many(table, (&subject.engine, shape), users, &runs);
        Ok(())
    })
    .await
}
