//! The Secret of each user whose password is known: what an application mounts, by the conventions of servicebinding.io.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret;

use super::Manifest;
use super::meta::{Owner, client_host, nodes};
use crate::command::REDIS_PORT;
use crate::desired::Desired;

/// One Secret per user that has a name for it and a password in plaintext.
pub fn user_secrets(desired: &Desired) -> Vec<Manifest> {
    let with_password = |(user, secret)| Some((user, secret, desired.user_passwords.get(user)?));
    desired
        .user_secrets
        .iter()
        .filter_map(with_password)
        .map(|(user, secret, password)| user_secret(desired, user, secret, password.expose_secret()))
        .collect()
}

fn user_secret(desired: &Desired, user: &str, secret: &str, password: &str) -> Manifest {
    let host = client_host(desired);
    let uri = format!("redis://{}:{}@{host}:{REDIS_PORT}", percent_encoded(user), percent_encoded(password));
    let data: BTreeMap<String, String> = [
        ("type", "redis".to_owned()),
        ("provider", "keyslot".to_owned()),
        ("username", user.to_owned()),
        ("password", password.to_owned()),
        ("host", host),
        ("port", REDIS_PORT.to_string()),
        ("uri", uri),
        ("nodes", nodes(desired)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    Manifest::Secret(Secret {
        metadata: Owner::from(desired).metadata(secret.to_owned()),
        type_: Some("servicebinding.io/redis".to_owned()),
        data: Some(super::bytes(data)),
        ..Secret::default()
    })
}

/// Everything but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
