//! A small cluster-aware client that runs inside the Kubernetes cluster, as an application would: it is
//! told where the cluster is and who it is only by the Secret of its user, mounted as files.
//!
//! Each command prints one JSON object, which the tests read.

mod binding;
mod connections;
mod intruder;
mod keys;
mod load;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use redis::cluster_async::ClusterConnection;
use serde_json::{Value, json};

use binding::Binding;

/// Works with a Redis Cluster as the user whose Secret is mounted.
#[derive(Parser)]
#[command(name = "keyslot-client")]
struct Arguments {
    /// Folder with the files of a servicebinding.io Secret: username, password, host, port, nodes.
    #[arg(long, env = "KEYSLOT_BINDING", default_value = "/binding", global = true)]
    binding: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write keys and read them back.
    WriteRead(Keys),
    /// Read keys that `write-read` wrote.
    Read(Keys),
    /// Send each argument as a command, such as "GET app:1", and print the answers or errors.
    Run {
        #[arg(required = true)]
        commands: Vec<String>,
    },
    /// Keep one plain connection to each node open until the pod ends, and tell of each that ends.
    Hold,
    /// Write new keys until the key `app:stop` exists, and tell which of those that were acknowledged are still there.
    Load {
        /// What the names of the keys begin with.
        #[arg(long)]
        prefix: String,
        /// Try INCR all the time too, and tell whether it is allowed.
        #[arg(long)]
        probe: bool,
    },
    /// Log in to the node of this pod again and again, and tell how long it lets in after its next restart.
    Intrude {
        #[arg(long)]
        pod: String,
    },
}

#[derive(clap::Args)]
struct Keys {
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// What the names of the keys begin with.
    #[arg(long, default_value = "app:")]
    prefix: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match work(Arguments::parse()).await {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", json!({ "error": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}

async fn work(arguments: Arguments) -> Result<Value> {
    let binding = Binding::read(&arguments.binding)?;
    match arguments.command {
        Command::WriteRead(Keys { keys, prefix }) => {
            let connection = binding.connect().await?;
            keys::write(&connection, &prefix, keys).await?;
            keys::read(&connection, &prefix, keys).await
        }
        Command::Read(Keys { keys, prefix }) => keys::read(&binding.connect().await?, &prefix, keys).await,
        Command::Run { commands } => run(&binding.connect().await?, &commands).await,
        Command::Hold => connections::hold(&binding).await,
        Command::Load { prefix, probe } => load::load(&arguments.binding, prefix, probe).await,
        Command::Intrude { pod } => intruder::intrude(&binding, &pod).await,
    }
}

/// The clock of the tests that read it, where both run on one machine.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Answers in the order of the commands.
async fn run(connection: &ClusterConnection, commands: &[String]) -> Result<Value> {
    let mut answers = Vec::new();
    for text in commands {
        let mut words = text.split_whitespace();
        let mut command = redis::cmd(words.next().context("an empty command")?);
        words.for_each(|word| {
            command.arg(word);
        });
        let answer = command.query_async::<redis::Value>(&mut connection.clone()).await;
        answers.push(match answer {
            Ok(value) => json!({ "command": text, "answer": format!("{value:?}") }),
            Err(error) => json!({ "command": text, "error": error.to_string() }),
        });
    }
    Ok(Value::Array(answers))
}
