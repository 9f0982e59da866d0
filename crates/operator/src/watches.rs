//! The watches of one scope: they fill the stores and tell both loops which cluster was touched.
//!
//! Every kind is watched once for both loops. Whatever is touched, deletions included, is mapped to its cluster by
//! label, or by reference for the Secrets that users bring.

use std::collections::HashMap;
use std::fmt::Debug;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::labels;
use keyslot_api::v1alpha1::RedisCluster;
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::cluster::{ClusterRef, Guarded};
use crate::stores::{Stores, Writers, Zones, cluster_of};

/// Asks the loops to look at a cluster soon.
#[derive(Clone)]
pub struct Triggers {
    /// The topology loop's queue.
    pub topology: UnboundedSender<ObjectRef<Guarded>>,
    /// The settings loop's queue.
    pub settings: UnboundedSender<ObjectRef<Guarded>>,
}

impl Triggers {
    /// Something was touched that both loops look at.
    pub fn both(&self, cluster: &ClusterRef) {
        self.topology(cluster);
        self.settings(cluster);
    }

    /// The settings loop is to look.
    pub fn settings(&self, cluster: &ClusterRef) {
        // A closed queue belongs to a loop that has stopped.
        let _ = self.settings.unbounded_send(cluster.object_ref());
    }

    /// Something was touched that only the topology loop looks at.
    pub fn topology(&self, cluster: &ClusterRef) {
        let _ = self.topology.unbounded_send(cluster.object_ref());
    }

    /// Every cluster of the scope, e.g. because events may have been missed.
    pub fn all(&self, clusters: &Store<Guarded>) {
        for cluster in clusters.state() {
            self.both(&ClusterRef::of(cluster.meta()));
        }
    }
}

/// The watches of one scope and what they need.
pub struct Scope {
    /// For the watches.
    pub client: Client,
    /// The namespace, or all.
    pub namespace: Option<String>,
    /// What is filled.
    pub stores: Stores,
    /// Who is told.
    pub triggers: Triggers,
}

impl Scope {
    /// Starts all watches of the scope. They end when the set is dropped.
    pub fn watch(
        &self,
        writers: Writers,
        mut forget: impl FnMut(&ClusterRef) + Send + 'static,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let mut specs = SpecChanges::default();
        let triggers = self.triggers.clone();
        tasks.spawn(self.follow(
            watcher::Config::default(),
            writers.clusters,
            move |cluster: &Guarded, deleted| {
                let name = ClusterRef::of(cluster.meta());
                if deleted {
                    specs.forget(&name);
                    forget(&name);
                } else if specs.is_new(&name, cluster) {
                    triggers.both(&name);
                }
            },
        ));
        let labelled = || watcher::Config::default().labels(labels::CLUSTER);
        tasks.spawn(self.follow(labelled(), writers.pods, self.tell_both()));
        tasks.spawn(self.follow(labelled(), writers.config_maps, self.tell_both()));
        tasks.spawn(self.follow(labelled(), writers.secrets, self.tell_both()));
        tasks.spawn(self.follow(labelled(), writers.stateful_sets, self.tell_topology()));
        tasks.spawn(self.follow(labelled(), writers.services, self.tell_topology()));
        tasks.spawn(self.follow(labelled(), writers.budgets, self.tell_topology()));
        let consenting = format!("{}={}", labels::USER_PASSWORD, labels::USER_PASSWORD_CONSENT);
        let consenting = watcher::Config::default().labels(&consenting);
        tasks.spawn(self.follow(consenting, writers.user_passwords, self.tell_users_of_secret()));
        tasks
    }

    fn tell_both<K: Resource>(&self) -> impl FnMut(&K, bool) + Send + 'static {
        let triggers = self.triggers.clone();
        move |object, _| {
            if let Some(cluster) = cluster_of(object) {
                triggers.both(&cluster);
            }
        }
    }

    fn tell_topology<K: Resource>(&self) -> impl FnMut(&K, bool) + Send + 'static {
        let triggers = self.triggers.clone();
        move |object, _| {
            if let Some(cluster) = cluster_of(object) {
                triggers.topology(&cluster);
            }
        }
    }

    fn tell_users_of_secret(&self) -> impl FnMut(&Secret, bool) + Send + 'static {
        let (triggers, clusters) = (self.triggers.clone(), self.stores.clusters.clone());
        move |secret, _| {
            let namespace = secret.namespace();
            for cluster in clusters.state() {
                let Ok(cluster) = &cluster.0 else { continue };
                if cluster.namespace() == namespace && refers_to(cluster, &secret.name_any()) {
                    triggers.both(&ClusterRef::of(cluster.meta()));
                }
            }
        }
    }

    fn follow<K>(
        &self,
        config: watcher::Config,
        writer: Writer<K>,
        touched: impl FnMut(&K, bool) + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        Api<K>: ScopedApi,
    {
        let api = Api::<K>::scoped(self.client.clone(), self.namespace.as_deref());
        let (triggers, clusters) = (self.triggers.clone(), self.stores.clusters.clone());
        follow(api, config, writer, touched, move || triggers.all(&clusters))
    }
}

