//! Connections of a user, each of which tells when its server closes it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use keyslot_e2e::bench::nodes::PORT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::subject::Node;

/// Ends a run that hangs; it measures nothing.
const PATIENCE: Duration = Duration::from_mins(1);
const OK: &[u8] = b"+OK\r\n";

/// Open ones.
pub struct Sessions(Vec<(String, TcpStream)>);

impl Sessions {
    /// So many to each node, logged in.
    pub async fn open(nodes: &[&Node], each: usize, (user, password): (&str, &str)) -> Result<Self> {
        let auth = format!("AUTH {user} {password}\r\n");
        let auth = auth.as_bytes();
        let opened = nodes.iter().flat_map(|node| std::iter::repeat_n(*node, each)).map(|node| async move {
            let mut stream = TcpStream::connect((node.ip, PORT)).await?;
            stream.write_all(auth).await?;
            let mut answer = [0; OK.len()];
            stream.read_exact(&mut answer).await?;
            ensure!(answer == OK, "{} lets {user} not in: {}", node.pod, String::from_utf8_lossy(&answer));
            Ok((node.pod.clone(), stream))
        });
        Ok(Self(try_join_all(opened).await?))
    }

    /// Seconds until the server has closed the last of them.
    pub async fn until_closed(self, begin: Instant) -> Result<f64> {
        let closed = self.0.into_iter().map(|(pod, mut stream)| async move {
            let end = timeout(PATIENCE, read_to_end(&mut stream)).await;
            end.with_context(|| format!("{pod} keeps a session for {PATIENCE:?}"))?;
            anyhow::Ok(begin.elapsed().as_secs_f64())
        });
        Ok(try_join_all(closed).await?.into_iter().fold(0.0, f64::max))
    }
}

/// A reset is an end too.
async fn read_to_end(stream: &mut TcpStream) {
    let mut last_words = [0; 256];
    while stream.read(&mut last_words).await.is_ok_and(|bytes| bytes > 0) {}
}
