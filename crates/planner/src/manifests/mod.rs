//! The Kubernetes objects that are made, one file per object. Pure: the same input gives the same bytes.

use std::fmt;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// One wanted object.
#[derive(Clone, PartialEq)]
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

    /// The object's name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}

/// Kind and name only: a Secret's content must not reach a log by way of a plan.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

/// The harmless objects, in the order in which they are made: Services, budgets, the connection ConfigMap. The
/// StatefulSet, `users.acl` and `redis.conf` are operations of steps, and the system Secret is made by whoever makes
/// its passwords.
pub fn base_manifests(_desired: &crate::desired::Desired) -> Vec<Manifest> {
    Vec::new()
}

/// ConfigMap `<name>-config`. (Being written.)
pub fn config_files(_desired: &crate::desired::Desired) -> Manifest {
    Manifest::ConfigMap(ConfigMap::default())
}
/// `<name>-acl`. (Being written.)
pub fn users_file(_desired: &crate::desired::Desired, _text: &str) -> Manifest {
    Manifest::ConfigMap(ConfigMap::default())
}
/// users.acl of the system. (Being written.)
pub fn baseline_users_file(_desired: &crate::desired::Desired) -> String {
    String::new()
}
/// The StatefulSet. (Being written.)
pub fn stateful_set(_desired: &crate::desired::Desired, _replicas: u32) -> Manifest {
    Manifest::StatefulSet(StatefulSet::default())
}
