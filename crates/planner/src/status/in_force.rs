//! Conditions of the resource: which of its users and settings are in force, and what waits.

use std::collections::BTreeMap;

use keyslot_api::conditions::Reason;

use super::conditions::{Judgement, no, unknown, yes};
use crate::config::USERS_FILE;
use crate::desired::{Desired, Part, Problem};
use crate::ids::PodName;
use crate::observed::{Member, Observed, PodTrouble, Unreachable};
use crate::plan::shard_numbers;
use crate::settings::{SettingsReport, UserState, WantedSettings};
use crate::slots::SlotSet;
use crate::system_users::RESERVED_PREFIX;

pub(super) fn update_pending(desired: &Desired, observed: &Observed) -> Judgement {
    let mut fields = desired.pending.clone();
    let shards = i32::try_from(shard_numbers(observed).len()).unwrap_or(i32::MAX);
    let shards_field = "spec.shards".to_owned();
    // Judged only when everybody can be counted: a primary that is away for a moment is no change that waits.
    let everybody =
        observed.stateful_set.as_ref().is_some_and(|set| set.replicas as usize == observed.nodes().count());
    let owned = observed.nodes().fold(SlotSet::empty(), |all, (_, _, node)| all.union(&node.slots()));
    if observed.formed
        && everybody
        && owned.is_all()
        && shards != desired.wanted.shards
        && !fields.contains(&shards_field)
    {
        fields.push(shards_field);
    }
    let mut waiting = Vec::new();
    if !fields.is_empty() {
        waiting.push(format!(
            "accepted, not carried out by this version of the operator: {}; nothing has to be done, the cluster goes on \
             as it was",
            fields.join(", ")
        ));
    }
    let outdated = if observed.formed { outdated_pods(observed) } else { Vec::new() };
    if !outdated.is_empty() {
        waiting.push(format!("made from an earlier template of the StatefulSet: {}", outdated.join(", ")));
    }
    if waiting.is_empty() {
        return no(Reason::UpToDate, "the whole resource is in force");
    }
    yes(Reason::WaitingForRoll, waiting.join("; "))
}

fn outdated_pods(observed: &Observed) -> Vec<&str> {
    let latest = observed.stateful_set.as_ref().and_then(|set| set.update_revision.as_ref());
    let outdated = |member: &&Member| member.revision.is_some() && member.revision.as_ref() != latest;
    let pods = observed.pods.iter().filter(|(_, member)| latest.is_some() && outdated(member));
    pods.map(|(pod, _)| pod.as_str()).collect()
}

pub(super) fn acl_applied(desired: &Desired, observed: &Observed, report: &SettingsReport) -> Judgement {
    let kept = desired.users.values().filter_map(|user| match user {
        Part::KeepLast(problem) => Some(problem),
        Part::Wanted(_) => None,
    });
    let of_users = desired.problems.iter().filter(|problem| problem.field.starts_with("spec.users["));
    let problems: Vec<&Problem> = kept.chain(&desired.users_unread).chain(of_users).collect();
    if let Some(first) = problems.first() {
        return no(first.reason, problems_text(problems.iter().copied()));
    }
    if !observed.formed {
        return no(Reason::Forming, "users are let in when the cluster has formed");
    }
    if report.wanted != WantedSettings::of(desired) {
        return no(Reason::AclNotApplied, changed(desired));
    }
    let (mut pending, mut refused, mut left) = (unread(observed, report), BTreeMap::new(), Vec::new());
    for (pod, node) in report.nodes.iter().filter_map(|(pod, node)| Some((pod, node.as_ref().ok()?))) {
        left.extend(node.strangers.iter().map(|name| format!("{name} on {pod}")));
        for (name, state) in &node.users {
            match state {
                UserState::Applied => {}
                UserState::Pending => pending.push(format!("{name} on {pod}")),
                UserState::Refused { words, .. } => {
                    refused.entry(name).or_insert_with(|| format!("{pod} refuses its rules: {words}"));
                }
            }
        }
    }
    if !refused.is_empty() {
        let users = refused.iter().map(|(name, words)| match name.strip_prefix(RESERVED_PREFIX) {
            Some(_) => format!("Keyslot's own user {name}: {words}"),
            None => format!("spec.users[{name}]: {words}"),
        });
        let users = users.collect::<Vec<_>>().join("; ");
        return no(Reason::RuleRefused, format!("{users}; correct the rules that are named"));
    }
    if !pending.is_empty() {
        return no(Reason::AclNotApplied, format!("not in force yet: {}", pending.join(", ")));
    }
    if !left.is_empty() {
        return no(Reason::AclNotApplied, format!("not removed yet: {}", left.join(", ")));
    }
    if report.nodes.values().all(Result::is_err) {
        return unknown(Reason::NodesUnreachable, silence(report));
    }
    match (&report.file_problem, &report.secrets_problem) {
        (Some(problem), _) => no(Reason::AclNotApplied, format!("{USERS_FILE} is not up to date: {problem}")),
        (None, Some(problem)) => {
            no(Reason::AclNotApplied, format!("a user's Secret is not up to date: {problem}"))
        }
        (None, None) => yes(Reason::Applied, "all users are in force on every reachable node"),
    }
}

