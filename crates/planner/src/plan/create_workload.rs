//! When: the files, the StatefulSet or some of its pods are not there.
//! Does: creates the two file objects and the StatefulSet, with a pod for every volume that is kept from an earlier
//! resource; until the cluster has formed, brings the files to what they should be; puts back a lowered `replicas`.
//! Why here: everything else needs pods.
//! Never: lowers `replicas`, or touches the pod template of a StatefulSet that is there.

use keyslot_api::labels;

use crate::manifests;
use crate::words::counted;

use super::{KubeOperation, Operation, Verdict, View, block, upkeep};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let desired = view.desired;
    if let Some(object) = foreign_part(view) {
        return block(format!("{object} was made by someone else and is in the way: remove or rename it"));
    }
    if let Some(message) = foreign_volumes(view) {
        return block(message);
    }
    // Once there is a cluster that serves, its files are looked after beside the steps.
    let serves = view.observed.formed && view.observed.stateful_set.is_some();
    let mut operations = if serves { Vec::new() } else { upkeep::files(view) };
    let pods = view.needed_pods();
    let mut message = format!("creating the files of {}", counted(pods as usize, "pod"));
    match &view.observed.stateful_set {
        Some(set) if set.terminating => {
            let name = &desired.name;
            return block(format!("StatefulSet {name} is being deleted; it is made anew when it is gone"));
        }
        None => {
            message = format!("creating StatefulSet {} with {}", desired.name, counted(pods as usize, "pod"));
            operations.push(KubeOperation::Create(Box::new(manifests::stateful_set(desired, pods))));
        }
        Some(set) if set.replicas < pods => {
            message =
                format!("raising replicas of StatefulSet {} from {} to {pods}", desired.name, set.replicas);
            operations.push(KubeOperation::ScaleUp { uid: set.uid.clone(), replicas: pods });
        }
        Some(_) => {}
    }
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    Verdict::Act { message, operations: operations.into_iter().map(Operation::Kube).collect() }
}

/// A pod takes whatever claim has its name; a server would write into somebody else's data.
fn foreign_volumes(view: &View<'_>) -> Option<String> {
    let claims: Vec<&str> = view.observed.foreign_volumes.iter().map(String::as_str).collect();
    let own = format!("{}={}", labels::CLUSTER, view.desired.name);
    (!claims.is_empty()).then(|| {
        format!(
            "PersistentVolumeClaims {} were made by someone else and would be taken by the pods: label those with {own} \
             that are to be taken over, and remove or rename the others",
            claims.join(", ")
        )
    })
}

/// An object that pods need and that is not ours. A running cluster goes on without touching it.
fn foreign_part<'a>(view: &View<'a>) -> Option<&'a str> {
    let desired = view.desired;
    let user_secret = |object: &str| {
        object
            .strip_prefix("Secret/")
            .is_some_and(|name| desired.user_secrets.values().any(|secret| secret == name))
    };
    let mut objects = desired.foreign_objects.iter().map(String::as_str);
    objects.find(|object| !user_secret(object)).filter(|_| view.observed.stateful_set.is_none())
}
