//! Looks at the cluster: its objects in the watches' copies, and every node itself, all at once and each within a hard
//! limit of time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use keyslot_api::labels::CLUSTER;
use keyslot_api::v1alpha1::AclStorage;
use keyslot_planner::Desired;
use keyslot_planner::ids::{PodName, Uid};
use keyslot_planner::manifests::{names, retention_of};
use keyslot_planner::observed::{FilesSeen, Member, Observed, StatefulSetSeen, Unreachable};
use kube::api::{Api, ListParams, ObjectMeta};
use kube::{Resource, ResourceExt};

use super::absences::absences;
use super::{Error, dereference};
use crate::cluster::ClusterRef;
use crate::context::{Context, credentials};
use crate::nodes::{Nodes, WatchedPod};
use crate::objects;
use crate::ownership::{Ownership, ownership};
use crate::pods;
use crate::stores::named;

/// How long a node may take to answer. A living one answers in milliseconds, unless a slow command blocks it.
pub const NODE_LIMIT: Duration = Duration::from_secs(2);

/// Everything that the topology's plan is made from.
pub async fn observe<N: Nodes>(desired: &Desired, ctx: &Context<N>) -> Result<Observed, Error> {
    let key = cluster_ref(desired);
    let set = named(&ctx.stores.stateful_sets, &key, &desired.name);
    let stateful_set = set.as_ref().and_then(|set| seen_set(set, desired));
    let own_set = stateful_set.as_ref().filter(|set| !set.terminating).map(|set| &set.uid);
    let mut members = members(desired, own_set, ctx);
    ask(&mut members, desired, ctx).await;
    let absent = match set.as_deref().filter(|_| own_set.is_some()) {
        Some(set) => absences(set, &members, ctx).await,
        None => BTreeMap::new(),
    };
    let config = named(&ctx.stores.config_maps, &key, &names::config(&desired.name));
    // Volumes can be left without pods only while nothing makes pods for them; an ephemeral cluster uses none.
    let kept = if stateful_set.is_none() && desired.in_force.storage.is_some() {
        volumes(desired, ctx).await?
    } else {
        Volumes::default()
    };
    Ok(Observed {
        pods: members,
        absent,
        locked_out: BTreeSet::new(),
        volumes: kept.ordinals,
        foreign_volumes: kept.foreign,
        stateful_set,
        config: config.and_then(|map| files(desired, &map.metadata, map.data.clone().unwrap_or_default())),
        acl: users_file(desired, ctx),
        formed: desired.system.formed,
    })
}

/// `<name>-acl` as it is.
pub fn users_file<N: Nodes>(desired: &Desired, ctx: &Context<N>) -> Option<FilesSeen> {
    let (key, name) = (cluster_ref(desired), names::acl(&desired.name));
    match desired.in_force.acl_storage {
        AclStorage::ConfigMap => {
            let map = named(&ctx.stores.config_maps, &key, &name)?;
            files(desired, &map.metadata, map.data.clone().unwrap_or_default())
        }
        AclStorage::Secret => {
            let secret = named(&ctx.stores.secrets, &key, &name)?;
            let data = secret.data.as_ref().into_iter().flatten();
            let text = |bytes: &k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
            files(desired, &secret.metadata, data.map(|(name, bytes)| (name.clone(), text(bytes))).collect())
        }
    }
}

/// The cluster's pods with what is known of them without asking their nodes, and a standing watch on each node.
pub fn members<N: Nodes>(
    desired: &Desired,
    set: Option<&Uid>,
    ctx: &Context<N>,
) -> BTreeMap<PodName, Member> {
    let key = cluster_ref(desired);
    let mut members = BTreeMap::new();
    let mut watched = BTreeMap::new();
    for pod in ctx.stores.pods_of(&key) {
        let Some(name) = pods::member_name(&pod, &desired.name) else { continue };
        let mut member = pods::member(&pod, set);
        member.zone = member.host.as_ref().and_then(|host| ctx.zones.of(host));
        if let Some(ip) = member.ip {
            watched.insert(member.uid.clone(), WatchedPod { ip, run: pods::container_run(&pod) });
        }
        members.insert(name, member);
    }
    if let Some(credentials) = credentials(desired) {
        ctx.watched.watch(&key, watched, ctx.nodes.as_ref(), (&credentials, &ctx.triggers));
    }
    members
}

async fn ask<N: Nodes>(members: &mut BTreeMap<PodName, Member>, desired: &Desired, ctx: &Context<N>) {
    let Some(credentials) = &credentials(desired) else {
        for member in members.values_mut() {
            member.redis = Err(Unreachable::NoPassword);
        }
        return;
    };
    let asked = members.values_mut().filter_map(|member| member.ip.map(|ip| (ip, &mut member.redis)));
    let asked = asked.map(|(ip, answer)| async move {
        // The client keeps the limit; this is for one that does not.
        let observed =
            tokio::time::timeout(2 * NODE_LIMIT, ctx.nodes.observe(ip, credentials, NODE_LIMIT)).await;
        *answer = observed.unwrap_or(Err(Unreachable::TimedOut));
    });
    join_all(asked).await;
}

