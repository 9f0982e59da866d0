//! Which cluster: the key of everything that the operator remembers per resource.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyslot_api::v1alpha1::RedisCluster;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;

/// A resource as the watch hands it out: one that can't be decoded must not break the watch for all others.
pub type Guarded = DeserializeGuard<RedisCluster>;

/// Namespace and name of a `RedisCluster`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClusterRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name, the prefix of all its objects.
    pub name: String,
}

impl ClusterRef {
    /// The resource that this metadata belongs to.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The key of kube's stores and queues.
    pub fn object_ref(&self) -> ObjectRef<Guarded> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl From<&ObjectRef<Guarded>> for ClusterRef {
    fn from(object: &ObjectRef<Guarded>) -> Self {
        Self { namespace: object.namespace.clone().unwrap_or_default(), name: object.name.clone() }
    }
}

impl fmt::Display for ClusterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
