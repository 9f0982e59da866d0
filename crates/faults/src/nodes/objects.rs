//! What the played nodes know of the API server: copies kept by watches.

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use std::collections::BTreeMap;
use std::fmt::Debug;

/// The copies.
#[derive(Clone)]
pub struct Objects {
    /// For writes.
    pub client: Client,
    config_maps: Store<ConfigMap>,
    secrets: Store<Secret>,
    claims: Store<PersistentVolumeClaim>,
}

impl Objects {
    /// Begins to watch; returns when everything was read once.
    pub async fn watch(client: Client, tasks: &mut JoinSet<()>) -> Result<Self> {
        let config_maps = keep(client.clone(), tasks);
        let secrets = keep(client.clone(), tasks);
        let claims = keep(client.clone(), tasks);
        let objects = Self { client, config_maps, secrets, claims };
        objects.config_maps.wait_until_ready().await?;
        objects.secrets.wait_until_ready().await?;
        objects.claims.wait_until_ready().await?;
        Ok(objects)
    }

    /// The files of a volume of this pod that is a ConfigMap or a Secret; `None` for other volumes.
    pub fn files(&self, pod: &Pod, volume: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
        let spec = pod.spec.as_ref().context("a pod without a spec")?;
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        let volume = volumes.iter().find(|one| one.name == volume).context("an unknown volume")?;
        let namespace = pod.namespace().unwrap_or_default();
        if let Some(source) = &volume.config_map {
            let key = ObjectRef::new(&source.name).within(&namespace);
            let found = self
                .config_maps
                .get(&key)
                .with_context(|| format!("configmap {:?} not found", source.name))?;
            let text = found.data.clone().unwrap_or_default();
            return Ok(Some(text.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()));
        }
        let Some(source) = &volume.secret else { return Ok(None) };
        let name = source.secret_name.as_deref().unwrap_or_default();
        let found = self.secrets.get(&ObjectRef::new(name).within(&namespace));
        let found = found.with_context(|| format!("secret {name:?} not found"))?;
        let data = found.data.clone().unwrap_or_default();
        let all = || data.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        let Some(items) = &source.items else { return Ok(Some(all())) };
        let chosen = items.iter().map(|item| {
            let value =
                data.get(&item.key).with_context(|| format!("secret {name:?} has no key {:?}", item.key))?;
            Ok((item.path.clone(), value.0.clone()))
        });
        chosen.collect::<Result<_>>().map(Some)
    }

    /// The claim of a pod.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<PersistentVolumeClaim> {
        self.claims.get(&ObjectRef::new(name).within(namespace)).map(|claim| claim.as_ref().clone())
    }
}

/// Keeps copies of all objects of a kind.
fn keep<K>(client: Client, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff().reflect(writer);
    tasks.spawn(async move { events.for_each(async |_| {}).await });
    store
}
