//! Writing Kubernetes objects: created by POST, changed by server-side apply under the uid that was seen, so that
//! neither a stranger's object nor a re-created namesake is ever written to.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use keyslot_api::labels::{CLUSTER, FIELD_MANAGER};
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::ids::Uid;
use keyslot_planner::{Desired, Manifest};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::ownership::{Ownership, ownership};

mod error;

pub use error::{Error, api_reason, namespace_goes, words};

/// Whose objects are written.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Namespace of the resource and its objects.
    pub namespace: &'a str,
    /// The resource's name.
    pub name: &'a str,
    /// The resource's uid.
    pub uid: &'a Uid,
}

impl<'a> From<&'a Desired> for Owner<'a> {
    fn from(desired: &'a Desired) -> Self {
        Self { namespace: &desired.namespace, name: &desired.name, uid: &desired.uid }
    }
}

/// Calls a generic function with the object inside a manifest.
macro_rules! on_each_kind {
    ($manifest:expr, $object:ident => $call:expr) => {
        match $manifest {
            Manifest::ConfigMap($object) => $call,
            Manifest::Secret($object) => $call,
            Manifest::Service($object) => $call,
            Manifest::StatefulSet($object) => $call,
            Manifest::PodDisruptionBudget($object) => $call,
        }
    };
}

/// What a POST found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Nothing: the object is new.
    New,
    /// An object of ours that the watch has not shown yet.
    There(Uid),
}

/// Makes an object. One of ours that is there already is left as it is, but for the label that the watches go by.
pub async fn create(client: &Client, owner: Owner<'_>, manifest: &Manifest) -> Result<Created, Error> {
    on_each_kind!(manifest, object => create_one(client, owner, object, manifest.key()).await)
}

/// Brings an object of ours, that was seen with this uid and perhaps in this version only, to what the manifest says.
pub async fn apply(
    client: &Client,
    namespace: &str,
    manifest: &Manifest,
    seen: (&Uid, Option<&str>),
) -> Result<(), Error> {
    on_each_kind!(manifest, object => apply_one(client, namespace, object, (manifest.key(), seen)).await)
}

/// The manifest as it is sent.
pub fn rendered(manifest: &Manifest) -> serde_json::Value {
    on_each_kind!(manifest, object => serde_json::to_value(object)).unwrap_or_default()
}

/// Who has an object of this key: nobody, or somebody.
pub async fn owner_of(
    client: &Client,
    owner: Owner<'_>,
    key: &str,
) -> Result<Option<Ownership>, kube::Error> {
    let Some((kind, name)) = key.split_once('/') else { return Ok(None) };
    let there = match kind {
        "ConfigMap" => metadata::<ConfigMap>(client, owner, name).await?,
        "Secret" => metadata::<Secret>(client, owner, name).await?,
        "Service" => metadata::<Service>(client, owner, name).await?,
        "StatefulSet" => metadata::<StatefulSet>(client, owner, name).await?,
        "PodDisruptionBudget" => metadata::<PodDisruptionBudget>(client, owner, name).await?,
        _ => None,
    };
    Ok(there.map(|metadata| ownership(&metadata, owner.uid, owner.name)))
}

async fn metadata<K>(client: &Client, owner: Owner<'_>, name: &str) -> Result<Option<ObjectMeta>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    Ok(api.get_metadata_opt(name).await?.map(|there| there.metadata))
}

/// Parameters of a merge patch in our name.
pub fn merge() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Parameters of a POST in our name.
pub fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

async fn create_one<K>(client: &Client, owner: Owner<'_>, object: &K, key: String) -> Result<Created, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let lives = lives(client, owner).await;
    if !lives.map_err(|source| Error::Api { object: key.clone(), source })? {
        return Err(Error::Ownerless { object: key });
    }
    match api.create(&post(), object).await {
        Ok(_) => return Ok(Created::New),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        // What is there goes, and so does the resource.
        Err(source) if namespace_goes(&source) => return Err(Error::Leftover { object: key }),
        Err(source) => return Err(Error::Api { object: key, source }),
    }
    let failed = |source| Error::Api { object: key.clone(), source };
    let name = object.meta().name.as_deref().unwrap_or_default();
    let Some(there) = api.get_metadata_opt(name).await.map_err(failed)? else {
        return Err(Error::Replaced { object: key });
    };
    match ownership(&there.metadata, owner.uid, owner.name) {
        Ownership::Leftover => return Err(Error::Leftover { object: key }),
        Ownership::Foreign => return Err(Error::Foreign { object: key }),
        Ownership::Own => {}
    }
    let uid = uid_of(&there.metadata);
    let labelled = there.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CLUSTER));
    if !labelled {
        let patch = json!({ "metadata": { "uid": uid.as_str(), "labels": object.meta().labels } });
        api.patch_metadata(name, &merge(), &Patch::Merge(&patch)).await.map_err(failed)?;
    }
    Ok(Created::There(uid))
}

