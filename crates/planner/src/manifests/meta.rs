//! What all objects have in common: owner, labels, addresses.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use keyslot_api::labels;
use keyslot_api::v1alpha1::RedisCluster;

use crate::command::REDIS_PORT;
use crate::desired::Desired;
use crate::manifests::names;

/// The resource that an object is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
}

impl<'a> From<&'a Desired> for Owner<'a> {
    fn from(desired: &'a Desired) -> Self {
        Self { name: &desired.name, namespace: &desired.namespace, uid: desired.uid.as_str() }
    }
}

impl<'a> From<&'a RedisCluster> for Owner<'a> {
    fn from(cluster: &'a RedisCluster) -> Self {
        let metadata = &cluster.metadata;
        Self {
            name: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
        }
    }
}

impl Owner<'_> {
    /// Metadata of an object: deleted with the resource, and marked as ours, which is how we know it again.
    pub(super) fn metadata(self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(self.labels()),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/v1alpha1", labels::GROUP),
                kind: "RedisCluster".to_owned(),
                name: self.name.to_owned(),
                uid: self.uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }

    /// Labels of every object.
    pub(super) fn labels(self) -> BTreeMap<String, String> {
        [
            (labels::APP_NAME, labels::APP_NAME_VALUE),
            (labels::APP_INSTANCE, self.name),
            (labels::APP_MANAGED_BY, labels::FIELD_MANAGER),
            (labels::CLUSTER, self.name),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// What selects the pods. A StatefulSet's selector can't be changed: neither may this.
    pub(super) fn selector(self) -> BTreeMap<String, String> {
        [(labels::CLUSTER, self.name), (labels::APP_COMPONENT, labels::APP_COMPONENT_SERVER)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// The same as a selector.
    pub(super) fn label_selector(self) -> LabelSelector {
        LabelSelector { match_labels: Some(self.selector()), match_expressions: None }
    }
}

/// Host name of the Service that clients use.
pub(super) fn client_host(desired: &Desired) -> String {
    format!("{}.{}.svc.{}", names::client(&desired.name), desired.namespace, desired.cluster_domain)
}

/// `host:port` of every pod, with commas: seeds for clients that want several.
pub(super) fn nodes(desired: &Desired) -> String {
    let Desired { name, namespace, cluster_domain, .. } = desired;
    let pods = 0..desired.pod_count();
    let nodes: Vec<String> = pods
        .map(|pod| format!("{name}-{pod}.{name}.{namespace}.svc.{cluster_domain}:{REDIS_PORT}"))
        .collect();
    nodes.join(",")
}
