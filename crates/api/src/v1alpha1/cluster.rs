//! The resource itself and the settings that concern the whole cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RedisClusterStatus, ResourceRequirements, Storage, User, rules, schema};

/// The wanted state of the cluster. Each field says how a change of it reaches a running cluster: `live`
/// changes the nodes in place, `roll` restarts the pods one by one, `immutable` is refused. This version
/// carries out changes of users and paused; all other accepted changes of a formed cluster wait, and the
/// condition `UpdatePending` names them.
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
    doc = "A sharded Redis (or Valkey) Cluster: its size, users, settings and storage.",
    validation = rules::NAME_LENGTH,
    validation = rules::NAME_SHAPE,
    validation = rules::NAME_ENDING,
    scale(
        spec_replicas_path = ".spec.shards",
        status_replicas_path = ".status.shardCount",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".spec.shards"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicasPerShard"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.readyNodes"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Pending",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='UpdatePending')].status",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.engine.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::TOTAL_NODES,
    validation = rules::STORAGE_STAYS,
    validation = rules::MAXMEMORY_ONCE,
    validation = rules::PERCENT_OF_LIMIT,
    validation = rules::SAVE_NEEDS_RDB,
    validation = rules::CLIENT_TIMEOUT,
    validation = rules::MOST_CLIENTS
)]
#[serde(rename_all = "camelCase")]
pub struct RedisClusterSpec {
    /// Container image of the server: Redis 7.0 or newer, or Valkey 7.2 or newer. Must contain
    /// redis-server (or valkey-server), redis-cli and sh, as the official images do. Engine and
    /// version are read from the running server, never from the tag. Limits: at most 512 characters;
    /// a tag other than `latest`, or a digest, since a restarted pod must come back with the same
    /// version. Change: roll.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::IMAGE_SHAPE, validation = rules::IMAGE_FIXED)]
    pub image: String,

    /// Number of shards; the 16384 slots are divided evenly among them. `kubectl scale --replicas`
    /// sets this field. With one or two shards the nodes can't elect a new primary by themselves.
    /// Default: 3. Limits: 1 to 500, and at most 1000 nodes in all. Change: live.
    #[serde(default = "default_shards")]
    #[schemars(range(min = 1, max = 500))]
    pub shards: i32,

    /// Replicas of each shard, besides its primary. With 0 a lost pod is a lost shard, and nothing
    /// protects it from being drained. Default: 1. Limits: 0 to 5, and at most 1000 nodes in all.
    /// Change: live.
    #[serde(default = "default_replicas_per_shard")]
    #[schemars(range(min = 0, max = 5))]
    pub replicas_per_shard: i32,

    /// CPU and memory of each pod. A memory limit also sets `maxmemory`, see `maxMemoryPercent`.
    /// Default: none. Limits: only `cpu` and `memory`; requests not above limits; a memory limit is
    /// at least 64Mi. Change: roll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Share of the memory limit, in percent, that becomes `maxmemory`. The rest is for buffers, and
    /// for copies while a snapshot or an append-only file is written. Default: 75 when there is a
    /// memory limit and `config.maxmemory` is not set. Limits: 10 to 95; not together with
    /// `config.maxmemory`; needs `resources.limits.memory`. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 95))]
    pub max_memory_percent: Option<i32>,

    /// Directives of redis.conf, by name. Quote numbers and yes/no, for values are strings; a
    /// directive with several words has them in one value, separated by spaces (`save: "900 1 300
    /// 10"`). Directives that Keyslot sets itself are refused by name; the reference lists them. What
    /// a server refuses is named by the condition `ConfigApplied`. Default: the server's own, except
    /// `cluster-require-full-coverage` no, so that a lost shard does not stop the others. Limits: 64
    /// directives; values of at most 1024 printable ASCII characters without quotes and backslashes.
    /// Change: live where the server can, else roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::config")]
    pub config: BTreeMap<String, String>,

    /// Persistent storage of each pod. Absent means none: data lives in memory only and a pod that
    /// restarts gets it back from another copy of its shard. Change: immutable as a whole, see its
    /// fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::STORAGE_MINIMUM,
        validation = rules::STORAGE_GROWS,
        validation = rules::STORAGE_CLASS_STAYS
    )]
    pub storage: Option<Storage>,

    /// ACL users, by name. The user `default` is switched off unless it is listed here. Default:
    /// none. Limits: 200 users with different names. Change: live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = rules::USER_SECRETS_DIFFER,
        validation = rules::USER_DEFAULT_SECRETS_DIFFER,
        validation = rules::USER_SECRET_NOT_ANOTHERS
    )]
    pub users: Vec<User>,

    /// Kind of object that holds users.acl, which has rules and SHA-256 hashes of passwords.
    /// `ConfigMap`, or `Secret` for those who do not want the hashes readable by the role `view`.
    /// Default: ConfigMap. Change: roll.
    #[serde(default)]
    pub acl_storage: AclStorage,

    /// What nodes tell clients about each other: `IP`, the pod's address, or `Hostname`, the pod's
    /// DNS name, which stays when a pod moves and suits TLS and clients that connect by name.
    /// Default: IP. Change: live.
    #[serde(default)]
    pub client_endpoint: ClientEndpoint,

    /// How long a node must be silent before the others call it failing and elect another primary.
    /// Lower heals faster, but takes a short stall for a failure. Default: 5s. Limits: 2s to 30s, in
    /// whole seconds (`5s`) or milliseconds (`2500ms`). Change: live.
    #[serde(default = "default_cluster_node_timeout")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = rules::NODE_TIMEOUT)]
    pub cluster_node_timeout: String,

    /// Affinity of the pods, as in Kubernetes. Default: none; `topologySpreadConstraints` spread the
    /// pods. Change: roll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Tolerations of the pods, as in Kubernetes. Default: none. Limits: 32. Change: roll.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,

    /// Labels that a host must have to run the pods. Default: none. Limits: 32 labels. Change: roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::node_labels")]
    pub node_selector: BTreeMap<String, String>,

    /// How the pods spread over hosts and zones, as in Kubernetes. Default: evenly over hosts and over
    /// zones, where possible; your own list replaces that, and an empty list switches it off. Limits: 8.
    /// Change: roll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::topology_spread_constraints")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// `PriorityClass` of the pods. Default: the Kubernetes cluster's own. Change: roll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::DNS_SUBDOMAIN)]
    pub priority_class_name: Option<String>,

    /// Secrets with credentials for the image's registry. Default: none. Limits: 16. Change: roll.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::image_pull_secrets")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Labels added to the pods. Default: none. Limits: 32; keys under `keyslot.dev/` and
    /// `app.kubernetes.io/` are Keyslot's own. Change: roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::pod_labels")]
    pub pod_labels: BTreeMap<String, String>,

    /// Annotations added to the pods. Default: none. Limits: 32, with values of at most 4096
    /// characters; keys under `keyslot.dev/` and `app.kubernetes.io/` are Keyslot's own. Change:
    /// roll.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::pod_annotations")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Stops the operator from changing anything at all: no failover, no repair, no change of users.
    /// It only reports. Default: false. Change: live.
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
