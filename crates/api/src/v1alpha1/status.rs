//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw and does.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisClusterStatus {
    /// Generation of the resource that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Name of the step that the operator is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,

    /// What the operator is doing and why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// Ready pods of all pods that there are to be at present, such as `5/6`. Changes that wait do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<String>,

    /// Number of shards that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_count: Option<i32>,

    /// Label selector of the primaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Server that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineStatus>,

    /// The shards, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["shard".into()]))]
    pub shards: Vec<ShardStatus>,

    /// The users of the resource, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<UserStatus>,

    /// Rotation of the passwords of Keyslot's own users that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_rotation: Option<SystemRotationStatus>,

    /// Secret of the only application user, for servicebinding.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// Server that runs, as the nodes themselves say.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// `redis` or `valkey`.
    pub name: String,

    /// Version of the server, such as `8.0.6`.
    pub version: String,
}

/// One shard.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Number of the shard.
    pub shard: i32,

    /// Pod of the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,

    /// Slots that it serves, such as `0-5460`.
    #[serde(default)]
    pub slots: String,

    /// Its replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaStatus>,

    /// Keys of the primary.
    #[serde(default)]
    pub keys: i64,

    /// Bytes of memory that the primary uses.
    #[serde(default)]
    pub memory_bytes: i64,
}

/// One replica.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Pod of the replica.
    pub pod: String,

    /// Whether it is connected to its primary.
    #[serde(default)]
    pub link_up: bool,

    /// Bytes of the replication stream that it has not received yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<i64>,
}

/// One user of the resource.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// Name of the user.
    pub name: String,

    /// Secret that applications read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// Until when a password that was replaced is valid, besides the present ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_password_valid_until: Option<String>,

    /// Nodes on which the user is in force as wanted.
    #[serde(default)]
    pub nodes_applied: i32,

    /// Nodes of the cluster.
    #[serde(default)]
    pub nodes_total: i32,
}

/// Rotation of the passwords of Keyslot's own users.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SystemRotationStatus {
    /// How far it has come. It goes on when every node has had all passwords for the operator's `--files-delay`.
    pub stage: SystemRotationStage,

    /// `Announced`: since when every node has had the next passwords. `InUse`: since when the new ones are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Stage of a rotation of the passwords of Keyslot's own users.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemRotationStage {
    /// The next passwords are valid beside those in use.
    Announced,
    /// The new passwords are in use, and the previous ones valid.
    InUse,
}

/// Secret of the only application user, for servicebinding.io.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Name of the Secret.
    pub name: String,
}
