//! What is wanted: the resource together with the objects it refers to, made total. Whatever part can't be used keeps
//! what is in force and carries a [`Problem`]; nothing here fails as a whole.

mod from_spec;
mod passwords;
pub mod quantity;
mod rotation;
mod system_rotation;
#[cfg(test)]
mod tests;
pub(crate) mod usable;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::{RedisClusterSpec, RetentionPolicy};
use secrecy::SecretString;

use crate::acl::{PasswordHash, UserRules};
use crate::ids::{ShardNumber, Uid};

pub use from_spec::is_system_secret_lost;
pub use rotation::{PasswordHistory, next_memory};
pub use system_rotation::{Stage, SystemHashes, SystemRotation};

/// What the resource refers to, fetched before anything is decided.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Secret `<name>-system`.
    pub system: SystemMemory,
    /// Every Secret that `spec.users[].passwords[].secretKeyRef` names, by name; absent when it does not exist.
    pub password_secrets: BTreeMap<String, PasswordSecret>,
    /// Hash of the password that the Secret of a user tells, by user name.
    pub told: BTreeMap<String, PasswordHash>,
    /// The spec that the pods were made from: annotation `keyslot.dev/in-force` of the pod template (or, while the
    /// StatefulSet is away, of a pod). `None` before the first pod.
    pub in_force: Option<RedisClusterSpec>,
    /// Shard numbers that pods carry as labels; every one has a budget.
    pub shards_seen: BTreeSet<ShardNumber>,
    /// Objects with names that we need and that somebody else made, as `Kind/name`.
    pub foreign_objects: BTreeSet<String>,
    /// The cluster's DNS domain, e.g. `cluster.local`.
    pub cluster_domain: String,
    /// Keyslot's own passwords as every pod and `users.acl` had them at the last look; `None` when one of them had not
    /// what it should.
    pub system_in_force: Option<SystemHashes>,
    /// How long it may take until a changed object has reached the files that pods have mounted.
    pub files_delay: Duration,
    /// Why [`Self::system`] is not as it has to be: it could not be written.
    pub not_stored: Option<String>,
}

/// The operator's memory that must survive: Secret `<name>-system`.
#[derive(Clone, Debug, Default)]
pub struct SystemMemory {
    /// The passwords that the operator, replicas and probes log in with.
    pub passwords: SystemPasswords,
    /// Valid besides them while they are rotated: the next ones, or the previous ones, as the stage says.
    pub second_passwords: SystemPasswords,
    /// How far a rotation of these has come.
    pub system_rotation: SystemRotation,
    /// Generated passwords of users, by user name.
    pub user_passwords: BTreeMap<String, SecretString>,
    /// What was replaced and when, by user name.
    pub histories: BTreeMap<String, PasswordHistory>,
    /// The marker `formed`.
    pub formed: bool,
}

/// A password for each of Keyslot's own users.
#[derive(Clone, Debug, Default)]
pub struct SystemPasswords {
    /// Of `keyslot-operator`.
    pub operator: Option<SecretString>,
    /// Of `keyslot-replication` (`masterauth`).
    pub replication: Option<SecretString>,
    /// Of `keyslot-probe`.
    pub probe: Option<SecretString>,
}

/// A referenced Secret.
#[derive(Clone, Debug, Default)]
pub struct PasswordSecret {
    /// It carries label `keyslot.dev/user-password: "true"`, its owner's consent.
    pub allowed: bool,
    /// Key to value; values that are not UTF-8 are absent.
    pub values: BTreeMap<String, SecretString>,
}

/// A part of the resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<T> {
    /// Can be brought in force.
    Wanted(T),
    /// Can't be used as written: what is in force stays.
    KeepLast(Problem),
}

/// Why a part can't be used, for a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The condition's reason.
    pub reason: Reason,
    /// The field, e.g. `spec.users[worker].passwords[0].secretKeyRef`.
    pub field: String,
    /// What is wrong and what to do, in a sentence that names the object.
    pub message: String,
}

/// What a cluster should be.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Name of the resource, prefix of all its objects.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its unique id, for owner references.
    pub uid: Uid,
    /// `metadata.generation`.
    pub generation: i64,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// `spec.paused`: only report.
    pub paused: bool,
    /// The spec that pods are made from, without users: what the pods carry once the cluster has formed, until then the
    /// resource's own (but for volumes, which stay as they were claimed).
    pub in_force: RedisClusterSpec,
    /// The resource's spec as it is now, without users.
    pub wanted: RedisClusterSpec,
    /// Fields in which the two differ, e.g. `spec.image`: accepted, not carried out.
    pub pending: Vec<String>,
    /// `spec.storage.retentionPolicy`, in force at once: who asks for volumes to be kept may delete the resource next.
    pub retention: RetentionPolicy,
    /// `clusterNodeTimeout` in force.
    pub node_timeout: Duration,
    /// `maxmemory` in bytes that goes with what is in force, when the operator computes it.
    pub maxmemory: Option<u64>,
    /// The system's users, with least rules that every supported server version knows.
    pub system_users: BTreeMap<String, UserRules>,
    /// The users of the resource; `default` is always here, switched off when it is not listed.
    pub users: BTreeMap<String, Part<UserRules>>,
    /// Why passwords of users can't be read, which have what they were then.
    pub users_unread: Vec<Problem>,
    /// The plaintext passwords that go into the Secrets of users, by user name.
    pub user_passwords: BTreeMap<String, SecretString>,
    /// The name of each user's Secret, for users that have one. A user that keeps what it has is here too, but not among
    /// the passwords: its Secret stays as it is.
    pub user_secrets: BTreeMap<String, String>,
    /// When passwords end or are made by the passing of time alone, the next time.
    pub passwords_due: Option<Timestamp>,
    /// The passwords of the system's users.
    pub system: SystemMemory,
    /// Shard numbers that need a budget.
    pub budget_shards: BTreeSet<ShardNumber>,
    /// Objects with names that we need and that somebody else made, as `Kind/name`: never rendered.
    pub foreign_objects: BTreeSet<String>,
    /// Problems of parts other than users.
    pub problems: Vec<Problem>,
}
