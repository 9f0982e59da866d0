//! Puts the parts together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec, Storage, User};

use super::{Desired, Inputs, Part, Problem, SystemMemory, usable, users};
use crate::acl::UserRules;
use crate::config;
use crate::ids::{ShardNumber, Uid};
use crate::manifests::names;
use crate::system_users::system_users;

impl Desired {
    /// What the resource wants. Total: whatever part of it can't be used is a [`Problem`] and keeps what is in force;
    /// admission should have refused it, but what gets past admission must not get into a file.
    pub fn from_spec(cluster: &RedisCluster, inputs: &Inputs) -> Self {
        let name = cluster.metadata.name.clone().unwrap_or_default();
        let (wanted, mut problems) = usable::usable(&cluster.spec, inputs.in_force.as_ref());
        let in_force = in_force(&wanted, inputs);
        let users = users::users(&name, &cluster.spec.users, inputs);
        problems.extend(users.problems);
        let passwords_due = passwords_due(cluster, inputs, &users.parts);
        let is_lost = is_system_secret_lost(inputs);
        problems.extend(inputs.not_stored.as_deref().map(|why| not_stored(&name, why)));
        problems.extend(is_lost.then(|| system_secret_lost(&name, in_force.storage.is_some())));
        problems.extend(inputs.foreign_objects.iter().filter_map(|object| conflict(&name, object)));

        Self {
            namespace: cluster.metadata.namespace.clone().unwrap_or_default(),
            uid: Uid::new(cluster.metadata.uid.clone().unwrap_or_default()),
            generation: cluster.metadata.generation.unwrap_or_default(),
            cluster_domain: inputs.cluster_domain.clone(),
            paused: cluster.spec.paused,
            pending: usable::differences(&in_force, &wanted),
            retention: cluster.spec.storage.as_ref().map(|s| s.retention_policy).unwrap_or_default(),
            node_timeout: config::node_timeout(&in_force).unwrap_or(config::DEFAULT_NODE_TIMEOUT),
            maxmemory: config::maxmemory(&in_force),
            system_users: system_users(&inputs.system),
            users: users.parts,
            users_unread: users.unread,
            user_passwords: users.passwords,
            user_secrets: users.secrets,
            passwords_due,
            // Of a cluster whose marker is lost nobody knows that it is empty.
            system: SystemMemory { formed: inputs.system.formed || is_lost, ..inputs.system.clone() },
            budget_shards: budget_shards(in_force.replicas_per_shard, in_force.shards, &inputs.shards_seen),
            foreign_objects: inputs.foreign_objects.clone(),
            problems,
            name,
            in_force,
            wanted,
        }
    }

    /// Number of pods of what is in force: `shards × (1 + replicasPerShard)`.
    pub fn pod_count(&self) -> u32 {
        let spec = &self.in_force;
        let shards = u32::try_from(spec.shards).unwrap_or(0);
        shards.saturating_mul(1 + u32::try_from(spec.replicas_per_shard).unwrap_or(0))
    }
}

/// A user that keeps what it has waits for a person, not for a time.
fn passwords_due(
    cluster: &RedisCluster,
    inputs: &Inputs,
    parts: &BTreeMap<String, Part<UserRules>>,
) -> Option<Timestamp> {
    let histories = &inputs.system.histories;
    let is_wanted = |user: &&User| matches!(parts.get(&user.name), Some(Part::Wanted(_)));
    let users = cluster.spec.users.iter().filter(is_wanted);
    let users = users.filter_map(|user| histories.get(&user.name)?.due(user, inputs.told.get(&user.name)));
    users.chain(inputs.system.system_rotation.due(inputs.files_delay)).min()
}

/// What the pods are made from. Once the cluster has formed, as the pods carry it, also where today it would be
/// refused: it must compare equal with what they carry. Before, nothing is lost by replacing pods, so a corrected
/// resource takes effect at once; only volumes stay as they were claimed.
fn in_force(wanted: &RedisClusterSpec, inputs: &Inputs) -> RedisClusterSpec {
    match &inputs.in_force {
        Some(carried) if inputs.system.formed || is_system_secret_lost(inputs) => usable::of_pods(carried),
        Some(carried) => RedisClusterSpec { storage: storage(carried, wanted), ..wanted.clone() },
        None => wanted.clone(),
    }
}

/// Volumes stay as they were claimed. How servers write is theirs alone, and kept data may need another way than the
/// resource says.
fn storage(carried: &RedisClusterSpec, wanted: &RedisClusterSpec) -> Option<Storage> {
    let claimed = carried.storage.clone()?;
    let persistence = wanted.storage.as_ref().map_or(claimed.persistence, |storage| storage.persistence);
    Some(Storage { persistence, ..claimed })
}

/// Pods are made after the Secret, so where there are pods and a password is missing, it was there. The nodes know it
/// still: another one would keep the operator, or a replica, from logging in.
pub fn is_system_secret_lost(inputs: &Inputs) -> bool {
    inputs.in_force.is_some() && !inputs.system.is_complete()
}

/// What was to be remembered of passwords can't be written down.
fn not_stored(name: &str, why: &str) -> Problem {
    let secret = names::system(name);
    Problem {
        reason: Reason::OperationFailed,
        field: format!("Secret/{secret}"),
        message: format!(
            "Secret {secret} can't be written ({why}): passwords are neither made nor ended before it can; it is tried again"
        ),
    }
}

fn system_secret_lost(name: &str, has_volumes: bool) -> Problem {
    let secret = crate::manifests::names::system(name);
    let without = if has_volumes {
        "set spec.storage.retentionPolicy.onDelete to Retain, delete the resource and create it again: it takes its volumes \
         over"
    } else {
        "the data lives only as long as the pods: copy it away as one of the users, then delete the resource and create it \
         again"
    };
    Problem {
        reason: Reason::SystemSecretLost,
        field: format!("Secret/{secret}"),
        message: format!(
            "Secret {secret}, or a password in it, is gone, and the operator can't log in to the nodes without: put it back \
             from a backup, with its labels and owner references; if there is none, {without}"
        ),
    }
}

/// One for every shard there is or will be. Without replicas a budget would only make drains hang for ever.
fn budget_shards(replicas: i32, shards: i32, seen: &BTreeSet<ShardNumber>) -> BTreeSet<ShardNumber> {
    if replicas <= 0 { BTreeSet::new() } else { (0..shards).chain(seen.iter().copied()).collect() }
}

/// Of Secrets, only Keyslot's own: those of users are told of with the user.
fn conflict(cluster: &str, object: &str) -> Option<Problem> {
    let secret = object.strip_prefix("Secret/");
    let is_users = secret.is_some_and(|name| name != names::system(cluster) && name != names::acl(cluster));
    (!is_users).then(|| Problem {
        reason: Reason::ResourceConflict,
        field: "metadata.name".to_owned(),
        message: format!(
            "{object} exists and was made by someone else; it is not touched: remove or rename it, or choose another \
             name for this resource"
        ),
    })
}
