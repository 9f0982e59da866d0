//! The topology loop: everything but users and live settings. Sequential: look at all, decide, act in order.

use jiff::Timestamp;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::plan::{Operation, Plan, Requeue};
use keyslot_planner::{Desired, next_step};
use kube::Resource;
use kube::runtime::controller::Action;
use tracing::info;

use super::{SOON, action};
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::memory::TopologyPass;
use crate::nodes::Nodes;
use crate::reconcile::base_objects::bring_up;
use crate::reconcile::dereference::dereference;
use crate::reconcile::execute::{Executed, execute, execute_each};
use crate::reconcile::observe::observe;
use crate::reconcile::report::report;
use crate::reconcile::{Error, passwords};

/// One pass.
pub async fn reconcile<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<Action, Error> {
    let inputs = dereference(cluster, ctx).await?;
    let inputs = passwords::ensure(cluster, inputs, ctx).await?;
    let desired = Desired::from_spec(cluster, &inputs);
    let brought_up = bring_up(cluster, &desired, ctx).await;
    let observed = observe(&desired, ctx).await?;
    let plan = next_step(&desired, &observed, Timestamp::now());
    let kept_up = execute_each(&desired, &plan.upkeep, ctx).await;
    let planned = execute(&desired, &plan.operations, ctx).await;
    // What the plan has to tell comes first.
    let executed = planned.worse(brought_up).worse(kept_up);
    log(cluster, &plan, &executed);
    let next = next(&plan, &executed);
    ctx.memory.of(cluster.meta()).topology(TopologyPass { observed, plan, outcome: executed.outcome() });
    report(cluster, &desired, ctx).await?;
    executed.result()?;
    Ok(next)
}

fn next(plan: &Plan, executed: &Executed) -> Action {
    match executed {
        Executed::NotYet(wait) => Action::requeue(*wait),
        // What was written comes back as an event, at once; until then the watch's copies are old.
        Executed::Done if only_kubernetes(plan) && plan.requeue == Requeue::Now => Action::requeue(SOON),
        // Nothing was done: another look would show the same.
        Executed::Paused if plan.requeue == Requeue::Now => {
            Action::requeue(std::time::Duration::from_secs(10))
        }
        _ => action(plan.requeue),
    }
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
    use std::time::Duration;

    fn plan(operations: Vec<Operation>, requeue: Requeue) -> Plan {
        let (step, message) = ("a_step", String::new());
        Plan { step, message, operations, upkeep: Vec::new(), requeue, blocked: false }
    }

    #[test]
    fn a_paused_cluster_is_not_looked_at_in_a_hot_loop() {
        assert_eq!(
            next(&plan(Vec::new(), Requeue::Now), &Executed::Paused),
            Action::requeue(Duration::from_secs(10))
        );
    }

    #[test]
    fn what_the_world_is_not_ready_for_is_tried_again_soon() {
        let executed = Executed::NotYet(Duration::from_millis(100));
        assert_eq!(
            next(&plan(Vec::new(), Requeue::Now), &executed),
            Action::requeue(Duration::from_millis(100))
        );
        let settled = plan(Vec::new(), Requeue::After(Duration::from_secs(10)));
        assert_eq!(next(&settled, &Executed::Done), Action::requeue(Duration::from_secs(10)));
    }
}
