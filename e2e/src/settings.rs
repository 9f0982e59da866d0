//! What can be set from outside, all by environment variables: which Kubernetes, which images.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Namespace of the operator, as in `deploy/`.
pub const OPERATOR_NAMESPACE: &str = "keyslot-system";

/// A server that stories run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Redis70,
    Redis80,
    Redis86,
    Valkey81,
    Valkey91,
}

impl Server {
    /// The image, which `KEYSLOT_E2E_REDIS_7_0` and the like replace.
    pub fn image(self) -> String {
        let (variable, local) = match self {
            Self::Redis70 => ("KEYSLOT_E2E_REDIS_7_0", "localhost/redis:7.0"),
            Self::Redis80 => ("KEYSLOT_E2E_REDIS_8_0", "localhost/redis:8.0"),
            Self::Redis86 => ("KEYSLOT_E2E_REDIS_8_6", "localhost/redis:8.6"),
            Self::Valkey81 => ("KEYSLOT_E2E_VALKEY_8_1", "localhost/valkey:8.1"),
            Self::Valkey91 => ("KEYSLOT_E2E_VALKEY_9_1", "localhost/valkey:9.1"),
        };
        variable_or(variable, local)
    }

    /// What the resource's status must call it.
    pub const fn engine(self) -> &'static str {
        match self {
            Self::Redis70 | Self::Redis80 | Self::Redis86 => "redis",
            Self::Valkey81 | Self::Valkey91 => "valkey",
        }
    }

    /// What its version must begin with.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Redis70 => "7.0.",
            Self::Redis80 => "8.0.",
            Self::Redis86 => "8.6.",
            Self::Valkey81 => "8.1.",
            Self::Valkey91 => "9.1.",
        }
    }
}

/// Image of the operator.
pub fn operator_image() -> String {
    variable_or("KEYSLOT_E2E_IMAGE", "localhost/keyslot:dev")
}

/// Image with the program `keyslot-client`.
pub fn client_image() -> String {
    variable_or("KEYSLOT_E2E_CLIENT_IMAGE", "localhost/keyslot-client:dev")
}

/// Whether namespaces of stories stay, for a look at them.
pub fn keeps_namespaces() -> bool {
    variable("KEYSLOT_E2E_KEEP").is_some()
}

/// Whether the Kubernetes is the one of `e2e/local-kubernetes`.
pub fn is_local() -> bool {
    variable("KEYSLOT_E2E_KUBECONFIG").is_none()
}

/// Where the local Kubernetes has its state.
pub fn local_root() -> PathBuf {
    PathBuf::from(variable_or("KEYSLOT_LOCAL_KUBERNETES", "/var/tmp/keyslot-local-kubernetes"))
}

/// The configuration for clients of the Kubernetes under test.
pub fn kubeconfig() -> PathBuf {
    variable("KEYSLOT_E2E_KUBECONFIG").map_or_else(|| local_root().join("kubeconfig"), PathBuf::from)
}

/// The checkout, for `deploy/` and `crds/`.
pub fn checkout() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(ToOwned::to_owned).unwrap_or(here)
}

/// A client of the Kubernetes under test. It belongs to the runtime that makes it.
pub async fn connect() -> Result<Client> {
    let path = kubeconfig();
    let context = || {
        format!(
            "cannot use {}: set KEYSLOT_E2E_KUBECONFIG, or start the local Kubernetes (make help)",
            path.display()
        )
    };
    let read = Kubeconfig::read_from(&path).with_context(context)?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Ok(Client::try_from(config.with_context(context)?)?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn variable_or(name: &str, default: &str) -> String {
    variable(name).unwrap_or_else(|| default.to_owned())
}
