//! Clusters of all shapes form and serve data, on every line of servers.

use anyhow::{Result, ensure};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, clusters, with_namespace};

use crate::steps::{WORKER_SECRET, formed};

#[test]
fn three_shards_without_replicas_form_on_redis_8_6() -> Result<()> {
    forms(Server::Redis86, 3, 0)
}

#[test]
fn three_shards_with_two_replicas_form_on_redis_8_0() -> Result<()> {
    forms(Server::Redis80, 3, 2)
}

#[test]
fn one_shard_alone_forms_on_valkey_8_1() -> Result<()> {
    forms(Server::Valkey81, 1, 0)
}

#[test]
fn one_shard_with_a_replica_forms_on_valkey_9_1() -> Result<()> {
    forms(Server::Valkey91, 1, 1)
}

#[test]
fn five_shards_with_a_replica_form_on_valkey_8_1() -> Result<()> {
    forms(Server::Valkey81, 5, 1)
}

fn forms(server: Server, shards: i32, replicas: i32) -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(server, shards, replicas)).await?;
        let read = client::write_and_read(namespace, WORKER_SECRET, 300).await?;
        ensure!(read.keys_by_primary.len() == usize::try_from(shards)?, "{read:?}");
        let status = cluster.status().await?;
        ensure!(status.shard_count == Some(shards), "{:?}", status.shard_count);
        Ok(())
    })
}
