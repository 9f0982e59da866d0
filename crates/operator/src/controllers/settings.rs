//! The settings loop: users and live configuration, node by node.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::Desired;
use keyslot_planner::ids::PodName;
use keyslot_planner::manifests::names;
use keyslot_planner::observed::{NodeSettings, Unreachable};
use keyslot_planner::settings::{SettingsReport, WantedSettings, node_report, trials, users_file};
use keyslot_planner::status::Transition;
use kube::Resource;
use kube::runtime::controller::Action;
use tracing::info;

use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::reconcile::dereference::dereference;
use crate::reconcile::execute::{Executed, execute_one};
use crate::reconcile::observe::{self, members};
use crate::reconcile::report::{publish, report};
use crate::reconcile::settle_nodes::{Settled, answers, settle_nodes};
use crate::reconcile::{Error, passwords, user_secrets};

/// How often a cluster is looked at when nothing tells of a change: somebody may have changed a user by hand.
const RESYNC: Duration = Duration::from_mins(1);

/// However many users it has.
const LONGEST_RESYNC: Duration = Duration::from_mins(5);

/// How soon to look again for what waits for somebody else: a password for its end, a file for its return.
const OVERDUE: Duration = Duration::from_secs(10);

/// How soon to look again when the watch's copy of a file is old and no event comes.
const WATCH_AWAY: Duration = Duration::from_secs(2);

/// One pass.
pub async fn reconcile<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<Action, Error> {
    let inputs = dereference(cluster, ctx).await?;
    if !inputs.system.formed {
        // Nobody is let in before the cluster has formed; the marker is an event that leads here.
        return Ok(Action::await_change());
    }
    let inputs = passwords::ensure(cluster, inputs, ctx).await?;
    let desired = Desired::from_spec(cluster, &inputs);
    let members = members(&desired, observe::own_set(&desired, ctx).as_ref(), ctx);
    if desired.paused {
        // Even a look at users tries their rules on the nodes: what was reported last stands.
        report(cluster, &desired, ctx).await?;
        return Ok(Action::requeue(RESYNC));
    }
    let memory = ctx.memory.of(cluster.meta());
    let facts = memory.facts();
    let settled = settle_nodes(&desired, &members, &facts, ctx).await;
    let filed = bring_file_up(&desired, &settled, ctx).await;
    let mut settings = settings_report(&desired, &settled, filed.as_ref());
    // Before the other loop has looked, nobody knows who answers it.
    let may_answer = |pod: &PodName| facts.topology.is_none() || answers(&facts, pod);
    let unread = settings.nodes.iter().filter(|(pod, node)| node.is_err() && may_answer(pod));
    settings.unread = unread.map(|(pod, _)| pod.clone()).collect();
    let waits = !settings.unread.is_empty();
    let secrets = user_secrets::write(cluster, &desired, &settings, ctx).await;
    settings.secrets_problem = secrets.as_ref().err().map(ToString::to_string);
    log(cluster, &settled, filed.as_ref());
    tell_of_hands(cluster, &settled, ctx).await;
    memory.settings(settings);
    report(cluster, &desired, ctx).await?;
    let is_silent = is_silent(&settled);
    let executed = settled.executed.worse(filed.unwrap_or(Executed::Done));
    let again = executed.wait().unwrap_or_else(|| next_look(&desired, Timestamp::now()));
    // It may have missed a change, and its watch nothing.
    let again = if is_silent || waits { again.min(OVERDUE) } else { again };
    executed.result()?;
    secrets.map_err(Error::UserSecrets)?;
    Ok(Action::requeue(again))
}

/// A node gave no answer in time.
fn is_silent(settled: &Settled) -> bool {
    settled.nodes.values().any(|node| matches!(node, Err(Unreachable::TimedOut)))
}

/// Writes `users.acl` when the nodes have accepted other lines than it has. `None` when it is as it should be.
async fn bring_file_up<N: Nodes>(desired: &Desired, settled: &Settled, ctx: &Context<N>) -> Option<Executed> {
    let Some(file) = observe::users_file(desired, ctx) else {
        // The other loop makes it, which is an event that leads here, unless somebody else has its name.
        return Some(Executed::NotYet(OVERDUE));
    };
    let answered = settled.nodes.values().filter_map(|node| node.as_ref().ok());
    let answered: Vec<NodeSettings> = answered.cloned().collect();
    let operation = users_file(desired, &file, &answered, desired.system.formed)?;
    Some(match execute_one(desired, operation, ctx).await {
        // The watch's copy is old, and its next event leads here: a watch that is away is not asked ten times a second.
        Executed::NotYet(_) => Executed::NotYet(WATCH_AWAY),
        executed => executed,
    })
}

/// Why nodes that start now would not have the users as they are wanted.
fn file_problem(filed: Option<&Executed>) -> Option<String> {
    match filed? {
        Executed::Done => None,
        Executed::Failed { error, .. } => Some(error.clone()),
        Executed::Held(object) => Some(object.clone()),
        Executed::NotYet(_) | Executed::Paused | Executed::NotLeader => {
            Some("it is being written".to_owned())
        }
    }
}

