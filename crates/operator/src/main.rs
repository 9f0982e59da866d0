//! Starts the operator.

use std::sync::Arc;

use clap::Parser;
use keyslot_operator::cli::Arguments;
use keyslot_operator::operator::{ANSWER_LIMIT, Operator, impatient};
use keyslot_operator::telemetry;
use keyslot_redis_admin::NodeConnections;
use kube::Config;
use kube::client::ClientBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::start(arguments.log_format);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    anyhow::ensure!(provider.install_default().is_ok(), "a TLS provider was installed before");
    // Passes mostly wait; threads cost memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = impatient(Config::infer().await?);
    let client = ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(ANSWER_LIMIT)).build();
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    Operator { client, nodes: Arc::new(NodeConnections::new()), arguments }.run(stop).await?;
    Ok(())
}
