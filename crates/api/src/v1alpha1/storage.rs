//! Where the data lives when a pod is gone.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Persistent storage of each pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of each pod's volume. An append-only file needs room for its rewrite: plan twice the
    /// memory limit. Limits: at least 32Mi; may grow where the `StorageClass` allows expansion, never
    /// shrink. Change: live.
    pub size: Quantity,

    /// `StorageClass` of the volumes. Default: the Kubernetes cluster's default class. Change:
    /// immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::DNS_SUBDOMAIN)]
    pub storage_class_name: Option<String>,

    /// How the server writes its data to the volume. `AOF` appends every write to a file, flushed
    /// every second unless `config.appendfsync` says otherwise; `RDB` writes snapshots at the times
    /// of `config.save`, and loses what came after the last one when a whole shard dies. A primary
    /// that restarts with an older snapshot than its replica's data waits until the replica is
    /// promoted. Kept volumes have to be taken over with the persistence that they were written
    /// with: with the other one no server starts. Default: AOF. Change: live.
    #[serde(default)]
    pub persistence: Persistence,

    /// What happens to volumes that are no longer used. Default: they are kept. Change: live.
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
    /// Volumes of a deleted `RedisCluster`. `Retain` keeps them: a new `RedisCluster` of the same
    /// name takes the data over; generated passwords are new. `Delete` removes them with their data,
    /// also when only the StatefulSet is deleted by hand. Default: Retain. Change: live.
    #[serde(default)]
    pub on_delete: Retention,
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
