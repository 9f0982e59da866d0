//! The conditions: each a small judgement of its own, merged with the present ones only for the time of transition.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use keyslot_api::conditions::{ConditionType, Reason};

use super::StatusInputs;
use super::health::{consent_needed, degraded, replicas_healthy, slots_covered};
use super::in_force::{acl_applied, changed, config_applied, update_pending};
use crate::desired::Desired;
use crate::observed::Observed;
use crate::plan::{Outcome, Plan, shard_numbers};
use crate::settings::SettingsReport;
use crate::words::counted;

/// The longest message of a condition; the API server refuses more than 32768 bytes.
const LONGEST_MESSAGE: usize = 1024;

/// True, False or Unknown, with reason and message.
pub(super) struct Judgement {
    pub(super) status: &'static str,
    pub(super) reason: Reason,
    pub(super) message: String,
}

pub(super) fn yes(reason: Reason, message: impl Into<String>) -> Judgement {
    Judgement { status: "True", reason, message: message.into() }
}

pub(super) fn no(reason: Reason, message: impl Into<String>) -> Judgement {
    Judgement { status: "False", reason, message: message.into() }
}

pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> Judgement {
    Judgement { status: "Unknown", reason, message: message.into() }
}

/// All conditions, in the order of the vocabulary. What can't be judged yet stays as it is.
pub(super) fn conditions(inputs: &StatusInputs<'_>, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let desired = inputs.desired;
    let mut judged: Vec<(ConditionType, Judgement)> = Vec::new();
    if let Some((observed, plan, outcome)) = inputs.topology {
        judged.push((ConditionType::SlotsCovered, slots_covered(desired, observed)));
        judged.push((ConditionType::ReplicasHealthy, replicas_healthy(desired, observed)));
        judged.push((ConditionType::Progressing, progressing(observed, plan, outcome)));
        judged.push((ConditionType::UpdatePending, update_pending(desired, observed)));
        judged.push((ConditionType::Degraded, degraded(desired, observed, plan, outcome)));
        judged.push((ConditionType::ConsentNeeded, consent_needed(desired, observed)));
        // Before the cluster has formed no user is let in, and there is nothing to look at.
        let nothing = SettingsReport::default();
        if let Some(settings) = inputs.settings.or((!observed.formed).then_some(&nothing)) {
            judged.push((ConditionType::AclApplied, acl_applied(desired, observed, settings)));
            judged.push((ConditionType::ConfigApplied, config_applied(desired, observed, settings)));
        }
    }
    judged.push((ConditionType::Paused, paused(desired)));
    let ready = ready(inputs, &judged, before);
    judged.extend(ready.map(|judgement| (ConditionType::Ready, judgement)));
    let made = |kind: &ConditionType| {
        let earlier = before.iter().find(|c| c.type_ == kind.as_str());
        match judged.iter().find(|(judged, _)| judged == kind) {
            Some((_, judgement)) => Some(condition(*kind, judgement, earlier, desired.generation, now)),
            None => earlier.cloned(),
        }
    };
    ConditionType::ALL.iter().filter_map(made).collect()
}

fn condition(
    kind: ConditionType,
    judgement: &Judgement,
    earlier: Option<&Condition>,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let unchanged = earlier.filter(|c| c.status == judgement.status);
    let mut message = judgement.message.clone();
    if message.len() > LONGEST_MESSAGE {
        let cut = (0..=LONGEST_MESSAGE).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
        message.truncate(cut);
        message.push('…');
    }
    Condition {
        type_: kind.as_str().to_owned(),
        status: judgement.status.to_owned(),
        reason: judgement.reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: unchanged.map_or(Time(now), |c| c.last_transition_time.clone()),
    }
}

/// Ready is the sum of the others: it is judged only from what was looked at in this process.
fn ready(
    inputs: &StatusInputs<'_>,
    judged: &[(ConditionType, Judgement)],
    before: &[Condition],
) -> Option<Judgement> {
    let (observed, plan, outcome) = inputs.topology?;
    if !observed.formed {
        return Some(no(Reason::Forming, super::message(plan, outcome)));
    }
    let needed = [ConditionType::SlotsCovered, ConditionType::AclApplied, ConditionType::ConfigApplied];
    for kind in needed {
        match judged.iter().find(|(judged, _)| *judged == kind) {
            Some((_, judgement)) if judgement.status == "True" => {}
            Some((_, judgement)) => {
                return Some(Judgement {
                    status: judgement.status,
                    reason: judgement.reason,
                    message: judgement.message.clone(),
                });
            }
            // The settings loop has not reported yet since this process began: what stands there is still the best
            // word, as long as it is about this very resource.
            None => {
                let stands = before.iter().find(|c| c.type_ == kind.as_str())?;
                if stands.observed_generation != Some(inputs.desired.generation) {
                    return Some(no(Reason::AclNotApplied, changed(inputs.desired)));
                }
                (stands.status == "True").then_some(())?;
            }
        }
    }
    Some(what_else(judged).unwrap_or_else(|| yes(Reason::AllHealthy, plan_summary(observed))))
}

/// A cluster that serves may have more to tell: who sees only this condition sees the first of it.
fn what_else(judged: &[(ConditionType, Judgement)]) -> Option<Judgement> {
    let tell = [
        ConditionType::ConsentNeeded,
        ConditionType::Degraded,
        ConditionType::Paused,
        ConditionType::UpdatePending,
    ];
    let told = |kind: &ConditionType| {
        judged.iter().find(|(judged, judgement)| judged == kind && judgement.status == "True")
    };
    let (kind, judgement) = tell.iter().find_map(told)?;
    Some(yes(judgement.reason, format!("serves all slots; {kind}: {}", judgement.message)))
}

fn plan_summary(observed: &Observed) -> String {
    let shards = counted(shard_numbers(observed).len(), "shard");
    format!("{shards}, {}, all 16384 slots served", counted(observed.nodes().count(), "node"))
}

fn progressing(observed: &Observed, plan: &Plan, outcome: &Outcome) -> Judgement {
    if observed.formed {
        no(Reason::Settled, "nothing is in progress")
    } else {
        yes(Reason::Forming, super::message(plan, outcome))
    }
}

fn paused(desired: &Desired) -> Judgement {
    if desired.paused {
        yes(Reason::PausedByUser, "spec.paused is true: nothing is changed, only reported")
    } else {
        no(Reason::NotPaused, "spec.paused is false")
    }
}
