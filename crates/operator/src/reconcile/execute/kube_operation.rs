//! One operation on a Kubernetes object.

use std::fmt::Debug;

use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret};
use keyslot_api::labels;
use keyslot_planner::Desired;
use keyslot_planner::ids::{ShardNumber, Uid};
use keyslot_planner::manifests::{FORMED, names, retention};
use keyslot_planner::observed::RoleLabel;
use keyslot_planner::plan::KubeOperation;
use kube::api::{Api, DeleteParams, Patch, Preconditions};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Executed;
use crate::context::Context;
use crate::metrics::Loop;
use crate::nodes::Nodes;
use crate::objects::{self, Created, Error};
use crate::reconcile::system_secret;

/// Carries it out.
pub async fn carry_out<N: Nodes>(desired: &Desired, operation: &KubeOperation, ctx: &Context<N>) -> Executed {
    if !ctx.leadership.is_held() {
        return Executed::NotLeader;
    }
    let done = match operation {
        KubeOperation::Create(manifest) => match objects::create(&ctx.client, desired.into(), manifest).await
        {
            Ok(Created::New) => Ok(()),
            Ok(Created::There(_)) => return Executed::NotYet(super::WATCH_LAG),
            Err(error) => Err(error),
        },
        KubeOperation::Apply { manifest, uid, version } => {
            let seen = (uid, version.as_deref());
            objects::apply(&ctx.client, &desired.namespace, manifest, seen).await
        }
        KubeOperation::ScaleUp { uid, replicas } => scale_up(desired, uid, *replicas, &ctx.client).await,
        KubeOperation::Label { pod, uid, shard, role } => {
            let patch = label_patch(uid, *shard, *role);
            patched::<Pod>(&ctx.client, &desired.namespace, pod.as_str(), &patch).await
        }
        KubeOperation::DeletePod { pod, uid } => delete_pod(desired, pod.as_str(), uid, &ctx.client).await,
        KubeOperation::Retention { uid, policy } => {
            let policy = json!({ "persistentVolumeClaimRetentionPolicy": retention(*policy) });
            let patch = json!({ "metadata": { "uid": uid.as_str() }, "spec": policy });
            patched::<StatefulSet>(&ctx.client, &desired.namespace, &desired.name, &patch).await
        }
        KubeOperation::MarkFormed => mark_formed(desired, &ctx.client).await,
    };
    let Err(error) = done else { return Executed::Done };
    if let Error::Foreign { object } = &error {
        remember_foreign(desired, object, ctx);
    }
    Executed::refused(words(operation), &error)
}

fn remember_foreign<N: Nodes>(desired: &Desired, object: &str, ctx: &Context<N>) {
    let metadata = kube::api::ObjectMeta {
        namespace: Some(desired.namespace.clone()),
        name: Some(desired.name.clone()),
        uid: Some(desired.uid.as_str().to_owned()),
        ..Default::default()
    };
    if ctx.memory.of(&metadata).found_foreign(object.to_owned()) {
        ctx.metrics.error(Loop::Topology, "ResourceConflict");
    }
}

/// The operation for people.
fn words(operation: &KubeOperation) -> String {
    match operation {
        KubeOperation::Create(manifest) => format!("create {manifest:?}"),
        KubeOperation::Apply { manifest, .. } => format!("apply {manifest:?}"),
        KubeOperation::ScaleUp { replicas, .. } => format!("scale the StatefulSet up to {replicas}"),
        KubeOperation::Label { pod, .. } => format!("label pod {pod}"),
        KubeOperation::DeletePod { pod, .. } => format!("delete pod {pod}"),
        KubeOperation::Retention { .. } => "set the retention policy of the volumes".to_owned(),
        KubeOperation::MarkFormed => "set the marker formed".to_owned(),
    }
}

/// Upwards only, decided on the very version that is written to: fewer pods than before would be a loss of data.
async fn scale_up(desired: &Desired, uid: &Uid, replicas: u32, client: &Client) -> Result<(), Error> {
    let object = format!("StatefulSet/{}", desired.name);
    let failed = |source| Error::Api { object: object.clone(), source };
    let api = Api::<StatefulSet>::namespaced(client.clone(), &desired.namespace);
    let Some(set) = api.get_opt(&desired.name).await.map_err(failed)? else {
        return Err(Error::Replaced { object });
    };
    let present = set.spec.and_then(|spec| spec.replicas).and_then(|r| u32::try_from(r).ok()).unwrap_or(1);
    if present >= replicas {
        return Ok(());
    }
    let patch = json!({
        "metadata": { "uid": uid.as_str(), "resourceVersion": set.metadata.resource_version },
        "spec": { "replicas": replicas },
    });
    patched::<StatefulSet>(client, &desired.namespace, &desired.name, &patch).await
}

/// Into the very Secret that is this resource's own: a namesake's passwords belong to another cluster.
async fn mark_formed(desired: &Desired, client: &Client) -> Result<(), Error> {
    let Some(secret) = system_secret::live(desired.into(), client).await? else {
        return Err(Error::Replaced { object: format!("Secret/{}", names::system(&desired.name)) });
    };
    let patch = json!({
        "metadata": { "uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version },
        "data": { FORMED: ByteString(b"true".to_vec()) },
    });
    patched::<Secret>(client, &desired.namespace, &names::system(&desired.name), &patch).await
}

fn label_patch(uid: &Uid, shard: Option<ShardNumber>, role: Option<RoleLabel>) -> Value {
    json!({ "metadata": { "uid": uid.as_str(), "labels": {
        // Null takes a label away.
        labels::SHARD: shard.map(|number| number.to_string()),
        labels::ROLE: role.map(RoleLabel::as_str),
    }}})
}

async fn delete_pod(desired: &Desired, pod: &str, uid: &Uid, client: &Client) -> Result<(), Error> {
    let this_very_pod = Preconditions { uid: Some(uid.as_str().to_owned()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(this_very_pod), ..DeleteParams::default() };
    match Api::<Pod>::namespaced(client.clone(), &desired.namespace).delete(pod, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(Error::Api { object: format!("Pod/{pod}"), source }),
    }
}

/// A merge patch. With a uid in it the API server refuses to write to another object of that name.
async fn patched<K>(client: &Client, namespace: &str, name: &str, patch: &Value) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let object = format!("{}/{name}", K::kind(&()));
    let api = Api::<K>::namespaced(client.clone(), namespace);
    match api.patch_metadata(name, &objects::merge(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Err(Error::Replaced { object })
        }
        Err(source) => Err(Error::Api { object, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_without_value_is_taken_away() {
        let patch = label_patch(&Uid::new("u"), Some(3), None);
        assert_eq!(patch["metadata"]["labels"][labels::SHARD], json!("3"));
        assert_eq!(patch["metadata"]["labels"][labels::ROLE], Value::Null);
        assert_eq!(patch["metadata"]["uid"], json!("u"));
    }
}
