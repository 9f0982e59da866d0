//! Secret `<name>-system`: the operator's memory that must survive. Pods mount two of its keys; nobody else needs any.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::v1alpha1::RedisCluster;
use secrecy::{ExposeSecret, SecretString};

use super::meta::Owner;
use super::{Manifest, names};
use crate::config::{REPLICATION_FILE, quoted};
use crate::desired::{SystemMemory, SystemPasswords, SystemRotation};

const OPERATOR_PASSWORD: &str = "operator-password";
const REPLICATION_PASSWORD: &str = "replication-password";
/// Key with the password of the probes.
pub const PROBE_PASSWORD: &str = "probe-password";
/// Key of the marker, present once the cluster has formed.
pub const FORMED: &str = "formed";
const FORMED_VALUE: &str = "true";
const USER_PREFIX: &str = "user.";
/// Begin of the keys with what has to be remembered of each user's passwords.
const HISTORY_PREFIX: &str = "history.";
/// Begin of the keys with the second passwords of Keyslot's own users.
const SECOND_PREFIX: &str = "second.";
/// Key with what has to be remembered of a rotation of these.
const ROTATION: &str = "system-rotation";

/// Whether a key that the memory does not have is to be taken out of the Secret. Others stay: somebody may have put them
/// there.
pub fn is_forgotten(key: &str) -> bool {
    key == ROTATION || key.starts_with(HISTORY_PREFIX) || key.starts_with(SECOND_PREFIX)
}

/// The Secret with all of the operator's memory. It takes no [`crate::Desired`], since the passwords in it are made
/// before anything can be desired.
pub fn system_secret(cluster: &RedisCluster, memory: &SystemMemory) -> Manifest {
    let owner = Owner::from(cluster);
    Manifest::Secret(Secret {
        metadata: owner.metadata(names::system(owner.name)),
        type_: Some("Opaque".to_owned()),
        data: Some(memory.to_data()),
        ..Secret::default()
    })
}

impl SystemMemory {
    /// Reads the Secret's data. What is not there, empty or not text is absent.
    pub fn parse(data: &BTreeMap<String, ByteString>) -> Self {
        let read = |key: &str| {
            let text = std::str::from_utf8(&data.get(key)?.0).ok()?;
            (!text.is_empty()).then(|| SecretString::from(text))
        };
        let users =
            data.keys().filter_map(|key| Some((key.strip_prefix(USER_PREFIX)?.to_owned(), read(key)?)));
        let history = |key: &String| {
            let user = key.strip_prefix(HISTORY_PREFIX)?;
            Some((user.to_owned(), serde_json::from_slice(&data.get(key)?.0).ok()?))
        };
        let passwords = |prefix: &str| SystemPasswords {
            operator: read(&format!("{prefix}{OPERATOR_PASSWORD}")),
            replication: read(&format!("{prefix}{REPLICATION_PASSWORD}")),
            probe: read(&format!("{prefix}{PROBE_PASSWORD}")),
        };
        let rotation = data.get(ROTATION).and_then(|text| serde_json::from_slice(&text.0).ok());
        Self {
            histories: data.keys().filter_map(history).collect(),
            passwords: passwords(""),
            second_passwords: passwords(SECOND_PREFIX),
            system_rotation: rotation.unwrap_or_default(),
            user_passwords: users.collect(),
            formed: data.contains_key(FORMED),
        }
    }

    /// All passwords of the system's users are there.
    pub fn is_complete(&self) -> bool {
        self.passwords.is_complete()
    }

    /// The Secret's data.
    fn to_data(&self) -> BTreeMap<String, ByteString> {
        let mut texts = BTreeMap::new();
        for (prefix, passwords) in [("", &self.passwords), (SECOND_PREFIX, &self.second_passwords)] {
            for (key, password) in [
                (OPERATOR_PASSWORD, &passwords.operator),
                (REPLICATION_PASSWORD, &passwords.replication),
                (PROBE_PASSWORD, &passwords.probe),
            ] {
                let text = password.as_ref().map(|password| password.expose_secret().to_owned());
                texts.extend(text.map(|text| (format!("{prefix}{key}"), text)));
            }
        }
        if self.system_rotation != SystemRotation::default() {
            // Text and times: they can always be written.
            texts.insert(
                ROTATION.to_owned(),
                serde_json::to_string(&self.system_rotation).unwrap_or_default(),
            );
        }
        for (user, password) in &self.user_passwords {
            texts.insert(format!("{USER_PREFIX}{user}"), password.expose_secret().to_owned());
        }
        for (user, history) in &self.histories {
            let text = serde_json::to_string(history).unwrap_or_default();
            texts.insert(format!("{HISTORY_PREFIX}{user}"), text);
        }
        if let Some(password) = &self.passwords.replication {
            let line = format!("masterauth {}\n", quoted(password.expose_secret()));
            texts.insert(REPLICATION_FILE.to_owned(), line);
        }
        if self.formed {
            texts.insert(FORMED.to_owned(), FORMED_VALUE.to_owned());
        }
        super::bytes(texts)
    }
}
