//! Resources for tests: `a_cluster().shards(3).replicas(1).resource()`.

use keyslot_api::v1alpha1::{Persistence, RedisCluster, RedisClusterSpec, RetentionPolicy, Storage};
use keyslot_planner::desired::{Desired, Inputs, SystemMemory, SystemPasswords};

/// A resource to be.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    name: String,
    spec: RedisClusterSpec,
}

/// An ephemeral cluster of 3 shards with 1 replica each, named `demo`.
pub fn a_cluster() -> ClusterBuilder {
    ClusterBuilder { name: "demo".to_owned(), spec: RedisClusterSpec::with_image("redis:7.0") }
}

impl ClusterBuilder {
    /// Another name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Number of shards.
    #[must_use]
    pub const fn shards(mut self, shards: i32) -> Self {
        self.spec.shards = shards;
        self
    }

    /// Replicas of each shard.
    #[must_use]
    pub const fn replicas(mut self, replicas: i32) -> Self {
        self.spec.replicas_per_shard = replicas;
        self
    }

    /// With volumes.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.spec.storage = Some(Storage {
            size: k8s_openapi::apimachinery::pkg::api::resource::Quantity("1Gi".to_owned()),
            storage_class_name: None,
            persistence: Persistence::Aof,
            retention_policy: RetentionPolicy::default(),
        });
        self
    }

    /// Whatever else the spec needs.
    #[must_use]
    pub fn spec(mut self, change: impl FnOnce(&mut RedisClusterSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// The resource.
    pub fn resource(self) -> RedisCluster {
        let mut resource = RedisCluster::new(&self.name, self.spec);
        resource.metadata.namespace = Some("test".to_owned());
        resource.metadata.uid = Some("resource-uid".to_owned());
        resource.metadata.generation = Some(1);
        resource
    }

    /// What it wants before anything of it exists.
    pub fn desired(self) -> Desired {
        desired(&self.resource(), None, false)
    }
}

/// What a resource wants, with every system password made.
pub fn desired(resource: &RedisCluster, in_force: Option<RedisClusterSpec>, formed: bool) -> Desired {
    let password = |of: &str| Some(format!("password-of-{of}").into());
    let system = SystemMemory {
        passwords: SystemPasswords {
            operator: password("operator"),
            replication: password("replication"),
            probe: password("probe"),
        },
        formed,
        ..SystemMemory::default()
    };
    let inputs = Inputs { system, in_force, cluster_domain: "cluster.local".to_owned(), ..Inputs::default() };
    Desired::from_spec(resource, &inputs)
}
