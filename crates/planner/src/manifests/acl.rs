//! `<name>-acl`: users.acl, which servers read when they start.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use keyslot_api::v1alpha1::AclStorage;

use super::meta::Owner;
use super::{Manifest, names};
use crate::config::USERS_FILE;
use crate::desired::Desired;
use crate::system_users;

/// The object with this text of users.acl. The text is the caller's: only it knows what the servers accept.
pub fn users_file(desired: &Desired, text: &str) -> Manifest {
    let metadata = Owner::from(desired).metadata(names::acl(&desired.name));
    let files = BTreeMap::from([(USERS_FILE.to_owned(), text.to_owned())]);
    match desired.in_force.acl_storage {
        AclStorage::ConfigMap => {
            Manifest::ConfigMap(ConfigMap { metadata, data: Some(files), ..ConfigMap::default() })
        }
        AclStorage::Secret => Manifest::Secret(Secret {
            metadata,
            type_: Some("Opaque".to_owned()),
            data: Some(super::bytes(files)),
            ..Secret::default()
        }),
    }
}

/// The text that every supported server accepts unasked: `default` off and the system's users. The first line is the
/// one that matters most: without it `default` may do everything without a password.
pub fn baseline_users_file(desired: &Desired) -> String {
    let mut text = system_users::off().file_line("default");
    text.push('\n');
    for (name, user) in &desired.system_users {
        // Writing into a String can't fail.
        let _ = writeln!(text, "{}", user.file_line(name));
    }
    text
}
