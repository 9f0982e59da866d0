//! Events: told only when a condition changes, never for a state that lasts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::RedisClusterStatus;

/// A change of a condition that people are told of by an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub note: String,
}

/// Events for the conditions that changed between two statuses.
pub fn transitions(before: Option<&RedisClusterStatus>, after: &RedisClusterStatus) -> Vec<Transition> {
    let find = |status: Option<&RedisClusterStatus>, kind: ConditionType| -> Option<Condition> {
        status?.conditions.iter().find(|c| c.type_ == kind.as_str()).cloned()
    };
    let mut events = Vec::new();
    for kind in ConditionType::ALL {
        let Some(new) = find(Some(after), *kind) else { continue };
        let old = find(before, *kind);
        let changed = old.as_ref().is_none_or(|old| old.status != new.status || old.reason != new.reason);
        if changed && tells(*kind, old.as_ref(), &new) {
            let warning = is_bad(*kind, &new) && !is_under_way(&new);
            events.push(Transition { warning, reason: new.reason, note: new.message });
        }
    }
    events.dedup();
    events
}

/// Whether a person wants to hear of it. A cluster that is being formed is told of once, by Progressing.
fn tells(kind: ConditionType, old: Option<&Condition>, new: &Condition) -> bool {
    let forming = new.reason == Reason::Forming.as_str();
    match kind {
        ConditionType::Progressing => forming && old.is_none(),
        _ if forming || new.status == "Unknown" => false,
        // The first word on a condition that is as it should be is no news, but for Ready.
        _ if !is_bad(kind, new) => {
            let was_ready = old.is_some_and(|old| old.status == "True");
            (kind == ConditionType::Ready && !was_ready) || old.is_some_and(|old| was_trouble(kind, old))
        }
        _ => true,
    }
}

/// Every change of users or settings passes through these.
fn is_under_way(condition: &Condition) -> bool {
    [Reason::AclNotApplied, Reason::ConfigNotApplied].iter().any(|reason| reason.as_str() == condition.reason)
}

fn was_trouble(kind: ConditionType, condition: &Condition) -> bool {
    is_bad(kind, condition) && condition.reason != Reason::Forming.as_str()
}

fn is_bad(kind: ConditionType, condition: &Condition) -> bool {
    match kind {
        ConditionType::Ready
        | ConditionType::SlotsCovered
        | ConditionType::ReplicasHealthy
        | ConditionType::AclApplied
        | ConditionType::ConfigApplied => condition.status == "False",
        ConditionType::Degraded
        | ConditionType::ConsentNeeded
        | ConditionType::UpdatePending
        | ConditionType::Paused => condition.status == "True",
        ConditionType::Progressing => false,
    }
}
