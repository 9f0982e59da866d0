//! The whole process: watches, both loops, the lease, the endpoints, and a graceful end.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::events::Reporter;
use kube::{Api, Client, Config};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::Arguments;
use crate::context::Context;
use crate::controllers;
use crate::http;
use crate::leader::{Candidate, Leadership};
use crate::metrics::{Loop, Metrics};
use crate::nodes::{NodeWatches, Nodes};
use crate::readiness::Readiness;
use crate::stores::{Zones, stores};
use crate::watches::{Scope, Triggers, zones};

/// How long the zones of Kubernetes nodes are waited for: without the right to see nodes they never come.
const ZONES_LIMIT: Duration = Duration::from_secs(5);

/// An API server that hangs must not hold up what nodes need: a pass has several requests. Of a watch, only its
/// beginning is an answer. Whoever makes the client puts this limit on it.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Longer than a watch lasts by itself: only a connection that swallows packets is silent for so long.
const SILENCE: Duration = Duration::from_mins(5);

/// The way to the API server, which must not hang unnoticed.
#[must_use]
pub fn impatient(mut config: Config) -> Config {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config
}

/// What the process is started with. Tests give a client with a layer of faults and pretended nodes.
pub struct Operator<N> {
    /// The API server.
    pub client: Client,
    /// The Redis nodes.
    pub nodes: Arc<N>,
    /// The command line.
    pub arguments: Arguments,
}

/// What all scopes share.
struct Shared<N> {
    client: Client,
    nodes: Arc<N>,
    leadership: Leadership,
    watched: Arc<NodeWatches>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    zones: Zones,
    reporter: Reporter,
    cluster_domain: String,
    files_delay: Duration,
}

impl<N: Nodes> Operator<N> {
    /// Runs until `stop`. On return nothing is under way any more and the lease is free.
    pub async fn run(self, stop: CancellationToken) -> std::io::Result<()> {
        let Self { client, nodes, arguments } = self;
        let identity = arguments.identity();
        let scopes = arguments.scopes();
        let metrics = Arc::new(Metrics::default());
        let readiness = Arc::new(Readiness::of_scopes(scopes.len()));
        let listener = TcpListener::bind(arguments.http_address).await?;
        info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "serving /healthz, /readyz, /metrics");
        let served = http::serve(
            listener,
            Arc::clone(&metrics),
            Arc::clone(&readiness),
            stop.clone().cancelled_owned(),
        );
        let mut background = JoinSet::new();
        let (zones, watch_zones) = zones(client.clone());
        background.spawn(watch_zones);
        let (leadership, candidate) = if arguments.leader_election {
            let namespace = arguments.lease_namespace.as_deref().unwrap_or(client.default_namespace());
            let api = Api::<Lease>::namespaced(client.clone(), namespace);
            let (candidate, leadership) = Candidate::new(api, &arguments.lease_name, &identity);
            (leadership, Some(tokio::spawn(candidate.contend(stop.clone()))))
        } else {
            (Leadership::sole(), None)
        };
        let shared = Shared {
            client,
            nodes,
            leadership,
            watched: Arc::default(),
            metrics,
            readiness,
            zones,
            reporter: Reporter { controller: "keyslot".to_owned(), instance: Some(identity) },
            cluster_domain: arguments.cluster_domain,
            files_delay: Duration::from_secs(arguments.files_delay),
        };
        for namespace in scopes {
            background.spawn(run_scope(shared.scope(), namespace, stop.clone()));
        }
        let part_ended = tokio::select! {
            served = served => served.map(|()| false)?,
            Some(_) = background.join_next() => !stop.is_cancelled(),
        };
        // Without one of its parts the process would hold the lease and do nothing.
        stop.cancel();
        // The claim has ended with `stop`, and with it every pass; now the lease is given free.
        if let Some(candidate) = candidate {
            let _ = candidate.await;
        }
        if part_ended {
            return Err(std::io::Error::other("a watch or a loop of the operator has ended"));
        }
        Ok(())
    }
}

impl<N> Shared<N> {
    fn scope(&self) -> Self {
        Self {
            client: self.client.clone(),
            nodes: Arc::clone(&self.nodes),
            leadership: self.leadership.clone(),
            watched: Arc::clone(&self.watched),
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            zones: self.zones.clone(),
            reporter: self.reporter.clone(),
            cluster_domain: self.cluster_domain.clone(),
            files_delay: self.files_delay,
        }
    }
}

/// Watches and works in one namespace, or in all.
async fn run_scope<N: Nodes>(shared: Shared<N>, namespace: Option<String>, stop: CancellationToken) {
    let (stores, writers) = stores();
    let (topology, topology_queue) = mpsc::unbounded();
    let (settings, settings_queue) = mpsc::unbounded();
    let triggers = Triggers { topology, settings };
    let readiness = Arc::clone(&shared.readiness);
    let scope = Scope {
        client: shared.client.clone(),
        namespace,
        stores: stores.clone(),
        triggers: triggers.clone(),
    };
    let ctx = Arc::new(Context {
        client: shared.client,
        nodes: shared.nodes,
        leadership: shared.leadership,
        stores: stores.clone(),
        zones: shared.zones,
        triggers,
        memory: crate::memory::Memory::default(),
        watched: shared.watched,
        metrics: shared.metrics,
        backoffs: Default::default(),
        reporter: shared.reporter,
        cluster_domain: shared.cluster_domain,
        files_delay: shared.files_delay,
    });
    let forgetful = Arc::clone(&ctx);
    let _watches = scope.watch(writers, move |cluster| forgetful.forget(cluster));
    if stores.wait_until_ready().await.is_err() {
        warn!(namespace = scope.namespace, "a watch has ended");
        return;
    }
    if tokio::time::timeout(ZONES_LIMIT, ctx.zones.0.wait_until_ready()).await.is_err() {
        warn!("nodes of Kubernetes can't be listed: placement goes by host only, until they can");
    }
    readiness.scope_listed();
    info!(namespace = scope.namespace, clusters = stores.clusters.len(), "the watches have seen everything");
    let loops = async {
        tokio::join!(
            controllers::run(Loop::Topology, topology_queue, Arc::clone(&ctx)),
            controllers::run(Loop::Settings, settings_queue, Arc::clone(&ctx)),
            follow_leadership(&ctx)
        )
    };
    stop.run_until_cancelled(loops).await;
    ctx.stand_down();
}

/// With the claim comes a look at every cluster; without it nothing of Redis stays open.
async fn follow_leadership<N: Nodes>(ctx: &Context<N>) {
    loop {
        ctx.leadership.gained().await;
        ctx.metrics.leading(true);
        ctx.triggers.all(&ctx.stores.clusters);
        ctx.leadership.lost().await;
        ctx.metrics.leading(false);
        ctx.stand_down();
    }
}
