//! The operator, in this process, with faults below it: it dies when a fault says so, and starts again.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use keyslot_operator::cli::Arguments;
use keyslot_operator::operator::{ANSWER_LIMIT, Operator, impatient};
use kube::Config;
use kube::client::ClientBuilder;
use kube::client::retry::RetryPolicy;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;

use crate::faults::{FaultLayer, Faults, FaultyNodes};

/// An operator that works in one namespace. It dies with its value.
pub struct RunningOperator {
    task: JoinHandle<()>,
}

impl RunningOperator {
    /// Starts it.
    pub fn start(config: &Config, namespace: &str, faults: &Arc<Faults>) -> Self {
        let (config, namespace, faults) = (config.clone(), namespace.to_owned(), Arc::clone(faults));
        let task = tokio::spawn(async move {
            loop {
                let life = tokio::select! {
                    ended = live(&config, &namespace, &faults) => ended,
                    // Everything that it knew goes with the future.
                    () = faults.crashed() => continue,
                };
                if let Err(error) = life {
                    eprintln!("{namespace}: the operator has ended: {error:#}");
                }
                return;
            }
        });
        Self { task }
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for RunningOperator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(config: &Config, namespace: &str, faults: &Arc<Faults>) -> Result<()> {
    // The client's own retries are above the faults, as they are above the network.
    let mut config = impatient(config.clone());
    config.default_retry = false;
    let client = ClientBuilder::try_from(config)?
        .with_layer(&FaultLayer(Arc::clone(faults)))
        .with_layer(&BufferLayer::new(1024))
        .with_layer(&RetryLayer::new(RetryPolicy::server_retry()))
        .with_layer(&TimeoutLayer::new(ANSWER_LIMIT))
        .build();
    let line =
        ["operator", "--watch-namespaces", namespace, "--http-address", "127.0.0.1:0", "--files-delay", "2"];
    let operator = Operator {
        client,
        nodes: Arc::new(FaultyNodes::new(Arc::clone(faults))),
        arguments: Arguments::try_parse_from(line)?,
    };
    operator.run(CancellationToken::new()).await.context("the operator's process")
}
