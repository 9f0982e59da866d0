//! ConfigMap `<name>-connection`: where the cluster is, without secrets.

use k8s_openapi::api::core::v1::ConfigMap;

use super::meta::{Owner, client_host, nodes};
use super::{Manifest, names};
use crate::command::REDIS_PORT;
use crate::desired::Desired;

/// Host and port of the client Service, and all nodes.
pub fn connection(desired: &Desired) -> Manifest {
    let data = [("host", client_host(desired)), ("port", REDIS_PORT.to_string()), ("nodes", nodes(desired))];
    Manifest::ConfigMap(ConfigMap {
        metadata: Owner::from(desired).metadata(names::connection(&desired.name)),
        data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
        ..ConfigMap::default()
    })
}
