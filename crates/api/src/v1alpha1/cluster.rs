//! The resource itself and the settings that concern the whole cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RedisClusterStatus, ResourceRequirements, Storage, User};

/// The wanted state of a Redis Cluster.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "keyslot.dev",
    version = "v1alpha1",
    kind = "RedisCluster",
    plural = "redisclusters",
    shortname = "rcl",
    category = "redis",
    namespaced,
    status = "RedisClusterStatus",
    derive = "PartialEq",
    doc = "A sharded Redis (or Valkey) Cluster: its nodes, users, settings and storage."
)]
#[kube(scale(
    spec_replicas_path = ".spec.shards",
    status_replicas_path = ".status.shardCount",
    label_selector_path = ".status.selector"
))]
#[serde(rename_all = "camelCase")]
pub struct RedisClusterSpec {
    /// Container image of the server.
    pub image: String,

    /// Number of shards.
    #[serde(default = "default_shards")]
    pub shards: i32,

    /// Replicas of each shard.
    #[serde(default = "default_replicas_per_shard")]
    pub replicas_per_shard: i32,

    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Share of the memory limit that becomes `maxmemory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_percent: Option<i32>,

    /// Directives of redis.conf.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,

    /// Persistent storage of each pod; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// ACL users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,

    /// Kind of object that holds users.acl.
    #[serde(default)]
    pub acl_storage: AclStorage,

    /// What nodes tell clients about each other.
    #[serde(default)]
    pub client_endpoint: ClientEndpoint,

    /// How long a node may be unreachable before the others call it failing.
    #[serde(default = "default_cluster_node_timeout")]
    pub cluster_node_timeout: String,

    /// Affinity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Tolerations of the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// Labels that a host must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// How pods spread over hosts and zones; absent means the operator's own rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// `PriorityClass` of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// Secrets with credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Labels added to the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,

    /// Annotations added to the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Stops the operator from changing anything.
    #[serde(default)]
    pub paused: bool,
}

impl RedisClusterSpec {
    /// A spec that gives only the image: every other field has the default of the schema.
    pub fn with_image(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            shards: default_shards(),
            replicas_per_shard: default_replicas_per_shard(),
            resources: None,
            max_memory_percent: None,
            config: BTreeMap::new(),
            storage: None,
            users: Vec::new(),
            acl_storage: AclStorage::default(),
            client_endpoint: ClientEndpoint::default(),
            cluster_node_timeout: default_cluster_node_timeout(),
            affinity: None,
            tolerations: Vec::new(),
            node_selector: BTreeMap::new(),
            topology_spread_constraints: None,
            priority_class_name: None,
            image_pull_secrets: Vec::new(),
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            paused: false,
        }
    }
}

/// Kind of object that holds users.acl.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AclStorage {
    /// A `ConfigMap`; whoever may view the namespace sees the password hashes.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// What nodes tell clients about each other.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientEndpoint {
    /// The pod's IP address.
    #[default]
    #[serde(rename = "IP")]
    Ip,
    /// The pod's DNS name.
    Hostname,
}

fn default_shards() -> i32 {
    3
}

fn default_replicas_per_shard() -> i32 {
    1
}

fn default_cluster_node_timeout() -> String {
    "5s".to_owned()
}
