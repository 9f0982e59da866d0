//! The end state of a run: every object of the namespace, without what differs from run to run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use k8s_openapi::ByteString;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::scene::Scene;

/// Objects by `kind/name`.
pub type Snapshot = BTreeMap<String, Value>;

/// What a cluster consists of.
const KINDS: [(&str, &str, &str); 8] = [
    ("keyslot.dev", "v1alpha1", "RedisCluster"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Pod"),
    ("apps", "v1", "StatefulSet"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// Differs from run to run and tells nothing: identity, time, and what Kubernetes' controllers write.
const VOLATILE: [&str; 7] = [
    "creationTimestamp",
    "generation",
    "generateName",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Labels and annotations that others write, or that are made from such. Of shard and role the invariants know more.
const VOLATILE_MARKS: [&str; 11] = [
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "keyslot.dev/applied",
    "keyslot.dev/role",
    "keyslot.dev/shard",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "topology.kubernetes.io/zone",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
];

/// Takes a picture of the namespace.
pub async fn take(scene: &Scene) -> Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    let mut living = BTreeSet::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::<DynamicObject>::namespaced_with(scene.client.clone(), &scene.namespace, &resource);
        for object in api.list(&ListParams::default()).await? {
            let name = object.metadata.name.clone().unwrap_or_default();
            living.extend(object.metadata.uid.clone());
            if name != "kube-root-ca.crt" {
                let masked = masked(kind, serde_json::to_value(object)?).to_string();
                // Every scene has its own.
                let masked = masked.replace(&scene.namespace, "…").replace(&scene.group, "…");
                snapshot.insert(format!("{kind}/{name}"), serde_json::from_str(&masked)?);
            }
        }
    }
    for object in snapshot.values_mut() {
        mark_owners(object, &living);
    }
    Ok(snapshot)
}

/// Of owners counts whether they live: one of the same name may be gone.
fn mark_owners(object: &mut Value, living: &BTreeSet<String>) {
    for owner in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner["uid"] = json!(owner["uid"].as_str().is_some_and(|uid| living.contains(uid)));
    }
}

/// The object without what differs from run to run.
fn masked(kind: &str, mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !VOLATILE.contains(&field.as_str()));
        for marks in ["labels", "annotations"] {
            if let Some(marks) = metadata.get_mut(marks).and_then(Value::as_object_mut) {
                marks.retain(|key, _| !VOLATILE_MARKS.contains(&key.as_str()));
            }
        }
        if let Some(time) = metadata.get_mut("deletionTimestamp") {
            *time = json!("it goes");
        }
    }
    match kind {
        "RedisCluster" => {
            object["status"] = json!({
                "conditions": conditions(&object["status"]),
                "users": object["status"]["users"],
                "readyNodes": object["status"]["readyNodes"],
                // Which shard has which number may differ.
                "slots": object["status"]["shards"].as_array().map(|all| {
                    all.iter().filter_map(|shard| shard["slots"].as_str()).collect::<BTreeSet<_>>()
                }),
            });
        }
        "Secret" | "ConfigMap" => {
            for (key, value) in object["data"].as_object_mut().into_iter().flatten() {
                let text = value.as_str().unwrap_or_default();
                *value = match (kind, key.as_str()) {
                    ("Secret", "users.acl") => json!(without_hashes(key, &decoded(value))),
                    ("Secret", _) => json!(!text.is_empty()),
                    _ => json!(without_hashes(key, text)),
                };
            }
        }
        // Of pods and claims counts that they are there, and what they belong to.
        "Pod" | "PersistentVolumeClaim" => {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("spec");
                fields.remove("status");
            }
        }
        _ => {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            for address in ["clusterIP", "clusterIPs"] {
                // A Service without one is headless, which is no accident.
                if let Some(spec) = object["spec"]
                    .as_object_mut()
                    .filter(|spec| spec.get("clusterIP") != Some(&json!("None")))
                {
                    spec.remove(address);
                }
            }
        }
    }
    object
}

fn conditions(status: &Value) -> BTreeMap<String, String> {
    let all = status["conditions"].as_array().into_iter().flatten();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    all.map(|one| (text(one, "type"), format!("{} {}", text(one, "status"), text(one, "reason")))).collect()
}

/// The text of a value of a Secret.
fn decoded(value: &Value) -> String {
    let bytes: Option<ByteString> = serde_json::from_value(value.clone()).ok();
    bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

/// Generated passwords differ, and with them their hashes.
fn without_hashes(file: &str, text: &str) -> String {
    if file != "users.acl" {
        return text.to_owned();
    }
    let words = |line: &str| {
        let words = line.split(' ').map(|word| if word.starts_with('#') { "#…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// What one has and the other has not, in a few lines.
pub fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for key in expected.keys().filter(|key| !found.contains_key(*key)) {
        lines.push(format!("{key} is missing"));
    }
    for (key, object) in found {
        match expected.get(key) {
            None => lines.push(format!("{key} should not be there")),
            Some(wanted) if wanted != object => compare(key, wanted, object, &mut lines),
            Some(_) => {}
        }
    }
    lines
}

fn compare(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
            for key in keys {
                let (wanted, found) = (wanted.get(key), found.get(key));
                let or_nothing = |value: Option<&Value>| value.cloned().unwrap_or_default();
                compare(&format!("{path}.{key}"), &or_nothing(wanted), &or_nothing(found), lines);
            }
        }
        (wanted, found) if wanted != found => lines.push(format!("{path} is {found}, not {wanted}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
        let secret = |uid: &str, password: &str| {
            masked(
                "Secret",
                json!({ "metadata": { "name": "s", "uid": uid }, "data": { "password": password } }),
            )
        };
        assert_eq!(secret("1", "abcd"), secret("2", "wxyz"));
        assert_ne!(secret("1", "abcd"), secret("1", ""));
        let acl = |text: &str| masked("ConfigMap", json!({ "metadata": {}, "data": { "users.acl": text } }));
        assert_eq!(acl("user a on #12 ~*"), acl("user a on #34 ~*"));
        assert_ne!(acl("user a on #12 ~*"), acl("user a off #12 ~*"));
    }

    #[test]
    fn an_object_of_an_owner_that_is_gone_and_one_that_goes_are_seen() {
        let owned = |uid: &str| {
            let mut object = json!({ "metadata": { "ownerReferences": [{ "name": "demo", "uid": uid }] } });
            mark_owners(&mut object, &BTreeSet::from(["now".to_owned()]));
            object
        };
        assert_ne!(owned("now"), owned("before"));
        assert_eq!(owned("before"), owned("long before"));
        let going = json!({ "metadata": { "name": "s", "deletionTimestamp": "2026-11-21T12:00:00Z" } });
        assert_ne!(masked("Pod", going), masked("Pod", json!({ "metadata": { "name": "s" } })));
    }

    #[test]
    fn differences_name_object_and_field() {
        let one =
            |value: u32| Snapshot::from([("Service/demo".to_owned(), json!({ "spec": { "port": value } }))]);
        assert!(differences(&one(1), &one(1)).is_empty());
        assert_eq!(differences(&one(1), &one(2)), ["Service/demo.spec.port is 2, not 1"]);
        assert_eq!(differences(&one(1), &Snapshot::new()), ["Service/demo is missing"]);
        assert_eq!(differences(&Snapshot::new(), &one(1)), ["Service/demo should not be there"]);
    }
}
