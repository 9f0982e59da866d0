//! Carries out a plan: in its order, nothing new after the first failure, and the leader's claim asked before each act.

use std::time::Duration;

use futures::future::join_all;
use keyslot_planner::Desired;
use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::plan::{KubeOperation, Operation, Outcome};
use keyslot_redis_admin::{CommandError, Credentials};
use tracing::debug;

use super::Error;
use crate::context::{Context, credentials};
use crate::nodes::Nodes;
use crate::objects;

mod kube_operation;

/// How soon to look again after finding that the watch's copy is old.
const WATCH_LAG: Duration = Duration::from_millis(100);
/// How soon to look again while an object that is being deleted is in the way. Its end is an event: this is for a missed
/// one.
const DELETION: Duration = Duration::from_secs(2);

/// How the operations went.
#[derive(Clone, Debug, PartialEq)]
pub enum Executed {
    /// All done (or there were none).
    Done,
    /// The world is on its way to where the rest will work: look again after so long. Nothing is wrong.
    NotYet(Duration),
    /// An object that is being deleted, for long if a finalizer holds it, is in the way of another one of its name.
    Held(String),
    /// Nothing was tried: the resource is paused.
    Paused,
    /// The claim has ended.
    NotLeader,
    /// An operation failed.
    Failed {
        /// Which one, in words.
        operation: String,
        /// What came back.
        error: String,
        /// A word of a closed list.
        reason: &'static str,
    },
}

impl Executed {
    /// What the answer to an operation on a Kubernetes object means.
    pub fn refused(operation: String, error: &objects::Error) -> Self {
        match error {
            objects::Error::Leftover { .. } => Self::Held(error.to_string()),
            // The next pass knows of the deletion or the stranger, and says so.
            objects::Error::Ownerless { .. }
            | objects::Error::Replaced { .. }
            | objects::Error::Foreign { .. } => Self::NotYet(WATCH_LAG),
            objects::Error::Api { .. } => {
                Self::Failed { operation, error: error.to_string(), reason: error.reason() }
            }
        }
    }

    /// For the status.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Done | Self::NotYet(_) => Outcome::Done,
            Self::Held(object) => Outcome::Held(object.clone()),
            Self::Paused => Outcome::Paused,
            Self::NotLeader => Outcome::NotLeader,
            Self::Failed { operation, error, .. } => {
                Outcome::Failed { operation: operation.clone(), error: error.clone() }
            }
        }
    }

    /// How soon to look again, where something is on its way.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::NotYet(wait) => Some(*wait),
            Self::Held(_) => Some(DELETION),
            Self::Done | Self::Paused | Self::NotLeader | Self::Failed { .. } => None,
        }
    }

    /// Whether the pass may end well.
    pub fn result(self) -> Result<(), Error> {
        match self {
            Self::Done | Self::NotYet(_) | Self::Held(_) | Self::Paused => Ok(()),
            Self::NotLeader => Err(Error::NotLeader),
            Self::Failed { operation, error, reason } => Err(Error::Operation { operation, error, reason }),
        }
    }

    /// The worse of two: a failure weighs more than having to wait.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let weight = |executed: &Self| match executed {
            Self::Done => 0,
            Self::NotYet(_) => 1,
            Self::Held(_) => 2,
            Self::Paused => 3,
            Self::NotLeader => 4,
            Self::Failed { .. } => 5,
        };
        if weight(&other) > weight(&self) { other } else { self }
    }
}

/// Carries out all operations. Runs of Redis operations go side by side by node; a Kubernetes operation waits for all
/// before it.
pub async fn execute<N: Nodes>(desired: &Desired, operations: &[Operation], ctx: &Context<N>) -> Executed {
    if desired.paused {
        return Executed::Paused;
    }
    let is_redis = |operation: &Operation| matches!(operation, Operation::Redis { .. });
    let mut executed = Executed::Done;
    for run in operations.chunk_by(|a, b| is_redis(a) && is_redis(b)) {
        let done = match run {
            [Operation::Kube(operation)] => kube_operation::carry_out(desired, operation, ctx).await,
            redis => side_by_side(desired, redis, ctx).await,
        };
        executed = executed.worse(done);
        if executed != Executed::Done {
            break;
        }
    }
    executed
}

