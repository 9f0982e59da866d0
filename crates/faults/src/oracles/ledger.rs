//! Keys that were written and acknowledged: none may be lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::AsyncCommands;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use sha2::{Digest, Sha256};

use crate::scene::{Scene, until};

/// The user of the ledger, who has to be among the users of a flow's cluster.
pub const USER: &str = "ledger";
/// The user's password.
pub const PASSWORD: &str = "written-and-acknowledged";

/// How many keys are written, over all slots.
const KEYS: usize = 200;

/// The user as `spec.users` has it.
pub fn user() -> keyslot_api::v1alpha1::User {
    keyslot_api::v1alpha1::User {
        name: USER.to_owned(),
        enabled: true,
        rules: ["~*", "+@all"].map(str::to_owned).into(),
        selectors: Vec::new(),
        passwords: vec![keyslot_api::v1alpha1::Password {
            secret_key_ref: None,
            sha256: Some(hex::encode(Sha256::digest(PASSWORD))),
        }],
        secret_name: None,
    }
}

/// Writes all keys.
pub async fn write(scene: &Scene) -> Result<()> {
    let mut cluster = connect(scene).await?;
    for key in 0..KEYS {
        let () = cluster.set(format!("ledger:{key}"), key).await.with_context(|| format!("ledger:{key}"))?;
    }
    Ok(())
}

/// Every key is there.
pub async fn is_complete(scene: &Scene) -> Result<()> {
    let mut cluster = connect(scene).await?;
    for key in 0..KEYS {
        let found: Option<usize> = cluster.get(format!("ledger:{key}")).await?;
        ensure!(found == Some(key), "ledger:{key} is {found:?}");
    }
    Ok(())
}

async fn connect(scene: &Scene) -> Result<ClusterConnection> {
    until("a client is let in", async || {
        let addresses: Vec<String> = scene
            .pods()
            .await?
            .iter()
            .filter_map(|pod| pod.status.as_ref()?.pod_ip.clone().map(|ip| format!("redis://{ip}:6379")))
            .collect();
        ensure!(!addresses.is_empty(), "no pods");
        let client = ClusterClientBuilder::new(addresses)
            .username(USER)
            .password(PASSWORD)
            .connection_timeout(Duration::from_secs(5))
            .response_timeout(Duration::from_secs(5))
            .build()?;
        Ok(client.get_async_connection().await?)
    })
    .await
}