/// An [`Api`] of one namespace or of all.
trait ScopedApi {
    fn scoped(client: Client, namespace: Option<&str>) -> Self;
}

impl<K> ScopedApi for Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    fn scoped(client: Client, namespace: Option<&str>) -> Self {
        match namespace {
            Some(namespace) => Self::namespaced(client, namespace),
            None => Self::all(client),
        }
    }
}

/// The zones of nodes, and the watch that fills them. Nodes are re-read seldom enough that nobody is told.
pub fn zones(client: Client) -> (Zones, impl Future<Output = ()> + Send + 'static) {
    let (nodes, writer) = reflector::store();
    (Zones(nodes), follow(Api::all(client), watcher::Config::default(), writer, |_, _| {}, || {}))
}

/// Keeps a store up to date for ever. `touched` hears of single objects and whether they were deleted; `listed` says
/// that everything was read anew, so that deletions may have been missed.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    mut touched: impl FnMut(&K, bool),
    mut listed: impl FnMut(),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let events = watcher(api, config).default_backoff().modify(strip).reflect(writer);
    let mut events = std::pin::pin!(events);
    let mut trouble = None;
    while let Some(event) = events.next().await {
        if event.is_ok() {
            trouble = None;
        }
        match event {
            Ok(Event::Apply(object)) => touched(&object, false),
            Ok(Event::Delete(object)) => touched(&object, true),
            // Only with the end of the list is the store filled.
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => listed(),
            Err(error) => {
                let (words, kind) = (error.to_string(), K::kind(&()));
                if trouble.as_ref() == Some(&words) {
                    debug!(error = words, %kind, "a watch was interrupted again");
                } else {
                    warn!(error = words, %kind, "a watch was interrupted");
                    trouble = Some(words);
                }
            }
        }
    }
}

/// Field managers' books are most of an object's size, and nobody here reads them.
fn strip<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

fn refers_to(cluster: &RedisCluster, secret: &str) -> bool {
    let passwords = cluster.spec.users.iter().flat_map(|user| &user.passwords);
    passwords
        .filter_map(|password| password.secret_key_ref.as_ref())
        .any(|reference| reference.name == secret)
}

/// Tells a changed resource from one whose status we wrote ourselves.
#[derive(Default)]
struct SpecChanges(HashMap<ClusterRef, Fingerprint>);

/// What changes when a person touches a resource, and does not when its status is written.
#[derive(PartialEq, Eq)]
struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    deleting: bool,
    annotations: Vec<(String, String)>,
}

impl SpecChanges {
    fn is_new(&mut self, name: &ClusterRef, cluster: &Guarded) -> bool {
        let metadata = cluster.meta();
        let fingerprint = Fingerprint {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            annotations: metadata.annotations.clone().unwrap_or_default().into_iter().collect(),
        };
        let same = self.0.get(name) == Some(&fingerprint);
        self.0.insert(name.clone(), fingerprint);
        !same
    }

    fn forget(&mut self, name: &ClusterRef) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_api::v1alpha1::{Password, RedisClusterSpec, SecretKeyRef, User};
    use kube::core::DeserializeGuard;

    fn cluster(generation: i64) -> RedisCluster {
        let mut cluster = RedisCluster::new("demo", RedisClusterSpec::with_image("redis:8.0"));
        cluster.metadata.namespace = Some("shop".to_owned());
        cluster.metadata.uid = Some("u-1".to_owned());
        cluster.metadata.generation = Some(generation);
        cluster
    }

    #[test]
    fn only_what_a_person_changes_is_news() {
        let mut changes = SpecChanges::default();
        let name = ClusterRef::of(&cluster(1).metadata);
        assert!(changes.is_new(&name, &DeserializeGuard(Ok(cluster(1)))));
        let mut reported = cluster(1);
        reported.status = Some(keyslot_api::v1alpha1::RedisClusterStatus::default());
        reported.metadata.resource_version = Some("77".to_owned());
        assert!(!changes.is_new(&name, &DeserializeGuard(Ok(reported))));
        assert!(changes.is_new(&name, &DeserializeGuard(Ok(cluster(2)))));
        let mut recreated = cluster(2);
        recreated.metadata.uid = Some("u-2".to_owned());
        assert!(changes.is_new(&name, &DeserializeGuard(Ok(recreated))));
    }

    #[test]
    fn a_users_secret_concerns_the_clusters_that_refer_to_it() {
        let mut shop = cluster(1);
        let key = SecretKeyRef { name: "worker-password".to_owned(), key: "password".to_owned() };
        shop.spec.users = vec![User {
            name: "worker".to_owned(),
            enabled: true,
            rules: Vec::new(),
            selectors: Vec::new(),
            passwords: vec![Password { secret_key_ref: Some(key), sha256: None }],
            rotation: None,
            secret_name: None,
        }];
        assert!(refers_to(&shop, "worker-password"));
        assert!(!refers_to(&shop, "other"));
    }
}
