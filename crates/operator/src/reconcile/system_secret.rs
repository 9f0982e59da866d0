//! Secret `<name>-system` as it is now. An old copy would decide wrongly: passwords that have ended would be valid again, and
//! those in use would end.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use keyslot_api::labels::CLUSTER;
use keyslot_planner::manifests::names;
use kube::api::{Api, Patch};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::objects::{self, Error, Owner};
use crate::ownership::{Ownership, ownership};

/// The newer of the watch's copy and of what this process has read or written itself: the list that a watch begins with may
/// be old, and what was just written takes a moment to come back. Versions of one kind of object are numbers that grow
/// (Kubernetes, KEP-5504).
pub fn newest(copy: Arc<Secret>, known: Option<Arc<Secret>>) -> Arc<Secret> {
    let version = |secret: &Secret| secret.resource_version().and_then(|text| text.parse::<u64>().ok());
    match known {
        Some(known) if version(&known) > version(&copy) => known,
        Some(_) | None => copy,
    }
}

/// The Secret, if it is this resource's own. One that was put back without our label gets it, for the watches go by it.
pub async fn live(owner: Owner<'_>, client: &Client) -> Result<Option<Secret>, Error> {
    let name = names::system(owner.name);
    let object = format!("Secret/{name}");
    let api = Api::<Secret>::namespaced(client.clone(), owner.namespace);
    let failed = |source| Error::Api { object: object.clone(), source };
    let Some(secret) = api.get_opt(&name).await.map_err(failed)? else { return Ok(None) };
    match ownership(&secret.metadata, owner.uid, owner.name) {
        Ownership::Own => {}
        Ownership::Leftover => return Err(Error::Leftover { object }),
        Ownership::Foreign => return Err(Error::Foreign { object }),
    }
    if !secret.labels().contains_key(CLUSTER) {
        let labels = json!({ CLUSTER: owner.name });
        let patch = json!({ "metadata": { "uid": secret.metadata.uid, "labels": labels } });
        return api.patch(&name, &objects::merge(), &Patch::Merge(&patch)).await.map(Some).map_err(failed);
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_counts_unless_this_process_knows_a_newer_version() {
        let of = |version: &str| {
            let mut secret = Secret::default();
            secret.metadata.resource_version = Some(version.to_owned());
            Arc::new(secret)
        };
        let newest = |copy, known: Option<&str>| newest(of(copy), known.map(of)).resource_version().unwrap();
        assert_eq!(newest("9", None), "9");
        assert_eq!(newest("9", Some("10")), "10", "a number, no text");
        assert_eq!(newest("10", Some("9")), "10");
        assert_eq!(newest("what a number is", Some("also not")), "what a number is");
    }
}
