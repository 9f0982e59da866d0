//! Secret `<name>-system` as the API server has it now, for what an old copy would decide wrongly.

use k8s_openapi::api::core::v1::Secret;
use keyslot_api::labels::CLUSTER;
use keyslot_planner::manifests::names;
use kube::api::{Api, Patch};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::objects::{self, Error, Owner};
use crate::ownership::{Ownership, ownership};

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
