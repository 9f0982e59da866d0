//! The Kubernetes objects that are made, one file per object. Pure: the same input gives the same bytes.

mod acl;
mod budget;
mod config_map;
mod connection;
mod meta;
pub mod names;
mod pod;
mod services;
mod stateful_set;
mod system_secret;
mod user_secret;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::desired::Desired;

pub use acl::{baseline_users_file, users_file};
pub use budget::budget;
pub use config_map::{IN_FORCE_FILE, config_files};
pub use connection::connection;
pub use services::{client_service, headless_service};
pub use stateful_set::{retention, retention_of, stateful_set};
pub use system_secret::{FORMED, is_forgotten, system_secret};
pub use user_secret::user_secrets;

/// One wanted object.
#[derive(Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful per pass, and consumers match on plain objects")]
pub enum Manifest {
    /// A ConfigMap.
    ConfigMap(ConfigMap),
    /// A Secret.
    Secret(Secret),
    /// A Service.
    Service(Service),
    /// The StatefulSet.
    StatefulSet(StatefulSet),
    /// A PodDisruptionBudget.
    PodDisruptionBudget(PodDisruptionBudget),
}

impl Manifest {
    /// The object's metadata.
    pub const fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ConfigMap(o) => &o.metadata,
            Self::Secret(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::StatefulSet(o) => &o.metadata,
            Self::PodDisruptionBudget(o) => &o.metadata,
        }
    }

    /// The object's kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConfigMap(_) => "ConfigMap",
            Self::Secret(_) => "Secret",
            Self::Service(_) => "Service",
            Self::StatefulSet(_) => "StatefulSet",
            Self::PodDisruptionBudget(_) => "PodDisruptionBudget",
        }
    }

    /// `Kind/name`: how an object is named in messages and looked up among those of somebody else.
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}

/// Kind and name only: a Secret's content must not reach a log by way of a plan.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

/// The harmless objects, in the order in which they are made: Services, budgets, the connection ConfigMap, the Secrets
/// of users. The StatefulSet, `users.acl` and `redis.conf` are operations of steps, and the system Secret is made by
/// whoever makes its passwords. Objects that somebody else made are left out.
pub fn base_manifests(desired: &Desired) -> Vec<Manifest> {
    let mut manifests = vec![headless_service(desired), client_service(desired)];
    manifests.extend(desired.budget_shards.iter().map(|shard| budget(desired, *shard)));
    manifests.push(connection(desired));
    manifests.extend(user_secrets(desired));
    manifests.retain(|manifest| !desired.foreign_objects.contains(&manifest.key()));
    manifests
}

/// What the pods are made from, as they carry it. Serializing plain data can't fail; without this the next pass would
/// take the pods for made from whatever the resource says then.
fn in_force(desired: &Desired) -> String {
    serde_json::to_string(&desired.in_force).unwrap_or_default()
}

/// Text as the data of a Secret.
fn bytes(texts: BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect()
}
