//! Secret `<name>-system` as the API server has it now, for what an old copy would decide wrongly.

use k8s_openapi::api::core::v1::Secret;
use keyslot_planner::manifests::names;
use kube::Client;
use kube::api::Api;

use crate::objects::{Error, Owner};
use crate::ownership::{Ownership, ownership};

/// The Secret, if it is this resource's own.
pub async fn live(owner: Owner<'_>, client: &Client) -> Result<Option<Secret>, Error> {
    let name = names::system(owner.name);
    let api = Api::<Secret>::namespaced(client.clone(), owner.namespace);
    let found = api.get_opt(&name).await;
    let found = found.map_err(|source| Error::Api { object: format!("Secret/{name}"), source })?;
    Ok(found.filter(|secret| ownership(&secret.metadata, owner.uid, owner.name) == Ownership::Own))
}
