//! Starts the operator.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use keyslot_operator::cli::Arguments;
use keyslot_operator::operator::{ANSWER_LIMIT, Operator};
use keyslot_operator::telemetry;
use keyslot_redis_admin::NodeConnections;
use kube::Config;
use kube::client::ClientBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;

/// Longer than a watch lasts by itself: only a connection that swallows packets is silent for so long.
const SILENCE: Duration = Duration::from_mins(5);

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
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
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
