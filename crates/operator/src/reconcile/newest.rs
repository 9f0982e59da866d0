//! Whether the copy of the resource that a pass begins with is the newest version of what its users want.
//!
//! A watch only moves forwards, but the list that it begins with may be old: a process that has just started would take
//! back what was in force and had been reported. So each generation is compared with the API server's own once, before
//! the first act for its sake.

use keyslot_api::v1alpha1::RedisCluster;
use kube::Resource;
use kube::api::Api;

use super::Error;
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects;

/// Asks the API server, unless it has confirmed this generation before. Where it knows better, the watch will too.
pub async fn is_newest<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<bool, Error> {
    let (metadata, memory) = (cluster.meta(), ctx.memory.of(cluster.meta()));
    if memory.is_confirmed(metadata.generation) {
        return Ok(true);
    }
    let key = ClusterRef::of(metadata);
    let api = Api::<RedisCluster>::namespaced(ctx.client.clone(), &key.namespace);
    let there = api.get_metadata_opt(&key.name).await.map_err(|source| {
        Error::Observe(objects::Error::Api { object: format!("RedisCluster/{}", key.name), source })
    })?;
    let is_newest = there.is_some_and(|there| {
        there.metadata.uid == metadata.uid && there.metadata.generation <= metadata.generation
    });
    if is_newest {
        memory.confirm(metadata.generation);
    }
    Ok(is_newest)
}
