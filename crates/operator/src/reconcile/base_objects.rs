//! Makes the harmless objects and keeps them as they should be: Services, budgets, the connection ConfigMap.

use futures::future::join_all;
use keyslot_planner::{Desired, Manifest, base_manifests};
use kube::Resource;
use serde_json::Value;

use super::execute::Executed;
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::difference::{differs, stamped};
use crate::metrics::Loop;
use crate::nodes::Nodes;
use crate::objects::{self, Created, Owner};
use crate::ownership::{Ownership, ownership};
use crate::stores::named;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::ids::Uid;
use kube::api::ObjectMeta;

/// Brings all of them up, each on its own: one that fails keeps no other. The worst answer counts.
pub async fn bring_up<N: Nodes>(cluster: &RedisCluster, desired: &Desired, ctx: &Context<N>) -> Executed {
    if desired.paused {
        return Executed::Paused;
    }
    // Users' Secrets are promises of a login that works: they follow the users.
    let manifests = base_manifests(desired).into_iter().filter(|m| !matches!(m, Manifest::Secret(_)));
    let kept = manifests.map(|manifest| async move {
        let object = manifest.key();
        let kept = keep(cluster, desired, manifest, ctx).await;
        kept.err().map_or(Executed::Done, |error| Executed::refused(format!("keep {object}"), &error))
    });
    join_all(kept).await.into_iter().fold(Executed::Done, Executed::worse)
}

/// Makes one object, or brings it back to what it should be. Nothing is sent when it is.
pub async fn keep<N: Nodes>(
    cluster: &RedisCluster,
    desired: &Desired,
    manifest: Manifest,
    ctx: &Context<N>,
) -> Result<(), objects::Error> {
    let key = manifest.key();
    let manifest = stamped(manifest);
    let owner = Owner::from(desired);
    let foreign = |object: String| {
        if ctx.memory.of(cluster.meta()).found_foreign(object) {
            ctx.metrics.error(Loop::Topology, "ResourceConflict");
            // The next pass knows of it, and says so.
            ctx.triggers.both(&ClusterRef::of(cluster.meta()));
        }
        Ok(())
    };
    match live(&manifest, desired, ctx) {
        None => match objects::create(&ctx.client, owner, &manifest).await {
            Ok(Created::New | Created::There(_)) => Ok(()),
            Err(objects::Error::Foreign { object }) => foreign(object),
            Err(error) => Err(error),
        },
        Some((metadata, _)) if metadata.deletion_timestamp.is_some() => {
            Err(objects::Error::Leftover { object: key })
        }
        Some((metadata, live)) => match ownership(&metadata, owner.uid, owner.name) {
            Ownership::Foreign => foreign(key),
            Ownership::Own if differs(&objects::rendered(&manifest), &live) => {
                let uid = Uid::new(metadata.uid.unwrap_or_default());
                objects::apply(&ctx.client, owner.namespace, &manifest, (&uid, None)).await
            }
            Ownership::Own => Ok(()),
            Ownership::Leftover => Err(objects::Error::Leftover { object: key }),
        },
    }
}

/// The object as the watches last showed it.
fn live<N: Nodes>(manifest: &Manifest, desired: &Desired, ctx: &Context<N>) -> Option<(ObjectMeta, Value)> {
    let cluster = ClusterRef { namespace: desired.namespace.clone(), name: desired.name.clone() };
    let (stores, name) = (&ctx.stores, manifest.name());
    macro_rules! seen {
        ($store:expr) => {
            named($store, &cluster, name).and_then(|object| {
                Some((object.metadata.clone(), serde_json::to_value(object.as_ref()).ok()?))
            })
        };
    }
    match manifest {
        Manifest::ConfigMap(_) => seen!(&stores.config_maps),
        Manifest::Secret(_) => seen!(&stores.secrets),
        Manifest::Service(_) => seen!(&stores.services),
        Manifest::StatefulSet(_) => seen!(&stores.stateful_sets),
        Manifest::PodDisruptionBudget(_) => seen!(&stores.budgets),
    }
}
