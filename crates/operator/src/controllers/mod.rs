//! Two loops over the same resources, independent of each other: revoking a user never waits for a reshard, a rolling
//! update or a hanging pod.
//!
//! Owns: what surrounds every pass (the claim, the limit of time, counting, back-off). Never decides anything about a
//! cluster.

mod settings;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt};
use keyslot_planner::plan::Requeue;
use kube::Resource;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::ObjectRef;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug_span, trace, warn};

use crate::cluster::{ClusterRef, Guarded};
use crate::context::Context;
use crate::metrics::{Ending, Loop};
use crate::nodes::Nodes;
use crate::reconcile::{Error, newest, report};

/// So many clusters are looked at side by side in each loop. Passes mostly wait for answers.
const CONCURRENCY: u16 = 16;

/// No pass may take longer: the next one begins with a fresh look.
const PASS_LIMIT: Duration = Duration::from_secs(30);

/// Gossip is on its way, and nothing tells when it has arrived.
const SOON: Duration = Duration::from_millis(100);

/// Runs one loop until its queue ends. A cluster is never in two passes of one loop at once.
pub async fn run<N: Nodes>(
    controller: Loop,
    queue: UnboundedReceiver<ObjectRef<Guarded>>,
    ctx: Arc<Context<N>>,
) {
    let passes = applier(
        move |cluster, ctx| pass(controller, cluster, ctx).boxed(),
        move |cluster: Arc<Guarded>, error, ctx| retry(controller, &cluster, error, &ctx),
        Arc::clone(&ctx),
        ctx.stores.clusters.clone(),
        queue.map(Ok::<_, std::convert::Infallible>),
        Config::default().concurrency(CONCURRENCY),
    );
    passes
        .for_each(async |ended| {
            // Failures were logged by the pass; what is left are triggers for resources that are gone.
            if let Err(error) = ended {
                trace!(controller = controller.as_str(), %error, "no pass");
            }
        })
        .await;
}

/// One pass, and what surrounds it.
async fn pass<N: Nodes>(
    controller: Loop,
    cluster: Arc<Guarded>,
    ctx: Arc<Context<N>>,
) -> Result<Action, Error> {
    let name = ClusterRef::of(cluster.meta());
    if !ctx.leadership.is_held() {
        // Gaining the claim asks for all clusters.
        return Ok(Action::await_change());
    }
    if cluster.meta().deletion_timestamp.is_some() {
        // Owner references and the garbage collector do all the work.
        ctx.forget(&name);
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    // Tells below the client whose request it is.
    let span = debug_span!("pass", controller = controller.as_str(), cluster = %name);
    let reconciled = reconcile(controller, &cluster, &ctx).instrument(span);
    let ended = tokio::select! {
        ended = timeout(PASS_LIMIT, reconciled) => ended.unwrap_or(Err(Error::TimedOut)),
        () = ctx.leadership.lost() => Err(Error::NotLeader),
    };
    let ending = match &ended {
        Ok(_) => Ending::Done,
        Err(Error::TimedOut) => Ending::TimedOut,
        Err(Error::NotLeader) => Ending::NotLeader,
        Err(_) => Ending::Failed,
    };
    ctx.metrics.pass(controller, ending, started.elapsed());
    if !is_still_there(&cluster, &ctx) {
        // It was deleted during the pass, which may have remembered it again.
        ctx.forget(&name);
    }
    match &ended {
        Ok(_) => ctx.backoff(controller).reset(&name),
        Err(error) => {
            ctx.metrics.error(controller, error.reason());
            warn!(cluster = %name, controller = controller.as_str(), %error, reason = error.reason(), "pass failed");
        }
    }
    ended
}

fn is_still_there<N: Nodes>(cluster: &Guarded, ctx: &Context<N>) -> bool {
    let present = ctx.stores.clusters.get(&ClusterRef::of(cluster.meta()).object_ref());
    present.is_some_and(|present| present.meta().uid == cluster.meta().uid)
}

async fn reconcile<N: Nodes>(controller: Loop, cluster: &Guarded, ctx: &Context<N>) -> Result<Action, Error> {
    if let Ok(cluster) = &cluster.0 {
        newest::confirm(cluster, ctx).await?;
    }
    match (&cluster.0, controller) {
        (Ok(cluster), Loop::Topology) => topology::reconcile(cluster, ctx).await,
        (Ok(cluster), Loop::Settings) => settings::reconcile(cluster, ctx).await,
        (Err(invalid), Loop::Topology) => {
            report::report_undecodable(invalid, ctx).await.map(|()| Action::await_change())
        }
        (Err(_), Loop::Settings) => Ok(Action::await_change()),
    }
}

fn retry<N: Nodes>(controller: Loop, cluster: &Guarded, error: &Error, ctx: &Context<N>) -> Action {
    match error {
        Error::NotLeader => Action::await_change(),
        _ => Action::requeue(ctx.backoff(controller).failed(&ClusterRef::of(cluster.meta()))),
    }
}

/// How long after a pass the plan wants another look.
const fn duration(requeue: Requeue) -> Duration {
    match requeue {
        Requeue::Now => Duration::ZERO,
        Requeue::Soon => SOON,
        Requeue::After(duration) => duration,
    }
}