/// Nodes that answer, and of whose users nobody knows.
fn unread(observed: &Observed, report: &SettingsReport) -> Vec<String> {
    let answers = |pod: &PodName| observed.pods.get(pod).is_some_and(|member| member.redis.is_ok());
    let unread = report.nodes.iter().filter_map(|(pod, look)| match look {
        Err(Unreachable::AuthenticationFailed) if answers(pod) => {
            Some(format!("any user on {pod}, which refuses the operator its look at them"))
        }
        Err(why) if report.unread.contains(pod) && answers(pod) => {
            Some(format!("any user on {pod}, whose users could not be looked at ({why})"))
        }
        Ok(_) | Err(_) => None,
    });
    unread.collect()
}

pub(super) fn config_applied(desired: &Desired, observed: &Observed, report: &SettingsReport) -> Judgement {
    let refused = observed.pods.iter().find_map(|(pod, member)| refused_directive(desired, pod, member));
    if let Some(words) = refused {
        return no(Reason::DirectiveRefused, words);
    }
    if !observed.formed {
        return no(Reason::Forming, "settings are judged when the cluster has formed");
    }
    if report.wanted != WantedSettings::of(desired) {
        return no(Reason::ConfigNotApplied, changed(desired));
    }
    let reached = report.nodes.iter().filter_map(|(pod, node)| Some((pod, node.as_ref().ok()?)));
    let differing: Vec<String> = reached
        .flat_map(|(pod, node)| node.config_differences.iter().map(move |d| format!("{pod}: {d}")))
        .collect();
    if !differing.is_empty() {
        return no(Reason::ConfigNotApplied, differing.join("; "));
    }
    if report.nodes.values().all(Result::is_err) {
        return unknown(Reason::NodesUnreachable, silence(report));
    }
    yes(Reason::Applied, "the settings in force are in effect on every reachable node")
}

/// Nobody answered when users and settings were looked at.
fn silence(report: &SettingsReport) -> String {
    let why = report.nodes.iter().filter_map(|(pod, node)| Some(format!("{pod} ({})", node.as_ref().err()?)));
    format!("no node answers: {}", why.collect::<Vec<_>>().join(", "))
}

pub(super) fn changed(desired: &Desired) -> &'static str {
    if desired.paused {
        "spec.paused is true: what was changed since is not in force"
    } else {
        "the changed resource is being brought in force"
    }
}

/// A directive of the resource with which this pod's server does not start.
fn refused_directive(desired: &Desired, pod: &PodName, member: &Member) -> Option<String> {
    let Some(PodTrouble::ConfigRefused { line, why }) = &member.trouble else { return None };
    let name = line.split_whitespace().next()?;
    desired
        .in_force
        .config
        .contains_key(name)
        .then(|| format!("spec.config.{name}: {pod} refuses {line}: {why}"))
}

pub(super) fn problems_text<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    problems.map(|p| format!("{}: {}", p.field, p.message)).collect::<Vec<_>>().join("; ")
}
