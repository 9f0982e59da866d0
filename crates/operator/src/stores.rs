//! The Kubernetes objects of one scope (a namespace, or all), as the watches last told of them. Passes read these and
//! not the API server, so that an idle pass costs it nothing.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keyslot_api::labels;
use keyslot_planner::ids::{HostName, ZoneName};
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{Lookup, ObjectRef, Store, store};

use crate::cluster::{ClusterRef, Guarded};

/// Well-known label of Kubernetes nodes.
const ZONE: &str = "topology.kubernetes.io/zone";

macro_rules! stores {
    ($($(#[$about:meta])* $field:ident: $kind:ty,)+) => {
        /// What the watches keep.
        #[derive(Clone)]
        pub struct Stores {
            $($(#[$about])* pub $field: Store<$kind>,)+
        }

        /// The writing ends, one for each watch.
        pub struct Writers {
            $($(#[$about])* pub $field: store::Writer<$kind>,)+
        }

        /// Empty stores and their writing ends.
        pub fn stores() -> (Stores, Writers) {
            $(let $field = kube::runtime::reflector::store::<$kind>();)+
            (Stores { $($field: $field.0,)+ }, Writers { $($field: $field.1,)+ })
        }
    };
}

stores! {
    /// The resources.
    clusters: Guarded,
    /// Pods with our label.
    pods: Pod,
    /// Each StatefulSet with our label.
    stateful_sets: StatefulSet,
    /// Each ConfigMap with our label.
    config_maps: ConfigMap,
    /// Secrets with our label: the ones that the operator makes.
    secrets: Secret,
    /// Secrets whose owners allow their use as passwords.
    user_passwords: Secret,
    /// Services with our label.
    services: Service,
    /// Budgets with our label.
    budgets: PodDisruptionBudget,
}

impl Stores {
    /// Ends when every watch has listed everything once.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.clusters.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.stateful_sets.wait_until_ready().await?;
        self.config_maps.wait_until_ready().await?;
        self.secrets.wait_until_ready().await?;
        self.user_passwords.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.budgets.wait_until_ready().await
    }

    /// The pods that carry the cluster's label.
    pub fn pods_of(&self, cluster: &ClusterRef) -> Vec<Arc<Pod>> {
        self.pods.state().into_iter().filter(|pod| belongs(pod.as_ref(), cluster)).collect()
    }
}

/// The object of that name in the cluster's namespace.
pub fn named<K>(store: &Store<K>, cluster: &ClusterRef, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::<K>::new(name).within(&cluster.namespace))
}

/// The cluster that an object's label names, in the object's own namespace.
pub fn cluster_of<K: Resource>(object: &K) -> Option<ClusterRef> {
    let metadata = object.meta();
    let name = metadata.labels.as_ref()?.get(labels::CLUSTER)?.clone();
    Some(ClusterRef { namespace: metadata.namespace.clone()?, name })
}

fn belongs<K: Resource>(object: &K, cluster: &ClusterRef) -> bool {
    let metadata = object.meta();
    metadata.namespace.as_deref() == Some(cluster.namespace.as_str())
        && metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(labels::CLUSTER))
            .is_some_and(|name| *name == cluster.name)
}

/// The zones of Kubernetes nodes. Without the permission to see nodes it stays empty, and placement goes by host only.
#[derive(Clone)]
pub struct Zones(pub Store<PartialObjectMeta<Node>>);

impl Zones {
    /// The zone of a host.
    pub fn of(&self, host: &HostName) -> Option<ZoneName> {
        let node = self.0.get(&ObjectRef::new(host.as_str()))?;
        let zone = node.metadata.labels.as_ref()?.get(ZONE)?;
        Some(ZoneName::new(zone.clone()))
    }
}
