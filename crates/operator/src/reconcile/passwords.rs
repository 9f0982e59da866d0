//! Keeps the system Secret: makes the passwords that it lacks, rotates those that are due, and forgets those that have
//! ended. What is new is stored before anything uses it: a password that only a server knows would lock everybody out.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::desired::{SystemMemory, is_system_secret_lost, next_memory};
use keyslot_planner::ids::Uid;
use keyslot_planner::manifests::{self, names};
use keyslot_planner::status::Transition;
use keyslot_planner::{Inputs, Manifest};
use kube::api::{Api, Patch};
use kube::{Resource, ResourceExt};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use serde_json::{Value, json};
use tracing::warn;

use super::report::publish;
use super::{Error, system_secret};
use crate::cluster::ClusterRef;
use crate::context::Context;
use crate::nodes::Nodes;
use crate::objects::{self, Created, Owner};
use crate::ownership::{Ownership, ownership};
use crate::stores::named;

/// 62^32 possibilities, and no character that a shell, a URL or a file needs to escape.
const LENGTH: usize = 32;

/// The other loop or an earlier pass may be faster; more than that is trouble.
const ATTEMPTS: usize = 3;

/// The inputs with every password that is needed, and with the marker as it is now: a cluster that an old copy calls
/// unformed would be formed again. When somebody else has the Secret's name the passwords stay away, and the inputs say
/// so. When only a user's password can't be stored, that user alone has to wait.
pub async fn ensure<N: Nodes>(
    cluster: &RedisCluster,
    mut inputs: Inputs,
    ctx: &Context<N>,
) -> Result<Inputs, Error> {
    let key = ClusterRef::of(cluster.meta());
    let uid = Uid::new(cluster.uid().unwrap_or_default());
    let owner = Owner { namespace: &key.namespace, name: &key.name, uid: &uid };
    let memory = ctx.memory.of(cluster.meta());
    let known = memory.facts().system_secret;
    let is_new_process = known.is_none();
    let copy = named(&ctx.stores.secrets, &key, &names::system(&key.name));
    let mut seen = copy.map(|copy| system_secret::newest(copy, known));
    // What is written has to follow from the very version that it replaces.
    let own = seen.as_deref().filter(|secret| ownership(&secret.metadata, &uid, &key.name) == Ownership::Own);
    inputs.system = own.map(remembered).unwrap_or_default();
    if is_new_process || !inputs.system.formed || is_system_secret_lost(&inputs) {
        seen = match system_secret::live(owner, &ctx.client).await {
            Err(objects::Error::Foreign { object }) => {
                return Ok(in_the_way(object, inputs, cluster, ctx));
            }
            found => found.map_err(Error::Passwords)?.map(Arc::new),
        };
        memory.saw_system_secret(seen.clone());
        inputs.system = seen.as_deref().map(remembered).unwrap_or_default();
        if is_system_secret_lost(&inputs) {
            // New passwords would let nobody in.
            return Ok(inputs);
        }
    }
    for _ in 0..ATTEMPTS {
        let next = next_memory(cluster, &inputs, Timestamp::now(), generate);
        let Some(next) = next.filter(|_| !cluster.spec.paused) else { return Ok(inputs) };
        if !ctx.leadership.is_held() {
            return Err(Error::NotLeader);
        }
        match store(cluster, &next, (owner, seen.as_deref()), ctx).await {
            Ok(Stored::Yes(stored)) => {
                memory.saw_system_secret(stored);
                tell(cluster, &inputs.system, &next, ctx).await;
                inputs.system = next;
                return Ok(inputs);
            }
            // Somebody was faster, or the watch's copy is old: what is there counts.
            Ok(Stored::NotOnThis(there)) => {
                memory.saw_system_secret(Some(Arc::clone(&there)));
                inputs.system = remembered(&there);
                if inputs.system.is_complete() {
                    // What this pass knows of the users is older than what is there: the next pass looks again.
                    return Ok(inputs);
                }
                seen = Some(there);
            }
            Err(objects::Error::Foreign { object }) => {
                return Ok(in_the_way(object, inputs, cluster, ctx));
            }
            Err(error) if inputs.system.is_complete() => {
                warn!(cluster = %key, %error, "passwords of users can't be stored");
                inputs.not_stored = Some(error.to_string());
                return Ok(inputs);
            }
            Err(error) => return Err(Error::Passwords(error)),
        }
    }
    Err(Error::Passwords(replaced(&key)))
}

