//! ACL users, in Redis' own rule syntax.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// One ACL user.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = rules::ROTATION_OF_GENERATED)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Name that clients give to AUTH. `default` is the user of clients that give none. Limits: 63
    /// lower case letters, digits, `.`, `_` and `-`, starting and ending with a letter or digit; not
    /// starting with `keyslot-`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::USER_NAME, validation = rules::USER_NAME_FREE)]
    pub name: String,

    /// Whether clients can log in as this user. With `false`, connections that are open end. Default: true. Change: live.
    #[serde(default = "default_enabled")]
    pub enabled: bool,

    /// Redis ACL rules, one per entry, in Redis' own syntax and order: keys (`~app:*`, `%R~app:*`),
    /// channels (`&app:*`), commands and categories (`+get`, `-config|set`, `+@read`, `-@dangerous`).
    /// A user starts with no permission at all. A rule that a server refuses is named by the
    /// condition `AclApplied`. Default: none. Limits: 128 rules of at most 256 printable ASCII
    /// characters without spaces, quotes and parentheses; no on, off, passwords and reset..., which
    /// have fields of their own. Change: live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::acl_rules")]
    pub rules: Vec<String>,

    /// Further, independent sets of rules (Redis' selectors): a command is allowed when `rules` or
    /// one selector allow it as a whole. Default: none. Limits: 8. Change: live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub selectors: Vec<Selector>,

    /// Valid passwords; all entries are valid at the same time. A removed entry ends at once, with all connections of the
    /// user (a server does not know which password opened one); clients with another entry can connect again. Default:
    /// one password is generated and kept in the user's Secret. Limits: 8. Change: live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub passwords: Vec<Password>,

    /// When a generated password is made anew, and how long a replaced password stays valid. Default: never, and
    /// `gracePeriod: 1h` when the Secret of a `secretKeyRef` changes. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// Name of the Secret that Keyslot makes for applications, with the keys of servicebinding.io
    /// (type, provider, username, password, host, port, uri) and nodes. Of several passwords it has
    /// the first that is no hash; there is no Secret when all are hashes. It stays when the user is
    /// removed. Default: `<cluster>-user-<name>`, with `_` as `-`. Limits: a valid object name, different for each user, not ending in -system or -acl.
    /// Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::DNS_SUBDOMAIN, validation = rules::USER_SECRET_FREE)]
    pub secret_name: Option<String>,
}

/// Rotation of a user's passwords.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = rules::ROTATION_INTERVAL_ABOVE_GRACE)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Any text; another one than before makes a new generated password. A date is a good choice. Default: none.
    /// Limits: 63 characters. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub trigger: Option<String>,

    /// Makes a new generated password so long after the last one was made. Default: none. Limits: 1m to 9999h, in
    /// whole seconds, minutes or hours (`90s`, `30m`, `720h`), and longer than `gracePeriod`. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = rules::ROTATION_INTERVAL)]
    pub interval: Option<String>,

    /// How long a replaced password stays valid: a generated one, or the former value of a Secret. Then it ends
    /// everywhere, with all connections of the user. It does not end before the user's Secret tells the new one. Default:
    /// 1h. Limits: 0s to 9999h. Change: for passwords that are replaced from then on.
    #[serde(default = "default_grace_period")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = rules::ROTATION_GRACE)]
    pub grace_period: String,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { trigger: None, interval: None, grace_period: default_grace_period() }
    }
}

fn default_grace_period() -> String {
    "1h".to_owned()
}

/// A further set of rules of one user.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Redis ACL rules as in `users[].rules`, one per entry, without the parentheses. Limits: 16
    /// rules of at most 256 characters. Change: live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::selector_rules")]
    pub rules: Vec<String>,
}

/// One password: exactly one of its fields is set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = rules::ONE_PASSWORD_SOURCE)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// Key of a Secret in this namespace that holds the password. The Secret must have the label
    /// `keyslot.dev/user-password: "true"`, by which its owner allows the use. One line break at the
    /// end of the value is not part of the password. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// SHA-256 of the password, as 64 lower case hexadecimal digits: `printf %s 'the password' |
    /// sha256sum`. Change: live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = rules::PASSWORD_HASH)]
    pub sha256: Option<String>,
}

/// A key of a Secret in the resource's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::DNS_SUBDOMAIN)]
    pub name: String,

    /// Key in the Secret's data, such as `password`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::SECRET_KEY)]
    pub key: String,
}

fn default_enabled() -> bool {
    true
}