/// The StatefulSet as decisions need it; a stranger's is none of ours.
fn seen_set(set: &StatefulSet, desired: &Desired) -> Option<StatefulSetSeen> {
    let of_earlier_resource = match ownership(set.meta(), &desired.uid, &desired.name) {
        Ownership::Own => false,
        Ownership::Leftover => true,
        Ownership::Foreign => return None,
    };
    let status = set.status.as_ref();
    let is_current = status.and_then(|s| s.observed_generation) == set.metadata.generation;
    Some(StatefulSetSeen {
        uid: Uid::new(set.uid().unwrap_or_default()),
        replicas: set.spec.as_ref().and_then(|s| s.replicas).and_then(|r| u32::try_from(r).ok()).unwrap_or(1),
        update_revision: status.and_then(|s| s.update_revision.clone()).filter(|_| is_current),
        in_force: dereference::spec_in_force(set),
        retention: retention_of(set),
        terminating: of_earlier_resource || set.metadata.deletion_timestamp.is_some(),
    })
}

fn files(desired: &Desired, metadata: &ObjectMeta, files: BTreeMap<String, String>) -> Option<FilesSeen> {
    let own = ownership(metadata, &desired.uid, &desired.name) == Ownership::Own;
    own.then(|| FilesSeen {
        uid: Uid::new(metadata.uid.clone().unwrap_or_default()),
        version: metadata.resource_version.clone().unwrap_or_default(),
        files,
    })
}

/// Volume claims with names that pods take, while there are no pods.
#[derive(Debug, Default, PartialEq, Eq)]
struct Volumes {
    /// Ordinals of those that are kept from an earlier resource, or from before the StatefulSet went away.
    ordinals: BTreeSet<u32>,
    /// Names of those that somebody else made.
    foreign: BTreeSet<String>,
}

async fn volumes<N: Nodes>(desired: &Desired, ctx: &Context<N>) -> Result<Volumes, Error> {
    let api = Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), &desired.namespace);
    let claims = api.list_metadata(&ListParams::default()).await.map_err(|source| {
        Error::Observe(objects::Error::Api { object: "PersistentVolumeClaim".to_owned(), source })
    })?;
    Ok(sorted(claims.items.into_iter().map(|claim| claim.metadata), &desired.name))
}

/// Claims carry the cluster's label from their template; whoever makes one by hand says with it what it is for.
fn sorted(claims: impl Iterator<Item = ObjectMeta>, cluster: &str) -> Volumes {
    let mut volumes = Volumes::default();
    for claim in claims {
        let Some(ordinal) = kept_ordinal(&claim, cluster) else { continue };
        let label = claim.labels.as_ref().and_then(|labels| labels.get(CLUSTER));
        if label.is_some_and(|name| name == cluster) {
            volumes.ordinals.insert(ordinal);
        } else {
            volumes.foreign.extend(claim.name);
        }
    }
    volumes
}

/// `data-<cluster>-<ordinal>`, if it stays. A claim that belongs to a StatefulSet which is away goes away with it.
fn kept_ordinal(claim: &ObjectMeta, cluster: &str) -> Option<u32> {
    let going = claim.deletion_timestamp.is_some()
        || claim.owner_references.iter().flatten().any(|owner| owner.kind == "StatefulSet");
    let ordinal = claim.name.as_deref()?.strip_prefix("data-")?.strip_prefix(cluster)?.strip_prefix('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    if going || !digits { None } else { ordinal.parse().ok() }
}

/// The key of what is wanted.
pub fn cluster_ref(desired: &Desired) -> ClusterRef {
    ClusterRef { namespace: desired.namespace.clone(), name: desired.name.clone() }
}

/// The uid of the cluster's own StatefulSet.
pub fn own_set<N: Nodes>(desired: &Desired, ctx: &Context<N>) -> Option<Uid> {
    let set = named(&ctx.stores.stateful_sets, &cluster_ref(desired), &desired.name)?;
    seen_set(&set, desired).filter(|set| !set.terminating).map(|set| set.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    fn claim(name: &str) -> ObjectMeta {
        ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
    }

    #[test]
    fn kept_claims_are_known_by_their_names() {
        assert_eq!(kept_ordinal(&claim("data-demo-11"), "demo"), Some(11));
        for other in ["data-demo-x", "data-demo-1-0", "data-demo2-0", "demo-0", "data-demo-", "logs-demo-0"] {
            assert_eq!(kept_ordinal(&claim(other), "demo"), None, "{other}");
        }
    }

    #[test]
    fn a_claim_without_our_label_is_somebody_elses() {
        let labelled = |name: &str, cluster: &str| ObjectMeta {
            labels: Some([(CLUSTER.to_owned(), cluster.to_owned())].into()),
            ..claim(name)
        };
        let claims = [
            labelled("data-demo-0", "demo"),
            claim("data-demo-1"),
            labelled("data-demo-2", "other"),
            claim("logs-demo-3"),
        ];
        let foreign = ["data-demo-1", "data-demo-2"].map(ToOwned::to_owned).into();
        assert_eq!(sorted(claims.into_iter(), "demo"), Volumes { ordinals: [0].into(), foreign });
    }

    #[test]
    fn a_claim_that_goes_away_with_its_set_is_not_kept() {
        let mut of_set = claim("data-demo-1");
        of_set.owner_references =
            Some(vec![OwnerReference { kind: "StatefulSet".to_owned(), ..OwnerReference::default() }]);
        assert_eq!(kept_ordinal(&of_set, "demo"), None);
    }
}
