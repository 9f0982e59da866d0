//! Connections that are only kept: whoever changes something else must not end them.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use serde_json::{Value, json};

use crate::binding::Binding;

const PAUSE: Duration = Duration::from_millis(200);
/// A connection without an answer for so long is no use to anybody; a busy machine needs less.
const PATIENCE: Duration = Duration::from_mins(1);

/// Prints `held` once all connections are there, and a line for each that ends. Returns when all have.
pub async fn hold(binding: &Binding) -> Result<Value> {
    // The first address is the Service, behind which is one of the others.
    let nodes = &binding.addresses[1..];
    let connections = join_all(nodes.iter().map(|node| connect(binding, node))).await;
    let connections: Vec<_> = connections.into_iter().collect::<Result<_>>()?;
    println!("{}", json!({ "held": connections.len() }));
    let kept = nodes.iter().zip(connections).map(|(node, connection)| async move {
        let Err(error) = keep(connection).await;
        println!("{}", json!({ "lost": node, "error": error.to_string(), "at": crate::now() }));
    });
    join_all(kept).await;
    Ok(json!({ "held": 0 }))
}

async fn connect(binding: &Binding, node: &str) -> Result<redis::aio::MultiplexedConnection> {
    let (host, port) = node.rsplit_once(':').context("an address without a port")?;
    let identity =
        RedisConnectionInfo::default().set_username(&binding.username).set_password(&binding.password);
    let info: ConnectionInfo = ConnectionAddr::Tcp(host.to_owned(), port.parse()?).into_connection_info()?;
    let client = redis::Client::open(info.set_redis_settings(identity))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.with_context(|| format!("cannot connect to {node}"))
}

async fn keep(mut connection: redis::aio::MultiplexedConnection) -> Result<Infallible, redis::RedisError> {
    loop {
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        tokio::time::sleep(PAUSE).await;
    }
}
