//! What the mounted Secret says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;

const PATIENCE: Duration = Duration::from_secs(10);
/// A cluster that was formed a moment ago may still answer CLUSTERDOWN here and there.
const RETRIES: u32 = 12;

/// Where the cluster is and who we are.
pub struct Binding {
    pub username: String,
    pub password: String,
    /// `host:port` of the Service, then of each node.
    pub addresses: Vec<String>,
}

impl Binding {
    pub fn read(folder: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::Ok(text.trim_end_matches('\n').to_owned())
        };
        let service = format!("{}:{}", file("host")?, file("port")?);
        let nodes = file("nodes").unwrap_or_default();
        let nodes = nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned);
        Ok(Self {
            username: file("username")?,
            password: file("password")?,
            addresses: std::iter::once(service).chain(nodes).collect(),
        })
    }

    pub async fn connect(&self) -> Result<ClusterConnection> {
        self.connect_with(RETRIES).await
    }

    /// A connection that tries each command again so often before it tells of an error.
    pub async fn connect_with(&self, retries: u32) -> Result<ClusterConnection> {
        // The Service alone: what else there is, the nodes tell, by the addresses that they announce.
        let seed = self.addresses.first().context("no address")?;
        let client = ClusterClient::builder([format!("redis://{seed}")])
            .username(&self.username)
            .password(&self.password)
            .connection_timeout(PATIENCE)
            .response_timeout(PATIENCE)
            .retries(retries)
            .build()?;
        client.get_async_connection().await.with_context(|| format!("cannot connect as {}", self.username))
    }
}