/// Carries out operations that do not depend on each other; the worst answer counts.
pub async fn execute_each<N: Nodes>(
    desired: &Desired,
    operations: &[KubeOperation],
    ctx: &Context<N>,
) -> Executed {
    let each = operations.iter().map(|operation| execute_one(desired, operation.clone(), ctx));
    join_all(each).await.into_iter().fold(Executed::Done, Executed::worse)
}

/// Carries out one Kubernetes operation.
pub async fn execute_one<N: Nodes>(
    desired: &Desired,
    operation: KubeOperation,
    ctx: &Context<N>,
) -> Executed {
    execute(desired, &[Operation::Kube(operation)], ctx).await
}

async fn side_by_side<N: Nodes>(desired: &Desired, operations: &[Operation], ctx: &Context<N>) -> Executed {
    let Some(credentials) = &credentials(desired) else { return Executed::Done };
    let stop = &std::sync::atomic::AtomicBool::new(false);
    let lanes = lanes(operations).into_iter().map(|(on, commands)| async move {
        for command in commands {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Executed::Done;
            }
            let said = say(on, credentials, command, ctx).await;
            if said != Executed::Done {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                return said;
            }
        }
        Executed::Done
    });
    join_all(lanes).await.into_iter().fold(Executed::Done, Executed::worse)
}

/// The commands of each node, in their order.
fn lanes(operations: &[Operation]) -> Vec<(&Target, Vec<&RedisCommand>)> {
    let mut lanes: Vec<(&Target, Vec<&RedisCommand>)> = Vec::new();
    for operation in operations {
        let Operation::Redis { on, command } = operation else { continue };
        match lanes.iter_mut().find(|(target, _)| *target == on) {
            Some((_, commands)) => commands.push(command),
            None => lanes.push((on, vec![command])),
        }
    }
    lanes
}

/// How soon to look again after a node said that it does not know enough yet.
const GOSSIP: Duration = Duration::from_millis(100);

/// Says one command to one node.
pub async fn say<N: Nodes>(
    on: &Target,
    credentials: &Credentials,
    command: &RedisCommand,
    ctx: &Context<N>,
) -> Executed {
    if !ctx.leadership.is_held() {
        return Executed::NotLeader;
    }
    let answer = ctx.nodes.execute(on, credentials, command).await;
    ctx.metrics.command(command.kind(), answer.as_ref().map_or_else(CommandError::reason, |()| "ok"));
    debug!(pod = %on.pod, command = command.kind(), ?answer, "said");
    match answer {
        Ok(()) => Executed::Done,
        Err(CommandError::NotYet(_)) => Executed::NotYet(GOSSIP),
        Err(error) => Executed::Failed {
            operation: format!("{} on {}", command.kind(), on.pod),
            error: error.to_string(),
            reason: error.reason(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_planner::ids::PodName;

    fn said(pod: &str, epoch: u64) -> Operation {
        let node = "07c37dfeb235213a872192d90877d0cd55635b91".parse().unwrap();
        let on = Target { pod: PodName::new(pod), ip: [10, 0, 0, 1].into(), node };
        Operation::Redis { on, command: RedisCommand::SetConfigEpoch(epoch) }
    }

    #[test]
    fn the_commands_of_one_node_stay_in_their_order() {
        let operations = [said("a", 1), said("b", 2), said("a", 3)];
        let lanes = lanes(&operations);
        assert_eq!(lanes.len(), 2);
        assert_eq!(lanes[0].1, [&RedisCommand::SetConfigEpoch(1), &RedisCommand::SetConfigEpoch(3)]);
    }

    #[test]
    fn a_failure_weighs_more_than_having_to_wait() {
        let failed = Executed::Failed { operation: "x".to_owned(), error: "y".to_owned(), reason: "refused" };
        assert_eq!(Executed::NotYet(GOSSIP).worse(failed.clone()), failed);
        assert_eq!(failed.clone().worse(Executed::Done), failed);
    }
}