/// Whether the resource is still there, asked of the API server itself: after a start the watch may show one that was
/// deleted long ago, and what would be made for it now could be pods.
async fn lives(client: &Client, owner: Owner<'_>) -> Result<bool, kube::Error> {
    Ok(resource(client, owner).await?.is_some_and(|there| there.deletion_timestamp.is_none()))
}

/// This very resource as the API server has it now, if it is there.
pub async fn resource(client: &Client, owner: Owner<'_>) -> Result<Option<ObjectMeta>, kube::Error> {
    let api = Api::<RedisCluster>::namespaced(client.clone(), owner.namespace);
    let there = api.get_metadata_opt(owner.name).await?.map(|there| there.metadata);
    Ok(there.filter(|there| uid_of(there) == *owner.uid))
}

async fn apply_one<K>(
    client: &Client,
    namespace: &str,
    object: &K,
    (key, (uid, version)): (String, (&Uid, Option<&str>)),
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let failed = |source| match source {
        // Under server-side apply with force only another uid or version conflicts.
        kube::Error::Api(status) if status.is_conflict() => Error::Replaced { object: key.clone() },
        source => Error::Api { object: key.clone(), source },
    };
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let name = object.meta().name.as_deref().unwrap_or_default();
    let there = api.get_metadata_opt(name).await.map_err(failed)?;
    let is_seen = |there: &ObjectMeta| {
        uid_of(there) == *uid && (version.is_none() || version == there.resource_version.as_deref())
    };
    let Some(mut there) = there.map(|there| there.metadata).filter(is_seen) else {
        return Err(Error::Replaced { object: key.clone() });
    };
    if let Some(books) = applied_books(&there) {
        let patch = json!({ "metadata": {
            "uid": uid.as_str(),
            "resourceVersion": there.resource_version,
            "managedFields": books,
        }});
        there = api.patch_metadata(name, &merge(), &Patch::Merge(&patch)).await.map_err(failed)?.metadata;
    }
    let mut wanted = object.clone();
    wanted.meta_mut().uid = Some(uid.as_str().to_owned());
    wanted.meta_mut().namespace = Some(namespace.to_owned());
    wanted.meta_mut().resource_version = there.resource_version.filter(|_| version.is_some());
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&wanted))
        .await
        .map_err(failed)?;
    Ok(())
}

/// The books of field managers with our POST rewritten as an apply; `None` when there is nothing to rewrite. A field
/// that was set by POST is otherwise kept for ever when a later apply leaves it out, because the API server keeps
/// creating and applying by one manager in two books.
fn applied_books(metadata: &ObjectMeta) -> Option<Vec<ManagedFieldsEntry>> {
    let books = metadata.managed_fields.as_deref()?;
    let ours = |entry: &ManagedFieldsEntry, operation: &str| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.is_none()
    };
    // With a book of applies there already, the rest was not set by a POST.
    if books.iter().any(|entry| ours(entry, "Apply")) || !books.iter().any(|entry| ours(entry, "Update")) {
        return None;
    }
    let mut books = books.to_vec();
    for entry in books.iter_mut().filter(|entry| ours(entry, "Update")) {
        entry.operation = Some("Apply".to_owned());
    }
    Some(books)
}

fn uid_of(metadata: &ObjectMeta) -> Uid {
    Uid::new(metadata.uid.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        }
    }

    fn books(entries: Vec<ManagedFieldsEntry>) -> ObjectMeta {
        ObjectMeta { managed_fields: Some(entries), ..ObjectMeta::default() }
    }

    #[test]
    fn what_we_created_becomes_what_we_applied() {
        let created =
            books(vec![entry("keyslot", "Update", None), entry("kubelet", "Update", Some("status"))]);
        let rewritten = applied_books(&created).unwrap();
        assert_eq!(rewritten[0].operation.as_deref(), Some("Apply"));
        assert_eq!(rewritten[1].operation.as_deref(), Some("Update"));
    }

    #[test]
    fn books_of_others_and_earlier_applies_stay() {
        assert!(applied_books(&books(vec![entry("kubectl", "Update", None)])).is_none());
        let applied = books(vec![entry("keyslot", "Apply", None), entry("keyslot", "Update", None)]);
        assert!(applied_books(&applied).is_none());
        assert!(applied_books(&ObjectMeta::default()).is_none());
    }
}
