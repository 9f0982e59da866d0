//! Resources and inputs that the tests of this folder share. Every secret value is a canary: it says so in its text.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::desired::{PasswordSecret, SystemMemory, SystemPasswords};
use keyslot_planner::{Desired, Inputs, Manifest};
use serde_json::{Value, json};

/// All secret values, as plaintext. Whatever holds one of them outside of a Secret is a leak.
pub const CANARIES: [&str; 6] = [
    "canary-operator",
    "canary-replication",
    "canary-probe",
    "canary-generated",
    "canary-referenced",
    "canary rules", // has a space: a password that somebody put among the rules
];

/// A resource named `demo` in namespace `shop`, with this spec.
pub fn cluster(spec: &Value) -> RedisCluster {
    serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1",
        "kind": "RedisCluster",
        "metadata": {"name": "demo", "namespace": "shop", "uid": "0b5c", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

/// Only what has no default.
pub fn minimal() -> Value {
    json!({"image": "redis:8.0"})
}

/// Every field.
pub fn full() -> Value {
    json!({
        "image": "redis:7.0.15",
        "shards": 5,
        "replicasPerShard": 2,
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "maxMemoryPercent": 60,
        "config": {
            "maxmemory-policy": "allkeys-lru",
            "save": "900 1 300 10",
            "tcp-keepalive": "30",
            "client-output-buffer-limit": "normal 256mb 64mb 60",
            "notify-keyspace-events": "",
        },
        "storage": {
            "size": "2Gi",
            "storageClassName": "fast",
            "persistence": "RDB",
            "retentionPolicy": {"onDelete": "Delete"},
        },
        "users": users(),
        "aclStorage": "Secret",
        "clientEndpoint": "Hostname",
        "clusterNodeTimeout": "2500ms",
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
        ]}}},
        "tolerations": [{"key": "redis", "operator": "Exists"}],
        "nodeSelector": {"pool": "redis"},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}],
        "podLabels": {"team": "a"},
        "podAnnotations": {"example.com/note": "b"},
    })
}

/// No storage, no replicas.
pub fn ephemeral() -> Value {
    json!({"image": "redis:8.6", "replicasPerShard": 0, "resources": {"limits": {"memory": "256Mi"}}})
}

/// Valkey with an append-only file.
pub fn valkey() -> Value {
    json!({"image": "valkey/valkey:9.1", "storage": {"size": "1Gi"}, "users": users()})
}

fn users() -> Value {
    json!([
        {"name": "default", "rules": ["~*", "&*", "+@all"]},
        {
            "name": "worker_1",
            "rules": ["~app:*", "&app:*", "+@read", "+@write", "-@dangerous"],
            "selectors": [{"rules": ["~cache:*", "+get"]}],
            "passwords": [
                {"sha256": "87eba76e7f3164534045ba922e7770fb58bbd14ad732bbf5ba6f11cc56989e6e"},
                {"secretKeyRef": {"name": "worker-password", "key": "password"}},
            ],
        },
        {"name": "report", "enabled": false, "rules": ["+@read"], "secretName": "reports"},
    ])
}

/// The operator's memory once it has made its passwords.
pub fn memory() -> SystemMemory {
    SystemMemory {
        passwords: SystemPasswords {
            operator: Some("canary-operator".into()),
            replication: Some("canary-replication".into()),
            probe: Some("canary-probe".into()),
        },
        user_passwords: ["default", "report", "worker"]
            .map(|user| (user.to_owned(), "canary-generated".into()))
            .into(),
        formed: true,
        ..SystemMemory::default()
    }
}

/// A Secret with a password, allowed by its owner.
pub fn password_secret(value: &str) -> PasswordSecret {
    PasswordSecret { allowed: true, values: BTreeMap::from([("password".to_owned(), value.into())]) }
}

/// Everything that the specs above refer to.
pub fn inputs() -> Inputs {
    Inputs {
        system: memory(),
        password_secrets: [("worker-password".to_owned(), password_secret("canary-referenced\n"))].into(),
        cluster_domain: "cluster.local".to_owned(),
        ..Inputs::default()
    }
}

/// What a spec wants.
pub fn desired(spec: &Value) -> Desired {
    Desired::from_spec(&cluster(spec), &inputs())
}

/// An object as the API server gets it.
pub fn json_of(manifest: &Manifest) -> Value {
    match manifest {
        Manifest::ConfigMap(o) => serde_json::to_value(o),
        Manifest::Secret(o) => serde_json::to_value(o),
        Manifest::Service(o) => serde_json::to_value(o),
        Manifest::StatefulSet(o) => serde_json::to_value(o),
        Manifest::PodDisruptionBudget(o) => serde_json::to_value(o),
    }
    .unwrap()
}

/// A program in a folder. Written by another process: a file that this one has open for writing can't be
/// executed, and a child that another thread starts at this moment would hold it open for longer.
pub fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    let mut writer = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}
