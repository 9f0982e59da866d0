//! Whether the copy of the resource that a pass begins with is the newest version of what its users want.
//!
//! A watch only moves forwards, but the list that it begins with may be old: a process that has just started would take
//! back what was in force and had been reported. So each generation is compared with the API server's own once, before
//! the first act for its sake.

use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::ids::Uid;
use kube::{Resource, ResourceExt};

use super::Error;
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects::{self, Owner};

/// Asks the API server, unless it has confirmed this generation before. Where it knows better, the watch will too.
pub async fn confirm<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<(), Error> {
    let (generation, memory) = (cluster.meta().generation, ctx.memory.of(cluster.meta()));
    if memory.is_confirmed(generation) {
        return Ok(());
    }
    let key = ClusterRef::of(cluster.meta());
    let uid = Uid::new(cluster.uid().unwrap_or_default());
    let owner = Owner { namespace: &key.namespace, name: &key.name, uid: &uid };
    let there = objects::resource(&ctx.client, owner).await.map_err(|source| {
        Error::Observe(objects::Error::Api { object: format!("RedisCluster/{}", key.name), source })
    })?;
    if there.is_none_or(|there| there.generation > generation) {
        return Err(Error::OldCopy);
    }
    memory.confirm(generation);
    Ok(())
}
