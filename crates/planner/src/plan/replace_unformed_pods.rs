//! When: the cluster has not formed yet and the resource was changed: a wrong image, limits that no host can hold, a
//! directive that the server refuses.
//! Does: brings the change into the StatefulSet and replaces the pods of the earlier template that hold nothing.
//! Why here: the pods that are waited for below may never come otherwise.
//! Never: acts once the marker is set; deletes a running pod while any node holds data, or one that runs on a volume and
//! does not answer.

use crate::manifests;
use crate::observed::Member;

use super::{KubeOperation, Operation, Verdict, View};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let Some(set) =
        view.observed.stateful_set.as_ref().filter(|set| !set.terminating && !view.observed.formed)
    else {
        return Verdict::Nothing;
    };
    if set.in_force.as_ref().is_some_and(|made_from| *made_from != view.desired.in_force) {
        let manifest = Box::new(manifests::stateful_set(view.desired, set.replicas.max(view.needed_pods())));
        return Verdict::Act {
            message: "bringing the changed resource into the StatefulSet: nothing has formed yet".to_owned(),
            operations: vec![Operation::Kube(KubeOperation::Apply {
                manifest,
                uid: set.uid.clone(),
                version: None,
            })],
        };
    }
    let Some(revision) = &set.update_revision else { return Verdict::Nothing };
    let without_data = !view.holds_data();
    // A pod that runs and does not answer may hold anything that is on its volume. In memory there is nothing: nobody was
    // let in yet.
    let in_memory = without_data && view.desired.in_force.storage.is_none();
    let outdated = |member: &Member| {
        let earlier = member.revision.as_ref().is_some_and(|r| r != revision);
        let holds_nothing =
            if member.redis.is_ok() { without_data } else { in_memory || member.trouble.is_some() };
        earlier && !member.terminating && holds_nothing
    };
    let outdated: Vec<_> = view.observed.pods.iter().filter(|(_, member)| outdated(member)).collect();
    if outdated.is_empty() {
        return Verdict::Nothing;
    }
    let names: Vec<&str> = outdated.iter().map(|(pod, _)| pod.as_str()).collect();
    let message = format!("replacing pods of the earlier template: {}", names.join(", "));
    let delete = |(pod, member): (&crate::ids::PodName, &Member)| {
        Operation::Kube(KubeOperation::DeletePod { pod: pod.clone(), uid: member.uid.clone() })
    };
    Verdict::Act { message, operations: outdated.into_iter().map(delete).collect() }
}
