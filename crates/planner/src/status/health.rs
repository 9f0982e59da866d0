//! Conditions of the cluster itself: slots, replicas, pods, and what only a person can decide.

use keyslot_api::conditions::Reason;

use super::conditions::{Judgement, no, unknown, yes};
use super::in_force::problems_text;
use crate::desired::Desired;
use crate::ids::NodeId;
use crate::observed::{Member, Observed, PodTrouble, Role};
use crate::plan::{Outcome, Plan, shard_numbers};
use crate::slots::SlotSet;
use crate::words::counted;

/// Slots that a node serves, by its own word.
pub fn served(observed: &Observed) -> SlotSet {
    observed
        .nodes()
        .filter(|(_, _, node)| node.cluster_ok)
        .fold(SlotSet::empty(), |all, (_, _, node)| all.union(&node.slots()))
}

pub(super) fn slots_covered(desired: &Desired, observed: &Observed) -> Judgement {
    let served = served(observed);
    if served.is_all() {
        return yes(Reason::AllHealthy, "all 16384 slots are served");
    }
    if !observed.formed {
        return no(Reason::Forming, format!("{} of 16384 slots are served", served.len()));
    }
    let silent = silent_pods(observed);
    if observed.nodes().next().is_none() && !observed.pods.is_empty() {
        return unknown(Reason::NodesUnreachable, format!("no node answers: {silent}"));
    }
    let lost = consent_needed(desired, observed);
    if lost.status == "True" {
        return no(lost.reason, lost.message);
    }
    let missing = SlotSet::all().difference(&served);
    let unowned = SlotSet::all()
        .difference(&observed.nodes().fold(SlotSet::empty(), |all, (_, _, n)| all.union(&n.slots())));
    let why = if silent.is_empty() { String::new() } else { format!("; not answering: {silent}") };
    if unowned.is_empty() {
        no(
            Reason::SlotsNotCovered,
            format!("slots {missing} have owners that do not serve them at the moment{why}"),
        )
    } else {
        no(Reason::ShardWithoutPrimary, format!("slots {missing} are not served{why}"))
    }
}

fn silent_pods(observed: &Observed) -> String {
    let words: Vec<String> = observed
        .pods
        .iter()
        .filter_map(|(pod, member)| member.redis.as_ref().err().map(|why| (pod, member, why)))
        .map(|(pod, member, why)| match &member.trouble {
            Some(trouble) => format!("{pod} ({trouble})"),
            None => format!("{pod} ({why})"),
        })
        .collect();
    words.join(", ")
}

pub(super) fn replicas_healthy(desired: &Desired, observed: &Observed) -> Judgement {
    let wanted = usize::try_from(desired.in_force.replicas_per_shard).unwrap_or(0);
    if wanted == 0 {
        return yes(Reason::NoRedundancy, "spec.replicasPerShard is 0: a lost pod is a lost shard");
    }
    let shards = usize::try_from(desired.in_force.shards).unwrap_or(0);
    let numbers = shard_numbers(observed);
    let mut missing = Vec::new();
    let mut unlinked = Vec::new();
    for (primary, number) in &numbers {
        let mut linked = 0;
        for (pod, _, node) in observed.nodes() {
            match &node.role {
                Role::Replica { of, link_up: true, .. } if of == primary => linked += 1,
                Role::Replica { of, .. } if of == primary => unlinked.push(pod.to_string()),
                Role::Replica { .. } | Role::Primary { .. } => {}
            }
        }
        if linked < wanted {
            missing.push(format!("shard {number} has {linked} of {} in sync", counted(wanted, "replica")));
        }
    }
    if !observed.formed {
        return no(
            Reason::Forming,
            format!("{} of {} have their replicas", numbers.len() - missing.len(), counted(shards, "shard")),
        );
    }
    let unjudged = shards.saturating_sub(numbers.len());
    if unjudged > 0 {
        missing.push(format!("no primary of {} answers", counted(unjudged, "shard")));
    }
    missing.sort();
    match (missing.is_empty(), unlinked.is_empty()) {
        (true, _) => {
            yes(Reason::AllReplicasInSync, format!("every shard has {} in sync", counted(wanted, "replica")))
        }
        (false, true) => no(Reason::ReplicaMissing, missing.join("; ")),
        (false, false) => no(
            Reason::ReplicaLinkDown,
            format!("{}; without link: {}", missing.join("; "), unlinked.join(", ")),
        ),
    }
}

