//! Fetches what the resource refers to, from the watches' copies.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use keyslot_api::labels;
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec, User};
use keyslot_planner::Inputs;
use keyslot_planner::acl::PasswordHash;
use keyslot_planner::desired::{PasswordSecret, SystemMemory};
use keyslot_planner::ids::Uid;
use keyslot_planner::manifests::{IN_FORCE_FILE, names};
use kube::api::{Api, ObjectMeta};
use kube::{Resource, ResourceExt};
use secrecy::SecretString;

use super::Error;
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects::{self, Owner};
use crate::ownership::{Ownership, ownership};
use crate::pods;
use crate::stores::named;

/// Everything that the planner needs besides the resource.
pub async fn dereference<N: Nodes>(cluster: &RedisCluster, ctx: &Context<N>) -> Result<Inputs, Error> {
    let key = ClusterRef::of(cluster.meta());
    let uid = Uid::new(cluster.uid().unwrap_or_default());
    let own = |metadata: &ObjectMeta| ownership(metadata, &uid, &key.name) == Ownership::Own;
    let system =
        named(&ctx.stores.secrets, &key, &names::system(&key.name)).filter(|secret| own(&secret.metadata));
    let set = named(&ctx.stores.stateful_sets, &key, &key.name).filter(|set| own(&set.metadata));
    let pods = ctx.stores.pods_of(&key);
    let pods: Vec<&Pod> =
        pods.iter().map(AsRef::as_ref).filter(|p| pods::member_name(p, &key.name).is_some()).collect();
    let set_uid = set.as_ref().and_then(|set| set.uid()).map(Uid::new);
    let files =
        named(&ctx.stores.config_maps, &key, &names::config(&key.name)).filter(|map| own(&map.metadata));
    let system = system.as_ref().and_then(|secret| secret.data.as_ref());
    let system = system.map(SystemMemory::parse).unwrap_or_default();
    let settings = ctx.memory.of(cluster.meta()).facts().settings;
    Ok(Inputs {
        password_secrets: password_secrets(cluster, &key, ctx).await?,
        told: told(cluster, &key, own, ctx),
        in_force: in_force(set.as_deref(), &pods, files.as_deref(), &system),
        shards_seen: pods.iter().filter_map(|pod| pods::member(pod, set_uid.as_ref()).labels.shard).collect(),
        foreign_objects: foreign_objects(
            Owner { namespace: &key.namespace, name: &key.name, uid: &uid },
            cluster,
            ctx,
        )
        .await?,
        cluster_domain: ctx.cluster_domain.clone(),
        system_in_force: settings.and_then(|report| report.system_in_force().cloned()),
        files_delay: ctx.files_delay,
        not_stored: None,
        system,
    })
}

