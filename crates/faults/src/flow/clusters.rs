//! The clusters of flows.

use anyhow::Result;
use keyslot_api::v1alpha1::{AclStorage, Password, RedisClusterSpec, Rotation, SecretKeyRef, User};
use keyslot_testkit::builders::a_cluster;
use serde_json::json;

use crate::oracles::ledger;

/// 3 shards with 1 replica each, in memory, with the user of the ledger.
pub(super) fn plain() -> RedisClusterSpec {
    let mut spec = a_cluster().resource().spec;
    "localhost/redis:7.0".clone_into(&mut spec.image);
    spec.users = vec![ledger::user()];
    spec
}

pub(super) fn on_volumes() -> RedisClusterSpec {
    let storage = a_cluster().persistent().resource().spec.storage;
    RedisClusterSpec { storage, ..plain() }
}

/// One shard with one replica, and every field that can be set on machines like ours.
pub fn every_field() -> Result<RedisClusterSpec> {
    let settings = json!({
        "image": "localhost/redis:7.0",
        "shards": 1,
        "replicasPerShard": 1,
        "resources": { "requests": { "cpu": "10m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
        "maxMemoryPercent": 60,
        "config": { "maxmemory-policy": "allkeys-lru", "tcp-keepalive": "60" },
        "storage": { "size": "1Gi", "persistence": "AOF", "retentionPolicy": { "onDelete": "Delete" } },
        "aclStorage": "Secret",
        "clientEndpoint": "Hostname",
        "clusterNodeTimeout": "5s",
        "podLabels": { "team": "shop" },
        "podAnnotations": { "example.com/note": "a note" },
        "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "redis", "effect": "NoSchedule" }],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        }],
        "imagePullSecrets": [{ "name": "registry" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{
            "matchExpressions": [{ "key": "kubernetes.io/os", "operator": "In", "values": ["linux"] }],
        }]}}},
        "priorityClassName": "system-cluster-critical",
    });
    let mut spec: RedisClusterSpec = serde_json::from_value(settings)?;
    let app = json!({
        "name": "app",
        "rules": ["~app:*", "+@read"],
        "selectors": [{ "rules": ["~other:*", "+get"] }],
        "passwords": [{ "secretKeyRef": { "name": APP_PASSWORD, "key": "password" } }],
        "rotation": { "gracePeriod": "1m" },
        "secretName": "app-login",
    });
    spec.users = vec![serde_json::from_value(app)?, ledger::user()];
    Ok(spec)
}

pub(super) fn with_users() -> RedisClusterSpec {
    let mut spec = plain();
    spec.users
        .extend([user("app", &["~app:*", "+@read", "+@write"]), user("reports", &["%R~app:*", "+@read"])]);
    spec
}

/// The same, and users.acl in a Secret.
pub(super) fn users_in_a_secret() -> RedisClusterSpec {
    RedisClusterSpec { acl_storage: AclStorage::Secret, ..with_users() }
}

/// A Secret with a password that an application brings.
pub const APP_PASSWORD: &str = "app-password";
/// What is in it at first.
pub const FIRST_PASSWORD: &str = "known-to-the-application";
/// What is in it later.
pub(super) const OTHER_PASSWORD: &str = "known-to-the-application-since-today";

/// With a user whose password is in a Secret of its own.
pub(super) fn with_secret() -> RedisClusterSpec {
    let mut app = user("app", &["~app:*", "+@read", "+@write"]);
    let secret_key_ref = Some(SecretKeyRef { name: APP_PASSWORD.to_owned(), key: "password".to_owned() });
    app.passwords = vec![Password { secret_key_ref, sha256: None }];
    app.rotation = Some(Rotation { grace_period: "3s".to_owned(), ..Rotation::default() });
    let mut spec = plain();
    spec.users.push(app);
    spec
}

/// One user with other rules, one gone, one new, one switched off.
pub(super) fn other_users() -> Vec<User> {
    let off = User { enabled: false, ..user("off", &["~*", "+ping"]) };
    vec![
        ledger::user(),
        user("app", &["~app:*", "~more:*", "+@read", "+@write"]),
        user("fresh", &["+ping"]),
        off,
    ]
}

/// With a generated password.
fn user(name: &str, rules: &[&str]) -> User {
    User {
        name: name.to_owned(),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        passwords: Vec::new(),
        ..ledger::user()
    }
}
