//! When: the cluster has formed, and somebody changed or deleted one of its files, or what becomes of its volumes is to
//! change.
//! Does: puts the files back, and sets the retention policy. Pods read files only when they start.
//! Why beside the steps: the cluster runs without any of it, and one object that can't be written (it is immutable, a
//! webhook refuses it) must keep nobody from being healed.
//! Never: files before the cluster has formed, when pods wait for them (`create_workload`); an object of somebody else.

use crate::manifests::{self, Manifest};
use crate::observed::FilesSeen;

use super::{KubeOperation, View};

pub(super) fn operations(view: &View<'_>) -> Vec<KubeOperation> {
    let (desired, observed) = (view.desired, view.observed);
    let Some(set) = observed.stateful_set.as_ref().filter(|set| !set.terminating) else {
        return Vec::new();
    };
    let mut operations = if observed.formed { files(view) } else { Vec::new() };
    if set.retention.is_some_and(|present| present != desired.retention) {
        operations.push(KubeOperation::Retention { uid: set.uid.clone(), policy: desired.retention });
    }
    operations
}

/// What brings the two file objects to what they should be. Lines of `users.acl` are the settings loop's; here it only
/// comes back.
pub(super) fn files(view: &View<'_>) -> Vec<KubeOperation> {
    let desired = view.desired;
    if !desired.system.is_complete() {
        // Files without the passwords would shut the nodes that start with them.
        return Vec::new();
    }
    let mut operations = Vec::new();
    let files = manifests::config_files(desired);
    match &view.observed.config {
        None => operations.push(KubeOperation::Create(Box::new(files))),
        Some(seen) if differs(seen, &files) => {
            operations.push(KubeOperation::Apply {
                manifest: Box::new(files),
                uid: seen.uid.clone(),
                version: None,
            });
        }
        Some(_) => {}
    }
    if view.observed.acl.is_none() {
        let baseline = manifests::baseline_users_file(desired);
        operations.push(KubeOperation::Create(Box::new(manifests::users_file(desired, &baseline))));
    }
    operations.retain(|operation| !is_in_the_way(operation, view));
    operations
}

/// An object of somebody else has its name: it is not tried again and again, the condition tells of it.
fn is_in_the_way(operation: &KubeOperation, view: &View<'_>) -> bool {
    match operation {
        KubeOperation::Create(manifest) => view.desired.foreign_objects.contains(&manifest.key()),
        _ => false,
    }
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
            version: String::new(),
            files: [("redis.conf".to_owned(), "port 6379".to_owned())].into(),
        };
        assert!(!differs(&seen, &Manifest::ConfigMap(map("port 6379"))));
        assert!(differs(&seen, &Manifest::ConfigMap(map("port 6380"))));
    }
}
