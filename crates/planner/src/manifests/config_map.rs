//! ConfigMap `<name>-config`: redis.conf and the scripts, and from what they were made.

use k8s_openapi::api::core::v1::ConfigMap;

use super::meta::Owner;
use super::{Manifest, names};
use crate::config::{CONFIG_FILE, redis_conf};
use crate::desired::Desired;
use crate::scripts;

/// File with the spec in force, as the pods carry it in an annotation: it outlasts them and their StatefulSet.
pub const IN_FORCE_FILE: &str = "in-force.json";

/// The files of the pods that hold no secret and no users.
pub fn config_files(desired: &Desired) -> Manifest {
    let files = [
        (CONFIG_FILE, redis_conf(&desired.in_force)),
        ("start.sh", scripts::START.to_owned()),
        ("ready.sh", scripts::READY.to_owned()),
        ("stop.sh", scripts::STOP.to_owned()),
        (IN_FORCE_FILE, super::in_force(desired)),
    ];
    Manifest::ConfigMap(ConfigMap {
        metadata: Owner::from(desired).metadata(names::config(&desired.name)),
        data: Some(files.map(|(name, text)| (name.to_owned(), text)).into()),
        ..ConfigMap::default()
    })
}
