//! Keys that were written and acknowledged: none may be lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::AsyncCommands;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::scene::{Scene, until};

/// The user of the ledger, who has to be among the users of a flow's cluster.
pub const USER: &str = "ledger";
/// The user's password.
pub const PASSWORD: &str = "written-and-acknowledged";

/// How many keys are written, over all slots.
const KEYS: usize = 200;
/// Of an application that writes while something happens.
const WRITE_PAUSE: Duration = Duration::from_millis(20);

/// How often the client of the ledger tries: nodes may have changed.
const TRIES: u32 = 16;

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
        rotation: None,
        secret_name: None,
    }
}

/// Writes all keys.
pub async fn write(scene: &Scene) -> Result<()> {
    let mut cluster = connect(scene, TRIES).await?;
    for key in 0..KEYS {
        let () = cluster.set(format!("ledger:{key}"), key).await.with_context(|| format!("ledger:{key}"))?;
    }
    Ok(())
}

/// Every key is there.
pub async fn is_complete(scene: &Scene) -> Result<()> {
    let mut cluster = connect(scene, TRIES).await?;
    for key in 0..KEYS {
        let found: Option<usize> = cluster.get(format!("ledger:{key}")).await?;
        ensure!(found == Some(key), "ledger:{key} is {found:?}");
    }
    Ok(())
}

/// Writes all the time, as an application does that knows nothing of the operator. It tries nothing twice: a connection
/// that was ended is a failure.
pub struct Writer {
    /// Of this writer's keys, and of no other's.
    name: u64,
    stop: DropGuard,
    task: JoinHandle<Result<usize>>,
}

impl Writer {
    /// Starts to write.
    pub async fn start(scene: &Scene) -> Result<Self> {
        let (name, stop) = (rand::random(), CancellationToken::new());
        let task = tokio::spawn(write_until(connect(scene, 0).await?, name, stop.clone()));
        Ok(Self { name, stop: stop.drop_guard(), task })
    }

    /// Ends it. No write has failed, and all are there.
    pub async fn stop(self, scene: &Scene) -> Result<()> {
        drop(self.stop);
        let written = self.task.await??;
        let mut cluster = connect(scene, TRIES).await?;
        ensure!(written > 0, "nothing was written");
        for number in 0..written {
            let key = key(self.name, number);
            let found: Option<usize> = cluster.get(&key).await?;
            ensure!(found == Some(number), "{key} was acknowledged and is {found:?}");
        }
        Ok(())
    }
}

fn key(writer: u64, number: usize) -> String {
    format!("written:{writer}:{number}")
}

async fn write_until(mut cluster: ClusterConnection, writer: u64, stop: CancellationToken) -> Result<usize> {
    let mut written = 0;
    while !stop.is_cancelled() {
        let key = key(writer, written);
        let () = cluster.set(&key, written).await.with_context(|| format!("writing {key}"))?;
        written += 1;
        tokio::time::sleep(WRITE_PAUSE).await;
    }
    Ok(written)
}

async fn connect(scene: &Scene, retries: u32) -> Result<ClusterConnection> {
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
            .retries(retries)
            .connection_timeout(Duration::from_secs(5))
            .response_timeout(Duration::from_secs(5))
            .build()?;
        Ok(client.get_async_connection().await?)
    })
    .await
}
