//! The objects, byte by byte.
//!
//! **A changed snapshot of a StatefulSet, of redis.conf or of users.acl means: an upgrade of the operator changes what
//! servers run with, and pods have to be restarted for it.** Change one only on purpose, and say so in the changelog.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;

use common::{CANARIES, cluster, desired, ephemeral, full, inputs, json_of, memory, minimal, valkey};
use keyslot_planner::desired::SystemMemory;
use keyslot_planner::{Desired, Manifest, base_manifests, manifests};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// Everything that is made for a cluster.
fn all(spec: &Value) -> Vec<Manifest> {
    let desired = desired(spec);
    let mut all = base_manifests(&desired);
    all.push(manifests::system_secret(&cluster(spec), &memory()));
    all.push(manifests::config_files(&desired));
    all.push(manifests::users_file(&desired, &manifests::baseline_users_file(&desired)));
    all.push(manifests::stateful_set(&desired, desired.pod_count()));
    all
}

/// The objects, with the texts that have snapshots of their own left out.
fn without_texts(spec: &Value) -> Vec<Value> {
    let mut objects: Vec<Value> = all(spec).iter().map(json_of).collect();
    for object in &mut objects {
        if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
            for (key, text) in data.iter_mut() {
                if ["redis.conf", "users.acl", "start.sh", "ready.sh", "stop.sh"].contains(&key.as_str()) {
                    *text = json!("(see the snapshot of this file)");
                }
            }
        }
    }
    objects
}

macro_rules! snapshots {
    ($name:ident, $spec:expr) => {
        #[test]
        fn $name() {
            let spec = $spec;
            insta::assert_yaml_snapshot!(concat!(stringify!($name), ".objects"), without_texts(&spec));
            let desired = desired(&spec);
            insta::assert_snapshot!(
                concat!(stringify!($name), ".redis.conf"),
                keyslot_planner::config::redis_conf(&desired.in_force)
            );
            insta::assert_snapshot!(
                concat!(stringify!($name), ".users.acl"),
                manifests::baseline_users_file(&desired)
            );
        }
    };
}

snapshots!(the_minimal_resource, minimal());
snapshots!(every_field, full());
snapshots!(no_storage_and_no_replicas, ephemeral());
snapshots!(valkey_with_append_only_file, valkey());

#[test]
fn the_same_resource_gives_the_same_objects() {
    for spec in [minimal(), full(), ephemeral(), valkey()] {
        assert_eq!(all(&spec), all(&spec));
    }
}

#[test]
fn what_is_not_in_force_yet_changes_no_object_of_the_pods() {
    let before = desired(&valkey());
    let mut changed = full();
    changed["users"] = json!([]);
    changed["storage"]["persistence"] = json!("AOF");
    // Live, and no part of the pods.
    changed["storage"]["retentionPolicy"] = json!({});
    let mut inputs = inputs();
    inputs.in_force = Some(before.in_force.clone());
    let after = Desired::from_spec(&cluster(&changed), &inputs);
    assert!(!after.pending.is_empty());
    assert_eq!(manifests::stateful_set(&before, 6), manifests::stateful_set(&after, 6));
    assert_eq!(manifests::config_files(&before), manifests::config_files(&after));
    assert_eq!(manifests::baseline_users_file(&before), manifests::baseline_users_file(&after));
}

#[test]
fn pods_carry_the_spec_that_they_were_made_from() {
    let desired = desired(&full());
    let set = json_of(&manifests::stateful_set(&desired, 15));
    let text = set["spec"]["template"]["metadata"]["annotations"]["keyslot.dev/in-force"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<keyslot_api::v1alpha1::RedisClusterSpec>(text).unwrap(),
        desired.in_force,
        "else the next pass would see changes that nobody made"
    );
    assert!(!text.contains("worker"), "users are not part of it: {text}");
}

#[test]
fn an_object_that_somebody_else_made_is_left_out() {
    let mut inputs = inputs();
    inputs.foreign_objects =
        ["Service/demo-client", "Secret/demo-user-default", "PodDisruptionBudget/demo-1"]
            .map(str::to_owned)
            .into();
    let desired = Desired::from_spec(&cluster(&valkey()), &inputs);
    let names: Vec<String> =
        base_manifests(&desired).iter().map(|manifest| format!("{manifest:?}")).collect();
    assert_eq!(
        names,
        [
            "Service/demo",
            "PodDisruptionBudget/demo-0",
            "PodDisruptionBudget/demo-2",
            "ConfigMap/demo-connection",
            "Secret/demo-user-worker-1",
        ]
    );
    assert_eq!(desired.problems.len(), 3, "{:?}", desired.problems);
}

#[test]
fn the_users_file_is_the_kind_of_object_that_was_asked_for() {
    for (spec, kind) in [(minimal(), "ConfigMap"), (full(), "Secret")] {
        let manifest = manifests::users_file(&desired(&spec), "user default off\n");
        assert_eq!((manifest.kind(), manifest.name()), (kind, "demo-acl"));
    }
}

#[test]
fn the_operators_memory_survives_its_secret() {
    for memory in [SystemMemory::default(), memory()] {
        let Manifest::Secret(secret) = manifests::system_secret(&cluster(&minimal()), &memory) else {
            panic!("not a Secret");
        };
        let read = SystemMemory::parse(&secret.data.unwrap());
        assert_eq!(plain(&read), plain(&memory));
    }
}

fn plain(memory: &SystemMemory) -> (bool, BTreeMap<String, String>) {
    let system = [
        ("o", &memory.passwords.operator),
        ("r", &memory.passwords.replication),
        ("p", &memory.passwords.probe),
    ];
    let mut passwords: BTreeMap<String, String> = system
        .into_iter()
        .filter_map(|(name, password)| Some((name.to_owned(), password.as_ref()?.expose_secret().to_owned())))
        .collect();
    for (user, password) in &memory.user_passwords {
        passwords.insert(format!("user {user}"), password.expose_secret().to_owned());
    }
    (memory.formed, passwords)
}

#[test]
fn pods_see_only_two_keys_of_the_operators_memory() {
    let set = json_of(&manifests::stateful_set(&desired(&minimal()), 6));
    let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let system = volumes.iter().find(|volume| volume["name"] == "system").unwrap();
    let keys: Vec<&str> = system["secret"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["probe-password", "replication.conf"]);
}

/// A secret value may be in Secrets and nowhere else; not even a plan that is printed shows one.
#[test]
fn a_secret_value_is_in_secrets_only() {
    for mut spec in [minimal(), full(), ephemeral(), valkey()] {
        if let Some(users) = spec.get_mut("users").and_then(Value::as_array_mut) {
            users.push(json!({"name": "careless", "rules": [">canary rules"]}));
            users.push(json!({"name": "careless2", "rules": ["+get canary rules"]}));
        }
        let desired = desired(&spec);
        let shown = format!("{desired:?} {:?} {:?} {:?}", inputs(), all(&spec), cluster(&minimal()));
        let public: Vec<Value> =
            all(&spec).iter().filter(|manifest| manifest.kind() != "Secret").map(json_of).collect();
        let public = serde_json::to_string(&public).unwrap();
        let users = manifests::baseline_users_file(&desired);
        for canary in CANARIES {
            assert!(!shown.contains(canary), "{canary} is shown: {shown}");
            assert!(!public.contains(canary), "{canary} is public: {public}");
            assert!(!users.contains(canary), "{canary} is in users.acl");
        }
    }
}
