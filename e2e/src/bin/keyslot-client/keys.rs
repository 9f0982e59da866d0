//! Writing and reading many keys, all over the slots.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use serde_json::{Value, json};

/// Commands that are on their way at the same time.
const AT_ONCE: usize = 64;

pub async fn write(connection: &ClusterConnection, prefix: &str, count: usize) -> Result<()> {
    let writes = stream::iter(0..count).map(|number| async move {
        let key = format!("{prefix}{number}");
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(number);
        set.query_async::<()>(&mut connection.clone()).await.with_context(|| format!("SET {key}"))
    });
    writes.buffer_unordered(AT_ONCE).try_collect().await
}

/// How many have the value that was written, how many do not exist, and where all keys are.
pub async fn read(connection: &ClusterConnection, prefix: &str, count: usize) -> Result<Value> {
    let reads = stream::iter(0..count).map(|number| async move {
        let key = format!("{prefix}{number}");
        let value: Option<String> = redis::cmd("GET")
            .arg(&key)
            .query_async(&mut connection.clone())
            .await
            .with_context(|| format!("GET {key}"))?;
        match value {
            Some(value) if value == number.to_string() => Ok(true),
            None => Ok(false),
            Some(other) => bail!("{key} is {other}"),
        }
    });
    let found: Vec<bool> = reads.buffer_unordered(AT_ONCE).try_collect().await?;
    let right = found.iter().filter(|found| **found).count();
    Ok(json!({ "read": right, "missing": count - right, "keysByPrimary": by_primary(connection).await? }))
}

/// Number of keys of each primary, by the address under which it is known to clients.
async fn by_primary(connection: &ClusterConnection) -> Result<BTreeMap<String, i64>> {
    let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let answers = connection.clone().route_command(redis::cmd("DBSIZE"), everywhere).await?;
    Ok(redis::from_redis_value(answers)?)
}