pub(super) fn degraded(desired: &Desired, observed: &Observed, plan: &Plan, outcome: &Outcome) -> Judgement {
    if let Some(problem) = desired.problems.first() {
        return yes(problem.reason, problems_text(desired.problems.iter()));
    }
    if let Outcome::Failed { operation, error } = outcome {
        return yes(Reason::OperationFailed, format!("{operation} failed: {error}; it is tried again"));
    }
    if let (Outcome::Held(object), true) = (outcome, observed.formed) {
        return yes(Reason::ResourceConflict, object.clone());
    }
    let troubled = observed.pods.iter().find_map(|(pod, member)| Some((pod, trouble(member)?)));
    if let Some((pod, (reason, words))) = troubled {
        return yes(reason, format!("pod {pod}: {words}"));
    }
    if let Some((pod, why)) = observed.absent.first_key_value() {
        return yes(Reason::PodNotMade, format!("pod {pod}: {why}"));
    }
    if plan.blocked && plan.step == "create_workload" && observed.stateful_set.is_none() {
        return yes(Reason::ResourceConflict, plan.message.clone());
    }
    // Before, pods that are not there yet are what it waits for; afterwards, two that claim to be the same node.
    let twins = plan.step == "await_pods" && observed.formed;
    if plan.blocked && (plan.step == "meet_nodes" || twins) {
        return yes(Reason::ForeignNode, plan.message.clone());
    }
    if !observed.formed {
        return healthy();
    }
    let silent = silent_pods(observed);
    if !silent.is_empty() {
        return yes(Reason::NodeUnreachable, format!("not answering: {silent}"));
    }
    let replicas = replicas_healthy(desired, observed);
    if replicas.status == "False" {
        return yes(replicas.reason, replicas.message);
    }
    healthy()
}

fn healthy() -> Judgement {
    no(Reason::AllHealthy, "nothing needs attention")
}

fn trouble(member: &Member) -> Option<(Reason, String)> {
    let trouble = member.trouble.as_ref().filter(|_| member.redis.is_err())?;
    let reason = match trouble {
        PodTrouble::Unschedulable(_) => Reason::Unschedulable,
        PodTrouble::ImagePull(_) => Reason::ImagePullFailed,
        PodTrouble::CrashLoop { .. } | PodTrouble::ConfigRefused { .. } | PodTrouble::CannotStart(_) => {
            Reason::PodCrashLooping
        }
    };
    Some((reason, trouble.to_string()))
}

/// Slots without an owner among all pods, in a cluster that has held data: only a person may give them away empty.
/// While a replica follows the one that had them, they are not lost: it has their data.
pub(super) fn consent_needed(desired: &Desired, observed: &Observed) -> Judgement {
    let none = no(Reason::NoConsentNeeded, "no decision of a person is needed");
    let expected = observed.stateful_set.as_ref().map_or(0, |set| set.replicas as usize);
    let read = observed.nodes().count();
    let holds_data = observed.formed || observed.nodes().any(|(_, _, node)| node.holds_data());
    let owned = observed.nodes().fold(SlotSet::empty(), |all, (_, _, node)| all.union(&node.slots()));
    let lost = SlotSet::all().difference(&owned).difference(&held_by_replicas(observed));
    if !holds_data || lost.is_empty() || read < expected || read == 0 {
        return none;
    }
    let volume = if desired.in_force.storage.is_some() {
        "bring back the volume that held them; if there is none, their data is lost"
    } else {
        "their data was in memory only and is lost"
    };
    let message = format!(
        "slots {lost} have no owner and no copy on any pod: {volume}. This version can't give the slots out empty: copy \
         what you need of the others, delete the resource and create it again"
    );
    yes(Reason::SlotsLost, message)
}

/// Slots of primaries that are gone, as others remember them, whose replicas are there.
fn held_by_replicas(observed: &Observed) -> SlotSet {
    let followed = |id: &NodeId| {
        observed.nodes().any(|(_, _, node)| matches!(&node.role, Role::Replica { of, .. } if of == id))
    };
    let peers = observed.nodes().flat_map(|(_, _, node)| &node.peers);
    peers.filter(|(id, _)| followed(id)).fold(SlotSet::empty(), |all, (_, peer)| all.union(&peer.slots))
}
