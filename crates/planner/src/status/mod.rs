//! What the resource's status says: a pure function of what was wanted, seen and done.

mod conditions;
mod health;
mod in_force;
mod shards;
mod transitions;
mod users;

use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::conditions::ConditionType;
use keyslot_api::labels;
use keyslot_api::v1alpha1::{Binding, EngineStatus, RedisCluster, RedisClusterStatus};

use crate::desired::Desired;
use crate::observed::Observed;
use crate::plan::{Outcome, Plan};
use crate::settings::SettingsReport;

pub use health::served;
pub use transitions::{Transition, transitions};

/// Everything that status is made from. What is `None` was not looked at yet (after a start of the operator): the
/// parts that depend on it stay as they are in the resource.
#[derive(Clone, Copy, Debug)]
pub struct StatusInputs<'a> {
    /// The resource with its present status.
    pub cluster: &'a RedisCluster,
    /// What is wanted.
    pub desired: &'a Desired,
    /// The topology loop's last look, plan and outcome.
    pub topology: Option<(&'a Observed, &'a Plan, &'a Outcome)>,
    /// The settings loop's last report.
    pub settings: Option<&'a SettingsReport>,
    /// The present time.
    pub now: Timestamp,
}

/// The whole status.
pub fn status(inputs: StatusInputs<'_>) -> RedisClusterStatus {
    let StatusInputs { cluster, desired, topology, settings, now } = inputs;
    let mut status = cluster.status.clone().unwrap_or_default();
    status.observed_generation = Some(desired.generation);
    status.selector =
        Some(format!("{}={},{}={}", labels::CLUSTER, desired.name, labels::ROLE, labels::ROLE_PRIMARY));
    if let Some((observed, plan, outcome)) = topology {
        status.step = Some(plan.step.to_owned());
        status.message = Some(message(plan, outcome));
        status.ready_nodes = Some(ready_nodes(observed, desired));
        status.engine = engine(observed).or(status.engine);
        status.shards = shards::shards(observed, &status.shards);
        status.shard_count = i32::try_from(status.shards.len()).ok();
    }
    if let Some(report) = settings {
        status.users = users::users(&cluster.spec.users, desired, report);
        status.binding = binding(desired);
        status.system_rotation = users::system_rotation(desired);
    }
    status.conditions = conditions::conditions(&inputs, &status.conditions, now);
    status
}

/// How often words alone are written: while a cluster is being formed they change many times a second.
const WORDS_EVERY: Duration = Duration::from_millis(500);
/// How often numbers alone are written.
const NUMBERS_EVERY: Duration = Duration::from_secs(30);

/// Whether a new status is worth a write: anything changed but words and the numbers that always move, or those at
/// their pace. An idle cluster writes nothing.
pub fn is_worth_writing(
    before: Option<&RedisClusterStatus>,
    after: &RedisClusterStatus,
    since_write: Duration,
) -> bool {
    let Some(before) = before else { return true };
    let (before, keys_before) = without_numbers(before);
    let (after, keys_after) = without_numbers(after);
    let words_changed = before != after;
    without_words(before) != without_words(after)
        || (words_changed && since_write >= WORDS_EVERY)
        || (keys_before != keys_after && since_write >= NUMBERS_EVERY)
}

/// The status without what always moves, and the numbers of keys.
fn without_numbers(status: &RedisClusterStatus) -> (RedisClusterStatus, Vec<i64>) {
    let keys = status.shards.iter().map(|shard| shard.keys).collect();
    let mut status = status.clone();
    for shard in &mut status.shards {
        shard.keys = 0;
        shard.memory_bytes = 0;
        for replica in &mut shard.replicas {
            replica.lag_bytes = None;
        }
    }
    (status, keys)
}

fn without_words(mut status: RedisClusterStatus) -> RedisClusterStatus {
    status.message = None;
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

/// Whether the present status says that this condition is True.
pub fn is_true(status: &RedisClusterStatus, condition: ConditionType) -> bool {
    status.conditions.iter().any(|c| c.type_ == condition.as_str() && c.status == "True")
}

fn message(plan: &Plan, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done | Outcome::NotLeader => plan.message.clone(),
        Outcome::Held(object) => format!("{}; {object}", plan.message),
        Outcome::Paused if plan.operations.is_empty() => plan.message.clone(),
        Outcome::Paused => format!("paused; next would be: {}", plan.message),
        Outcome::Failed { operation, error } => format!("{}; {operation} failed: {error}", plan.message),
    }
}

fn ready_nodes(observed: &Observed, desired: &Desired) -> String {
    let size = desired.in_force.shards * (1 + desired.in_force.replicas_per_shard);
    let pods =
        observed.stateful_set.as_ref().map_or(size, |set| i32::try_from(set.replicas).unwrap_or(i32::MAX));
    let ready = observed.pods.values().filter(|member| member.ready && !member.terminating).count();
    format!("{ready}/{pods}")
}

/// The lowest version while several run, so that nobody counts on what only some nodes can do.
fn engine(observed: &Observed) -> Option<EngineStatus> {
    let lowest = observed.nodes().map(|(_, _, node)| &node.engine).min_by_key(|engine| {
        let numbers =
            engine.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>();
        (engine.kind, numbers)
    })?;
    Some(EngineStatus { name: lowest.kind.as_str().to_owned(), version: lowest.version.clone() })
}

/// The Secret that a servicebinding.io client is given: the one of the only application user.
fn binding(desired: &Desired) -> Option<Binding> {
    let mut secrets = desired.user_secrets.iter().filter(|(user, _)| *user != "default");
    match (secrets.next(), secrets.next()) {
        (Some((_, name)), None) => Some(Binding { name: name.clone() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
