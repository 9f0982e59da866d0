//! From the rest of the spec to what can be used of it, and what of it is not in force yet.

use std::collections::BTreeSet;

use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::{RedisClusterSpec, RetentionPolicy, Storage};
use serde_json::{Map, Value};

use super::{Problem, quantity};
use crate::config;

/// The spec without what is not part of pods and settings: users, whether the operator may work, and what becomes of
/// volumes that are no longer used.
pub(super) fn of_pods(spec: &RedisClusterSpec) -> RedisClusterSpec {
    let storage = spec.storage.clone().map(|s| Storage { retention_policy: RetentionPolicy::default(), ..s });
    RedisClusterSpec { users: Vec::new(), paused: false, storage, ..spec.clone() }
}

/// What can be used of the spec: a field that can't be keeps what is in force (or, before the first pod, its default),
/// and is a problem.
pub(super) fn usable(
    spec: &RedisClusterSpec,
    in_force: Option<&RedisClusterSpec>,
) -> (RedisClusterSpec, Vec<Problem>) {
    let mut wanted = of_pods(spec);
    let mut problems = Vec::new();
    usable_config(&mut wanted, in_force, &mut problems);
    if config::node_timeout(&wanted).is_none() {
        problems.push(undecodable("spec.clusterNodeTimeout", "must be 2s to 30s, such as 5s or 2500ms"));
        wanted.cluster_node_timeout = in_force.map_or_else(
            || format!("{}s", config::DEFAULT_NODE_TIMEOUT.as_secs()),
            |old| old.cluster_node_timeout.clone(),
        );
    }
    let limit = wanted.resources.as_ref().and_then(|resources| resources.limits.get("memory"));
    if limit.is_some_and(|limit| quantity::bytes(limit).is_none()) {
        problems.push(undecodable("spec.resources.limits.memory", "must be a quantity such as 512Mi or 2Gi"));
        wanted.resources = in_force.and_then(|old| old.resources.clone());
    }
    for (map, old, field) in [
        (&mut wanted.pod_labels, in_force.map(|old| &old.pod_labels), "spec.podLabels"),
        (&mut wanted.pod_annotations, in_force.map(|old| &old.pod_annotations), "spec.podAnnotations"),
    ] {
        if map.keys().any(|key| is_reserved(key)) {
            problems.push(undecodable(
                field,
                "may not have keys that start with keyslot.dev/ or app.kubernetes.io/: use another prefix",
            ));
            *map = old.cloned().unwrap_or_default();
        }
    }
    (wanted, problems)
}

fn usable_config(
    wanted: &mut RedisClusterSpec,
    in_force: Option<&RedisClusterSpec>,
    problems: &mut Vec<Problem>,
) {
    for (name, why) in config::user_directives(wanted).1 {
        let field = format!("spec.config.{}", name.escape_default());
        problems.push(Problem { reason: Reason::DirectiveRefused, message: why.to_string(), field });
        match in_force.and_then(|old| old.config.get(&name)) {
            Some(value) => drop(wanted.config.insert(name, value.clone())),
            None => drop(wanted.config.remove(&name)),
        }
    }
}

/// Keys of labels and annotations that decisions rest on.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.starts_with("keyslot.dev/") || key.starts_with("app.kubernetes.io/")
}

fn undecodable(field: &str, what: &str) -> Problem {
    Problem { reason: Reason::FieldRefused, field: field.to_owned(), message: what.to_owned() }
}

/// The fields in which two specs differ, e.g. `spec.image`, `spec.storage.size`, `spec.config.save`.
pub(super) fn differences(in_force: &RedisClusterSpec, wanted: &RedisClusterSpec) -> Vec<String> {
    let (Ok(before), Ok(after)) = (serde_json::to_value(in_force), serde_json::to_value(wanted)) else {
        return Vec::new();
    };
    let mut fields = Vec::new();
    compare("spec", Some(&before), Some(&after), &mut fields);
    fields
}

/// Objects whose parts are worth a name of their own; of the others (placement), the field is enough.
const BY_PARTS: [&str; 4] = ["spec", "spec.config", "spec.resources", "spec.storage"];

fn compare(field: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<String>) {
    if before == after {
        return;
    }
    // An empty map is not serialized at all.
    let nothing = Map::new();
    let parts =
        |value: Option<&Value>| value.map_or(Some(nothing.clone()), |value| value.as_object().cloned());
    let by_parts = BY_PARTS.contains(&field) || field.starts_with("spec.resources.");
    match (parts(before), parts(after)) {
        (Some(before), Some(after)) if by_parts => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                compare(&format!("{field}.{key}"), before.get(key), after.get(key), fields);
            }
        }
        _ => fields.push(field.to_owned()),
    }
}
