//! Where a flow takes place: a namespace of its own, and what a person does in it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use keyslot_api::labels::{USER_PASSWORD, USER_PASSWORD_CONSENT};
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec, User};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::faults::Truth;
use crate::nodes::{Kubelets, Machine, Order};

/// The cluster of every flow.
pub const NAME: &str = "demo";
/// Whatever has not happened by then does not happen.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// A namespace, and machines that are only its own.
#[derive(Clone)]
pub struct Scene {
    /// The administrator.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The machines that pods go to.
    pub group: String,
    /// Who plays them.
    pub kubelets: Arc<Kubelets>,
    /// The lists of users that the resource has had since it was Ready for the last time.
    users: Arc<Mutex<Vec<Vec<User>>>>,
}

impl Scene {
    /// Makes the namespace. Pods go to the machines of `group`.
    pub async fn create(
        client: &Client,
        namespace: &str,
        group: &str,
        kubelets: Arc<Kubelets>,
    ) -> Result<Self> {
        let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace } }))?;
        Api::all(client.clone()).create(&PostParams::default(), &object).await?;
        let (client, namespace, group) = (client.clone(), namespace.to_owned(), group.to_owned());
        let scene = Self { client, namespace, group, kubelets, users: Arc::default() };
        // Pods made before it are refused.
        let accounts = scene.api::<ServiceAccount>();
        until("the namespace has its service account", async || {
            accounts.get("default").await.context("there is none yet").map(drop)
        })
        .await?;
        Ok(scene)
    }

    /// Objects of the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Tells how it is at any time.
    pub fn truth(&self) -> Truth {
        let (kubelets, namespace) = (Arc::clone(&self.kubelets), self.namespace.clone());
        let users = Arc::clone(&self.users);
        Truth {
            pods: Box::new(move || kubelets.pods(&namespace)),
            users: Box::new(move || users.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    /// The resource is about to have this spec. A list of users that can't be read is refused.
    pub fn will_have(&self, spec: &Value) {
        let users = without_nulls(&spec["users"]);
        if let Ok(users) = serde_json::from_value(if users.is_null() { json!([]) } else { users }) {
            let mut lists = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            if !lists.contains(&users) {
                lists.push(users);
            }
        }
    }

    /// The present version of everything.
    pub async fn version(&self) -> Result<String> {
        let all = self.api::<Secret>().list_metadata(&ListParams::default()).await?;
        all.metadata.resource_version.context("a list without a version")
    }

    /// The resource as it is.
    pub async fn cluster(&self) -> Result<RedisCluster> {
        Ok(self.api().get(NAME).await?)
    }

    /// Creates the resource.
    pub async fn apply(&self, mut spec: RedisClusterSpec) -> Result<()> {
        spec.node_selector = [(Machine::GROUP.to_owned(), self.group.clone())].into();
        self.will_have(&serde_json::to_value(&spec)?);
        self.api().create(&PostParams::default(), &RedisCluster::new(NAME, spec)).await?;
        Ok(())
    }

    /// Changes the spec, as a person who edits it.
    pub async fn change(&self, spec: Value) -> Result<()> {
        if spec.get("users").is_some() {
            self.will_have(&spec);
        }
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.api::<RedisCluster>().patch(NAME, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Annotates the resource; `None` takes the annotation away.
    pub async fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { name: value } } }));
        self.api::<RedisCluster>().patch(NAME, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Deletes the resource, and waits until all of it but volumes is gone.
    pub async fn delete(&self) -> Result<()> {
        self.api::<RedisCluster>().delete(NAME, &DeleteParams::default()).await?;
        until("the cluster is gone", async || {
            ensure!(self.api::<RedisCluster>().get_opt(NAME).await?.is_none(), "the resource is there");
            let pods = self.pods().await?.len();
            ensure!(pods == 0, "{pods} pods are there");
            let ours = ListParams::default().labels("keyslot.dev/cluster");
            let secrets = self.api::<Secret>().list_metadata(&ours).await?.items.len();
            ensure!(secrets == 0, "{secrets} Secrets are there");
            Ok(())
        })
        .await
    }

    /// Makes or changes a Secret whose key `password` a cluster may use.
    pub async fn password_secret(&self, name: &str, password: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "labels": { USER_PASSWORD: USER_PASSWORD_CONSENT } },
            "stringData": { "password": password },
        });
        let parameters = PatchParams::apply("somebody").force();
        self.api::<Secret>().patch(name, &parameters, &Patch::Apply(secret)).await?;
        Ok(())
    }

    /// Deletes an object by hand.
    pub async fn delete_object<K>(&self, name: &str) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The pods of the cluster, by name.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let ours = ListParams::default().labels("keyslot.dev/cluster");
        let mut pods = self.api::<Pod>().list(&ours).await?.items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// The address of a pod.
    pub async fn address(&self, pod: &str) -> Result<Ipv4Addr> {
        let found = self.api::<Pod>().get(pod).await?;
        let address = found.status.and_then(|status| status.pod_ip).context("no address")?;
        Ok(address.parse()?)
    }

    /// The machine of a pod.
    pub async fn host(&self, pod: &str) -> Result<String> {
        let found = self.api::<Pod>().get(pod).await?;
        found.spec.and_then(|spec| spec.node_name).context("no machine")
    }

    /// How often the container of a pod was started again.
    pub async fn restarts(&self, pod: &str) -> Result<i32> {
        let found = self.api::<Pod>().get(pod).await?;
        let status = found.status.and_then(|status| status.container_statuses?.into_iter().next());
        Ok(status.context("it has not started yet")?.restart_count)
    }

    /// Starts a pod's container again at another address, and waits until it has it.
    pub async fn move_pod(&self, pod: &str) -> Result<()> {
        let before = self.address(pod).await?;
        self.kubelets.order(&self.namespace, pod, Order::Move)?;
        until(&format!("{pod} has another address"), async || {
            ensure!(self.address(pod).await? != before, "it is where it was");
            Ok(())
        })
        .await
    }

    /// Waits until the resource as it is now is Ready.
    pub async fn ready(&self) -> Result<()> {
        self.says("Ready", "True", None).await?;
        self.forget_former_users().await
    }

    /// From now on only what the resource gives now may be given to users.
    pub async fn forget_former_users(&self) -> Result<()> {
        let cluster = self.api::<RedisCluster>().get_opt(NAME).await?;
        let users = cluster.map(|cluster| cluster.spec.users).into_iter().collect();
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) = users;
        Ok(())
    }

    /// Waits until the probes of all pods say yes: those of replicas come some seconds after their links.
    pub async fn all_ready(&self, pods: usize) -> Result<()> {
        until("all pods are ready", async || {
            let ready = self.cluster().await?.status.and_then(|status| status.ready_nodes);
            if ready == Some(format!("{pods}/{pods}")) {
                return Ok(());
            }
            bail!("{ready:?} are; {}", self.pods().await?.iter().map(told).collect::<Vec<_>>().join("; "))
        })
        .await
    }

    /// Waits until a condition of the present generation has this status, and this reason if one is given.
    pub async fn says(&self, kind: &str, status: &str, reason: Option<&str>) -> Result<()> {
        until(&format!("{kind} is {status} {}", reason.unwrap_or_default()), async || {
            let cluster = self.cluster().await?;
            let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
            let found = conditions.clone().find(|one| one.type_ == kind).context("no such condition yet")?;
            let is_of_now = found.observed_generation == cluster.metadata.generation;
            let has_reason = reason.is_none_or(|reason| found.reason == reason);
            if is_of_now && found.status == status && has_reason {
                return Ok(());
            }
            bail!("{kind} is {} {}: {}", found.status, found.reason, found.message)
        })
        .await
    }
}

/// As the API server takes it: a field that is null is not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            there.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A pod in a line.
fn told(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_deref()?.first());
    let state = container.map(|one| (one.ready, one.started, one.restart_count, &one.state));
    format!("{} {:?} {state:?}", pod.name_any(), status.and_then(|status| status.phase.as_deref()))
}

/// Asks again and again until it is so; the last answer is part of the error.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(missing) if start.elapsed() > PATIENCE => {
                bail!("{what}: not within {} s: {missing:#}", PATIENCE.as_secs())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
