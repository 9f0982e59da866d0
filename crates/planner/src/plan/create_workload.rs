//! When: the files, the StatefulSet or some of its pods are not there.
//! Does: creates the two file objects and the StatefulSet, with a pod for every volume that is kept from an earlier
//! resource; puts back edited files and a lowered `replicas`.
//! Why here: everything else needs pods.
//! Never: lowers `replicas`, or touches the pod template of a StatefulSet that is there.

use crate::manifests::{self, Manifest};
use crate::observed::FilesSeen;

use super::{KubeOperation, Operation, Verdict, View, block, wait};

pub(super) fn step(view: &View<'_>) -> Verdict {
    let desired = view.desired;
    if let Some(object) = foreign_part(view) {
        return block(format!("{object} was made by someone else and is in the way: remove or rename it"));
    }
    let mut operations = Vec::new();
    let files = manifests::config_files(desired);
    match &view.observed.config {
        None => operations.push(KubeOperation::Create(Box::new(files))),
        Some(seen) if differs(seen, &files) => {
            operations.push(KubeOperation::Apply { manifest: Box::new(files), uid: seen.uid.clone() });
        }
        Some(_) => {}
    }
    if view.observed.acl.is_none() {
        let baseline = manifests::baseline_users_file(desired);
        operations.push(KubeOperation::Create(Box::new(manifests::users_file(desired, &baseline))));
    }
    let pods = view.needed_pods();
    let mut message = format!("creating the files of {pods} pods");
    match &view.observed.stateful_set {
        Some(set) if set.terminating => {
            return wait(format!("StatefulSet {} of an earlier resource is being deleted", desired.name));
        }
        None => {
            message = format!("creating StatefulSet {} with {pods} pods", desired.name);
            operations.push(KubeOperation::Create(Box::new(manifests::stateful_set(desired, pods))));
        }
        Some(set) if set.replicas < pods => {
            message = format!("StatefulSet {} has {} replicas and needs {pods}", desired.name, set.replicas);
            operations.push(KubeOperation::ScaleUp { uid: set.uid.clone(), replicas: pods });
        }
        Some(_) => {}
    }
    if operations.is_empty() {
        return Verdict::Nothing;
    }
    Verdict::Act { message, operations: operations.into_iter().map(Operation::Kube).collect() }
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

fn differs(seen: &FilesSeen, wanted: &Manifest) -> bool {
    match wanted {
        Manifest::ConfigMap(map) => map.data.as_ref().is_some_and(|files| *files != seen.files),
        Manifest::Secret(_)
        | Manifest::Service(_)
        | Manifest::StatefulSet(_)
        | Manifest::PodDisruptionBudget(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_file_differs_and_an_equal_one_does_not() {
        let map = |text: &str| k8s_openapi::api::core::v1::ConfigMap {
            data: Some([("redis.conf".to_owned(), text.to_owned())].into()),
            ..Default::default()
        };
        let seen = FilesSeen {
            uid: crate::ids::Uid::new("u"),
            files: [("redis.conf".to_owned(), "port 6379".to_owned())].into(),
        };
        assert!(!differs(&seen, &Manifest::ConfigMap(map("port 6379"))));
        assert!(differs(&seen, &Manifest::ConfigMap(map("port 6380"))));
    }
}