/// Without all of Keyslot's own passwords nobody can write the file.
fn incomplete(desired: &Desired) -> Option<String> {
    let secret = names::system(&desired.name);
    (!desired.system.is_complete()).then(|| format!("Secret {secret} lacks a password of Keyslot's own"))
}

/// One line per pass that did something.
fn log(cluster: &RedisCluster, settled: &Settled, filed: Option<&Executed>) {
    let did_file = filed.is_some_and(|filed| !matches!(filed, Executed::Paused | Executed::NotYet(_)));
    if settled.changed || did_file {
        let cluster = ClusterRef::of(cluster.meta());
        let outcome = settled.executed.clone().worse(filed.cloned().unwrap_or(Executed::Done)).outcome();
        info!(%cluster, step = "settings", file = did_file, ?outcome, "brought users and live settings in force");
    }
}

/// What nobody should have done is told, though it is undone.
async fn tell_of_hands<N: Nodes>(cluster: &RedisCluster, settled: &Settled, ctx: &Context<N>) {
    for (pod, users) in &settled.by_hand {
        let users = users.join(", ");
        let event = Transition {
            warning: true,
            reason: Reason::UsersChangedByHand.to_string(),
            note: format!("somebody changed users on {pod}, which are set back as in spec.users: {users}"),
        };
        publish(cluster, event, ctx).await;
    }
}

fn settings_report(desired: &Desired, settled: &Settled, filed: Option<&Executed>) -> SettingsReport {
    let report = |node: &NodeSettings| node_report(desired, node, desired.system.formed);
    let nodes = settled
        .nodes
        .iter()
        .map(|(pod, node)| (pod.clone(), node.as_ref().map(report).map_err(Clone::clone)));
    SettingsReport {
        wanted: WantedSettings::of(desired),
        nodes: nodes.collect(),
        unread: BTreeSet::new(),
        file_problem: file_problem(filed).or_else(|| incomplete(desired)),
        secrets_problem: None,
    }
}

/// The next look, if nothing happens before: passwords end and are made by the passing of time too.
fn next_look(desired: &Desired, now: Timestamp) -> Duration {
    let due = desired.passwords_due.map(|due| due.duration_since(now));
    let due = due.map(|wait| Duration::try_from(wait).unwrap_or(OVERDUE));
    let resync = resync(desired);
    due.map_or(resync, |due| due.min(resync))
}

/// A look costs four questions, three more for each trial and one for each user: with more users it is taken less often,
/// so that an idle node is asked by this loop once in four seconds; but what somebody changed by hand must not stay for
/// long.
fn resync(desired: &Desired) -> Duration {
    let users = desired.users.len() + desired.system_users.len();
    let questions = 4 + 3 * trials(desired).len() + users;
    let seldom = Duration::from_secs(4 * u64::try_from(questions).unwrap_or(u64::MAX));
    seldom.clamp(RESYNC, LONGEST_RESYNC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_planner::Inputs;
    use keyslot_planner::acl::PasswordHash;
    use keyslot_planner::desired::next_memory;
    use serde_json::json;

    fn desired(users: usize, rotation: &serde_json::Value) -> Desired {
        let users: Vec<_> = (0..users)
            .map(|number| json!({"name": format!("user-{number}"), "rotation": rotation}))
            .collect();
        let cluster: RedisCluster = serde_json::from_value(json!({
            "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "demo", "namespace": "shop"},
            "spec": {"image": "redis:8.0", "users": users},
        }))
        .unwrap();
        let made = || "made".into();
        let system = next_memory(&cluster, &Inputs::default(), Timestamp::UNIX_EPOCH, made).unwrap();
        let told = |(user, password)| (user, PasswordHash::of(&password));
        let told = system.user_passwords.clone().into_iter().map(told).collect();
        Desired::from_spec(&cluster, &Inputs { system, told, ..Inputs::default() })
    }

    #[test]
    fn what_time_brings_is_looked_for_then_and_otherwise_the_more_users_the_less_often() {
        let now = Timestamp::UNIX_EPOCH;
        let look = |desired: &Desired, now| next_look(desired, now);
        assert!(look(&desired(1, &json!(null)), now) >= RESYNC);
        assert!(look(&desired(5, &json!(null)), now) > look(&desired(1, &json!(null)), now));
        assert_eq!(look(&desired(200, &json!(null)), now), LONGEST_RESYNC);
        let rotated = desired(200, &json!({"interval": "4m", "gracePeriod": "1m"}));
        assert_eq!(look(&rotated, now), Duration::from_mins(4));
        let later = now.checked_add(Duration::from_mins(9)).unwrap();
        assert_eq!(look(&rotated, later), OVERDUE, "it waits for something");
    }
}
