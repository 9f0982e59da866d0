//! The topology loop: everything but users and live settings. Sequential: look at all, decide, act in order.

use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::plan::{Operation, Plan, Requeue};
use keyslot_planner::{Desired, next_step};
use kube::Resource;
use kube::runtime::controller::Action;
use tracing::info;

use super::{SOON, duration};
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::memory::TopologyPass;
use crate::metrics::Loop;
use crate::nodes::Nodes;
use crate::reconcile::base_objects::bring_up;
use crate::reconcile::dereference::dereference;
use crate::reconcile::execute::{Executed, execute, execute_each};
use crate::reconcile::observe::observe;
use crate::reconcile::report::report;
use crate::reconcile::settle_nodes::is_due;
use crate::reconcile::{Error, passwords};

/// How long a cluster is left alone in which nothing is to be done.
const RESYNC: Duration = Duration::from_secs(10);

/// Forming and healing take less than this without a change of what there is to say.
const UNTIL_SLOWER: Duration = Duration::from_secs(5);

/// One pass.
pub async fn reconcile<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<Action, Error> {
    let inputs = dereference(cluster, ctx).await?;
    let inputs = passwords::ensure(cluster, inputs, ctx).await?;
    let desired = Desired::from_spec(cluster, &inputs);
    let brought_up = bring_up(cluster, &desired, ctx).await;
    let mut observed = observe(&desired, ctx).await?;
    let memory = ctx.memory.of(cluster.meta());
    observed.locked_out = memory.locked_out(&observed.pods);
    if is_due(&observed.pods, memory.facts().settings.as_deref()) {
        ctx.triggers.settings(&ClusterRef::of(cluster.meta()));
    }
    let plan = next_step(&desired, &observed, Timestamp::now());
    // What stands beside the steps is tried again with the next look; it delays and ends nothing.
    let beside = brought_up.worse(execute_each(&desired, &plan.upkeep, ctx).await);
    if let Executed::Failed { reason, .. } = &beside {
        ctx.metrics.error(Loop::Topology, reason);
    }
    let planned = execute(&desired, &plan.operations, ctx).await;
    let since = TopologyPass::since(memory.facts().topology.as_deref(), &plan);
    let next = slower(wait(&plan, &planned, &beside), since.elapsed());
    // What the plan has to tell comes first.
    let executed = planned.clone().worse(beside);
    log(cluster, &plan, &executed);
    memory.topology(TopologyPass { observed, plan, outcome: executed.outcome(), since });
    report(cluster, &desired, ctx).await?;
    planned.result()?;
    Ok(Action::requeue(next))
}

/// How long until the next look, if nothing happens before.
fn wait(plan: &Plan, planned: &Executed, beside: &Executed) -> Duration {
    if let Some(wait) = planned.wait() {
        return wait;
    }
    let wait = match planned {
        // Nothing was done: another look would show the same.
        Executed::Paused => RESYNC,
        // What was written comes back as an event, at once; until then the watch's copies are old.
        Executed::Done if only_kubernetes(plan) && plan.requeue == Requeue::Now => SOON,
        _ => duration(plan.requeue),
    };
    beside.wait().map_or(wait, |sooner| wait.min(sooner))
}

/// A look that shows the same again and again is taken less and less often: a network policy may be in the way of what
/// is waited for.
fn slower(wait: Duration, same_for: Duration) -> Duration {
    if same_for < UNTIL_SLOWER { wait } else { wait.max((same_for / 10).min(RESYNC)) }
}

fn only_kubernetes(plan: &Plan) -> bool {
    plan.operations.iter().all(|operation| matches!(operation, Operation::Kube(_)))
}

/// One line per pass that did something.
fn log(cluster: &RedisCluster, plan: &Plan, executed: &Executed) {
    let operations = plan.operations.len() + plan.upkeep.len();
    if operations == 0 {
        return;
    }
    let cluster = ClusterRef::of(cluster.meta());
    info!(%cluster, step = plan.step, operations, outcome = ?executed.outcome(), "{}", plan.message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(operations: Vec<Operation>, requeue: Requeue) -> Plan {
        let (step, message) = ("a_step", String::new());
        Plan { step, message, operations, upkeep: Vec::new(), requeue, blocked: false }
    }

    #[test]
    fn a_paused_cluster_is_not_looked_at_in_a_hot_loop() {
        for requeue in [Requeue::Now, Requeue::Soon] {
            let plan = plan(Vec::new(), requeue);
            assert_eq!(wait(&plan, &Executed::Paused, &Executed::Paused), RESYNC, "{requeue:?}");
        }
    }

    #[test]
    fn what_the_world_is_not_ready_for_is_tried_again_soon() {
        let not_yet = Executed::NotYet(Duration::from_millis(100));
        let settled = plan(Vec::new(), Requeue::After(RESYNC));
        assert_eq!(wait(&settled, &not_yet, &Executed::Done), Duration::from_millis(100));
        assert_eq!(wait(&settled, &Executed::Done, &not_yet), Duration::from_millis(100));
        assert_eq!(wait(&settled, &Executed::Done, &Executed::Done), RESYNC);
    }

    #[test]
    fn a_look_that_shows_the_same_for_long_is_taken_less_often() {
        assert_eq!(slower(SOON, Duration::from_secs(4)), SOON);
        assert_eq!(slower(SOON, Duration::from_secs(20)), Duration::from_secs(2));
        assert_eq!(slower(SOON, Duration::from_hours(2)), RESYNC);
    }
}