/// Others change the Secret faster than this process can.
fn replaced(key: &ClusterRef) -> objects::Error {
    objects::Error::Replaced { object: format!("Secret/{}", names::system(&key.name)) }
}

/// Tells how a rotation of Keyslot's own passwords goes on.
async fn tell<N: Nodes>(
    cluster: &RedisCluster,
    before: &SystemMemory,
    after: &SystemMemory,
    ctx: &Context<N>,
) {
    if let Some(news) = after.system_rotation.news(&before.system_rotation) {
        let reason = Reason::SystemPasswordsRotated.to_string();
        publish(cluster, Transition { warning: false, reason, note: news.to_owned() }, ctx).await;
    }
}

/// Somebody else has the Secret's name: the next passes know of it too.
fn in_the_way<N: Nodes>(
    object: String,
    mut inputs: Inputs,
    cluster: &RedisCluster,
    ctx: &Context<N>,
) -> Inputs {
    ctx.memory.of(cluster.meta()).found_foreign(object.clone());
    inputs.foreign_objects.insert(object);
    inputs
}

fn remembered(secret: &Secret) -> SystemMemory {
    secret.data.as_ref().map(SystemMemory::parse).unwrap_or_default()
}

fn generate() -> SecretString {
    SecretString::from(Alphanumeric.sample_string(&mut rand::rng(), LENGTH))
}

enum Stored {
    /// As this, when it was there before.
    Yes(Option<Arc<Secret>>),
    /// Nothing was written; this is what is there.
    NotOnThis(Arc<Secret>),
}

/// Writes the memory: by POST, or into exactly the version that was seen.
async fn store<N: Nodes>(
    cluster: &RedisCluster,
    memory: &SystemMemory,
    (owner, seen): (Owner<'_>, Option<&Secret>),
    ctx: &Context<N>,
) -> Result<Stored, objects::Error> {
    let manifest = manifests::system_secret(cluster, memory);
    let key = manifest.key();
    let api = Api::<Secret>::namespaced(ctx.client.clone(), owner.namespace);
    let name = manifest.name();
    let failed = |source| objects::Error::Api { object: key.clone(), source };
    match seen {
        None => match objects::create(&ctx.client, owner, &manifest).await? {
            Created::New => return Ok(Stored::Yes(None)),
            Created::There(_) => {}
        },
        Some(seen) => {
            match ownership(&seen.metadata, owner.uid, owner.name) {
                Ownership::Own => {}
                Ownership::Leftover => return Err(objects::Error::Leftover { object: key }),
                Ownership::Foreign => return Err(objects::Error::Foreign { object: key }),
            }
            let Manifest::Secret(secret) = &manifest else {
                return Err(objects::Error::Replaced { object: key });
            };
            let mut data = json!(secret.data);
            let forgotten = seen.data.iter().flat_map(BTreeMap::keys);
            for key in forgotten.filter(|key| manifests::is_forgotten(key)) {
                if data.get(key).is_none() {
                    data[key] = Value::Null;
                }
            }
            let version =
                json!({ "uid": seen.metadata.uid, "resourceVersion": seen.metadata.resource_version });
            let patch = json!({ "metadata": version, "data": data });
            match api.patch(name, &objects::merge(), &Patch::Merge(&patch)).await {
                Ok(stored) => return Ok(Stored::Yes(Some(Arc::new(stored)))),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }
    match api.get_opt(name).await.map_err(failed)? {
        Some(there) => Ok(Stored::NotOnThis(Arc::new(there))),
        None => Err(objects::Error::Replaced { object: key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn generated_passwords_are_32_letters_and_digits_and_never_the_same() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.expose_secret().len(), LENGTH);
        assert!(one.expose_secret().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
