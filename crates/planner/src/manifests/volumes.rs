//! What a pod mounts, and where. Directories only: a file mounted by subPath is never refreshed.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};
use keyslot_api::v1alpha1::AclStorage;

use super::names;
use super::system_secret::PROBE_PASSWORD;
use crate::config::{ACL_DIR, CONFIG_DIR, DATA_DIR, REPLICATION_FILE, SYSTEM_DIR};
use crate::desired::Desired;

/// The volume of the data, and the template of its claim.
pub(super) const DATA_VOLUME: &str = "data";
const CONFIG_VOLUME: &str = "config";
const ACL_VOLUME: &str = "acl";
const SYSTEM_VOLUME: &str = "system";
const TMP_VOLUME: &str = "tmp";

pub(super) fn volumes(desired: &Desired) -> Vec<Volume> {
    let mut volumes = vec![
        Volume { config_map: Some(config_map(names::config(&desired.name))), ..volume(CONFIG_VOLUME) },
        acl(desired),
        Volume { secret: Some(system(desired)), ..volume(SYSTEM_VOLUME) },
        Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume(TMP_VOLUME) },
    ];
    if desired.in_force.storage.is_none() {
        volumes.push(Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume(DATA_VOLUME) });
    }
    volumes
}

fn volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), ..Volume::default() }
}

fn config_map(name: String) -> ConfigMapVolumeSource {
    ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }
}

fn acl(desired: &Desired) -> Volume {
    let name = names::acl(&desired.name);
    match desired.in_force.acl_storage {
        AclStorage::ConfigMap => Volume { config_map: Some(config_map(name)), ..volume(ACL_VOLUME) },
        AclStorage::Secret => Volume {
            secret: Some(SecretVolumeSource { secret_name: Some(name), ..SecretVolumeSource::default() }),
            ..volume(ACL_VOLUME)
        },
    }
}

/// Of the operator's memory, the pods get what they need: never the operator's own password or those of users.
fn system(desired: &Desired) -> SecretVolumeSource {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    SecretVolumeSource {
        secret_name: Some(names::system(&desired.name)),
        items: Some(vec![item(PROBE_PASSWORD), item(REPLICATION_FILE)]),
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    }
}

pub(super) fn mounts() -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    vec![
        mount(DATA_VOLUME, DATA_DIR, false),
        mount(CONFIG_VOLUME, CONFIG_DIR, true),
        mount(ACL_VOLUME, ACL_DIR, true),
        mount(SYSTEM_VOLUME, SYSTEM_DIR, true),
        mount(TMP_VOLUME, "/tmp", false),
    ]
}
