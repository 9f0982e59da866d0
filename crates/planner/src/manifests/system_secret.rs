//! Secret `<name>-system`: the operator's memory that must survive. Pods mount two of its keys; nobody else needs any.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::v1alpha1::RedisCluster;
use secrecy::{ExposeSecret, SecretString};

use super::meta::Owner;
use super::{Manifest, names};
use crate::config::{REPLICATION_FILE, quoted};
use crate::desired::SystemMemory;

const OPERATOR_PASSWORD: &str = "operator-password";
const REPLICATION_PASSWORD: &str = "replication-password";
/// Key with the password of the probes.
pub const PROBE_PASSWORD: &str = "probe-password";
/// Key of the marker, present once the cluster has formed.
pub const FORMED: &str = "formed";
const FORMED_VALUE: &str = "true";
const USER_PREFIX: &str = "user.";
/// Begin of the keys with what has to be remembered of each user's passwords.
pub const HISTORY_PREFIX: &str = "history.";

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
        Self {
            histories: data.keys().filter_map(history).collect(),
            operator_password: read(OPERATOR_PASSWORD),
            replication_password: read(REPLICATION_PASSWORD),
            probe_password: read(PROBE_PASSWORD),
            user_passwords: users.collect(),
            formed: data.contains_key(FORMED),
        }
    }

    /// All passwords of the system's users are there.
    pub const fn is_complete(&self) -> bool {
        self.operator_password.is_some()
            && self.replication_password.is_some()
            && self.probe_password.is_some()
    }

    /// The Secret's data.
    fn to_data(&self) -> BTreeMap<String, ByteString> {
        let system = [
            (OPERATOR_PASSWORD, &self.operator_password),
            (REPLICATION_PASSWORD, &self.replication_password),
            (PROBE_PASSWORD, &self.probe_password),
        ];
        let mut texts: BTreeMap<String, String> = system
            .into_iter()
            .filter_map(|(key, password)| {
                Some((key.to_owned(), password.as_ref()?.expose_secret().to_owned()))
            })
            .collect();
        for (user, password) in &self.user_passwords {
            texts.insert(format!("{USER_PREFIX}{user}"), password.expose_secret().to_owned());
        }
        for (user, history) in &self.histories {
            // Text and times: they can always be written.
            let text = serde_json::to_string(history).unwrap_or_default();
            texts.insert(format!("{HISTORY_PREFIX}{user}"), text);
        }
        if let Some(password) = &self.replication_password {
            let line = format!("masterauth {}\n", quoted(password.expose_secret()));
            texts.insert(REPLICATION_FILE.to_owned(), line);
        }
        if self.formed {
            texts.insert(FORMED.to_owned(), FORMED_VALUE.to_owned());
        }
        super::bytes(texts)
    }
}
