//! ACL users, in Redis' own rule syntax.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// One ACL user.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Name that clients give to AUTH.
    pub name: String,

    /// Whether clients can log in as this user.
    #[serde(default = "default_enabled")]
    pub enabled: bool,

    /// Redis ACL rules, one per entry, in Redis' own syntax and order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,

    /// Further, independent sets of rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,

    /// Valid passwords; none means that one is generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passwords: Vec<Password>,

    /// Name of the Secret that applications read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// A further set of rules of one user: a command is allowed when the user's rules or one selector allow
/// it as a whole.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Redis ACL rules, one per entry, without the parentheses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

/// One password: exactly one of its fields is set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// Key of a Secret that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// SHA-256 of the password, 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A key of a Secret in the resource's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,

    /// Key in the Secret's data.
    pub key: String,
}

fn default_enabled() -> bool {
    true
}