/// The referenced Secrets. Those with their owner's consent are watched, but a copy that this process has not compared
/// with the API server's own since the resource was changed may be old, and would bring a password back that was replaced. Of another one only the
/// existence is asked for, which costs a request as long as the user has to do something about it.
async fn password_secrets<N: Nodes>(
    cluster: &RedisCluster,
    key: &ClusterRef,
    ctx: &Context<N>,
) -> Result<BTreeMap<String, PasswordSecret>, Error> {
    let passwords = cluster.spec.users.iter().flat_map(|user| &user.passwords);
    let wanted: BTreeSet<&str> =
        passwords.filter_map(|p| p.secret_key_ref.as_ref()).map(|r| r.name.as_str()).collect();
    let api = &Api::<Secret>::namespaced(ctx.client.clone(), &key.namespace);
    let (memory, generation) = (&ctx.memory.of(cluster.meta()), cluster.metadata.generation);
    let looks = wanted.into_iter().map(|name| async move {
        let failed =
            |source| Error::Dereference(objects::Error::Api { object: format!("Secret/{name}"), source });
        let found = match named(&ctx.stores.user_passwords, key, name) {
            Some(copy) if memory.is_confirmed_secret(&copy, generation) => Some(password_secret(&copy)),
            Some(_) => api.get_opt(name).await.map_err(failed)?.map(|live| {
                memory.confirm_secret(&live, generation);
                password_secret(&live)
            }),
            None => api.get_metadata_opt(name).await.map_err(failed)?.map(|_| PasswordSecret::default()),
        };
        Ok(found.map(|found| (name.to_owned(), found)))
    });
    let found: Vec<_> = try_join_all(looks).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Without its owner's consent, nothing of it is known.
fn password_secret(secret: &Secret) -> PasswordSecret {
    let consent = secret.labels().get(labels::USER_PASSWORD);
    if consent.is_none_or(|consent| consent != labels::USER_PASSWORD_CONSENT) {
        return PasswordSecret::default();
    }
    PasswordSecret { allowed: true, values: secret.data.as_ref().map(texts).unwrap_or_default() }
}

/// What the users' own Secrets tell now.
fn told<N: Nodes>(
    cluster: &RedisCluster,
    key: &ClusterRef,
    own: impl Fn(&ObjectMeta) -> bool,
    ctx: &Context<N>,
) -> BTreeMap<String, PasswordHash> {
    let told = |user: &User| {
        let name = user.secret_name.clone().unwrap_or_else(|| names::user_secret(&key.name, &user.name));
        let secret = named(&ctx.stores.secrets, key, &name).filter(|secret| own(&secret.metadata))?;
        let password = secret.data.as_ref().and_then(|data| texts(data).remove("password"))?;
        Some((user.name.clone(), PasswordHash::of(&password)))
    };
    cluster.spec.users.iter().filter_map(told).collect()
}

fn texts(data: &BTreeMap<String, ByteString>) -> BTreeMap<String, SecretString> {
    let text = |bytes: &ByteString| std::str::from_utf8(&bytes.0).ok().map(SecretString::from);
    data.iter().filter_map(|(key, bytes)| Some((key.clone(), text(bytes)?))).collect()
}

/// What the pods were made from: as the StatefulSet says, or what it left behind while it is away.
fn in_force(
    set: Option<&StatefulSet>,
    pods: &[&Pod],
    files: Option<&ConfigMap>,
    system: &SystemMemory,
) -> Option<RedisClusterSpec> {
    let of_pod = |pod: &&Pod| parse(pod.annotations().get(labels::IN_FORCE)?);
    let of_files = |map: &ConfigMap| parse(map.data.as_ref()?.get(IN_FORCE_FILE)?);
    // Until this very resource has formed, pods that belong to a StatefulSet which is away may be an earlier resource's.
    let left_behind = |pod: &&&Pod| {
        system.formed || (pod.owner_references().is_empty() && pod.metadata.deletion_timestamp.is_none())
    };
    // Files are made once the Secret is complete. Before there were pods, a corrected resource is all that counts.
    let had_pods = system.formed || !system.is_complete();
    set.and_then(spec_in_force)
        .or_else(|| pods.iter().filter(left_behind).find_map(of_pod))
        .or_else(|| files.filter(|_| had_pods).and_then(of_files))
}

/// Annotation `keyslot.dev/in-force` of the StatefulSet's pods.
pub fn spec_in_force(set: &StatefulSet) -> Option<RedisClusterSpec> {
    let template = set.spec.as_ref()?.template.metadata.as_ref()?;
    parse(template.annotations.as_ref()?.get(labels::IN_FORCE)?)
}

fn parse(annotation: &str) -> Option<RedisClusterSpec> {
    serde_json::from_str(annotation)
        .inspect_err(|error| tracing::warn!(%error, "the annotation {} can't be read", labels::IN_FORCE))
        .ok()
}

/// What earlier passes ran into, as far as it is still there.
async fn foreign_objects<N: Nodes>(
    owner: Owner<'_>,
    cluster: &RedisCluster,
    ctx: &Context<N>,
) -> Result<BTreeSet<String>, Error> {
    let memory = ctx.memory.of(cluster.meta());
    let mut foreign = memory.facts().foreign;
    for key in foreign.clone() {
        let found = objects::owner_of(&ctx.client, owner, &key).await;
        let found = found
            .map_err(|source| Error::Dereference(objects::Error::Api { object: key.clone(), source }))?;
        if found != Some(Ownership::Foreign) {
            memory.not_foreign(&key);
            foreign.remove(&key);
        }
    }
    Ok(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use keyslot_planner::desired::SystemPasswords;

    #[test]
    fn values_that_are_no_text_are_absent() {
        let data = [
            ("password".to_owned(), ByteString(b"open sesame".to_vec())),
            ("key.der".to_owned(), ByteString(vec![0xff, 0xfe])),
        ];
        assert_eq!(texts(&data.into()).into_keys().collect::<Vec<_>>(), ["password"]);
    }

    #[test]
    fn pods_and_files_tell_what_is_in_force_while_the_set_is_away() {
        let spec = RedisClusterSpec::with_image("redis:8.0");
        let text = serde_json::to_string(&spec).unwrap();
        let mut pod = Pod::default();
        pod.metadata.annotations = Some([(labels::IN_FORCE.to_owned(), text.clone())].into());
        let data = Some([(IN_FORCE_FILE.to_owned(), text)].into());
        let files = ConfigMap { data, ..ConfigMap::default() };
        let made = || Some("made".into());
        let complete = SystemMemory {
            passwords: SystemPasswords { operator: made(), replication: made(), probe: made() },
            ..SystemMemory::default()
        };
        let formed = SystemMemory { formed: true, ..complete.clone() };
        let lost = SystemMemory::default();

        assert_eq!(in_force(None, &[&pod], None, &complete), Some(spec.clone()), "orphaned");
        pod.metadata.owner_references = Some(vec![OwnerReference::default()]);
        assert_eq!(in_force(None, &[&pod], None, &complete), None, "maybe an earlier resource's");
        assert_eq!(in_force(None, &[&pod], None, &formed), Some(spec.clone()), "the StatefulSet was deleted");
        assert_eq!(in_force(None, &[], Some(&files), &formed), Some(spec.clone()), "and its pods are gone");
        assert_eq!(in_force(None, &[], Some(&files), &lost), Some(spec), "and the Secret");
        assert_eq!(in_force(None, &[], Some(&files), &complete), None, "there never was a pod");
        assert_eq!(in_force(None, &[], None, &formed), None);
    }
}
