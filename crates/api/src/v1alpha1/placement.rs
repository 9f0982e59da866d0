//! What a pod needs from its host.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// CPU and memory of one pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = rules::REQUESTS_WITHIN_LIMITS)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRequirements {
    /// What the scheduler reserves on a host. Default: the limits. Limits: only `cpu` and `memory`;
    /// not above the limits. Change: roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::requests")]
    pub requests: BTreeMap<String, Quantity>,

    /// The most that a pod may use: above its cpu limit it is slowed down, above its memory limit it
    /// is killed. Default: none. Limits: only `cpu` and `memory`; `memory` at least 64Mi. Change:
    /// roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::limits")]
    pub limits: BTreeMap<String, Quantity>,
}
