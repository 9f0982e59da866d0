//! When: a pod's labels `keyslot.dev/shard` and `keyslot.dev/role` are not what its node is.
//! Does: writes them. Budgets, selectors and people read them.
//! Why here: it follows roles and never makes them.
//! Never: takes labels from a pod whose node did not answer.

use crate::observed::{MemberLabels, Role, RoleLabel};
use crate::words::counted;

use super::view::Seen;
use super::{KubeOperation, Operation, Verdict, View, shard_numbers};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let numbers = shard_numbers(view.observed);
    let wanted = |seen: &Seen<'_>| match &seen.node.role {
        // Without slots, or with slots that another one has a better claim to, it is no shard's primary.
        Role::Primary { .. } => match numbers.get(&seen.node.id) {
            Some(number) => MemberLabels { shard: Some(*number), role: Some(RoleLabel::Primary) },
            None => MemberLabels::default(),
        },
        Role::Replica { of, .. } => MemberLabels {
            shard: numbers.get(of).copied().or(seen.member.labels.shard),
            role: Some(RoleLabel::Replica),
        },
    };
    let mut operations = Vec::new();
    for seen in view.nodes.values().filter(|s| !s.member.terminating) {
        let MemberLabels { shard, role } = wanted(seen);
        if seen.member.labels != (MemberLabels { shard, role }) {
            let (pod, uid) = (seen.pod.clone(), seen.member.uid.clone());
            operations.push(Operation::Kube(KubeOperation::Label { pod, uid, shard, role }));
        }
    }
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    Verdict::Act {
        message: format!("labelling {} with shard and role", counted(operations.len(), "pod")),
        operations,
    }
}
