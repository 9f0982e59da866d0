//! Where the data lives when a pod is gone.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Persistent storage of each pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of each pod's volume.
    pub size: Quantity,

    /// `StorageClass` of the volumes; absent means the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,

    /// How the server writes its data to the volume.
    #[serde(default)]
    pub persistence: Persistence,

    /// What happens to volumes that are no longer used.
    #[serde(default)]
    pub retention_policy: RetentionPolicy,
}

/// How the server writes its data to the volume.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Append-only file, flushed every second unless `config.appendfsync` says otherwise.
    #[default]
    #[serde(rename = "AOF")]
    Aof,
    /// Snapshots only, at the times of `config.save`.
    #[serde(rename = "RDB")]
    Rdb,
}

/// What happens to volumes that are no longer used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// Volumes of a deleted `RedisCluster`.
    #[serde(default)]
    pub on_delete: Retention,

    /// Volumes of pods that scaling in removed.
    #[serde(default)]
    pub on_scale_in: Retention,
}

/// Whether a volume outlives its pod.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// The volume claim stays; a person deletes it.
    #[default]
    Retain,
    /// The volume claim is deleted with its data.
    Delete,
}
