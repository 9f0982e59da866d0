//! Resources of stories: making and changing them, and what their status says.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec, RedisClusterStatus, ResourceRequirements, User};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::settings::Server;
use crate::wait;

/// Rules of an application that uses a cluster-aware client: it has to ask where slots are.
pub const WORKER_RULES: [&str; 8] = [
    "~app:*",
    "&app:*",
    "+@read",
    "+@write",
    "+@connection",
    "-@dangerous",
    "+cluster|slots",
    "+cluster|shards",
];

/// A small cluster for a story: little memory, users `default` and `worker`.
pub fn spec(server: Server, shards: i32, replicas_per_shard: i32) -> RedisClusterSpec {
    let mut spec = RedisClusterSpec::with_image(server.image());
    spec.shards = shards;
    spec.replicas_per_shard = replicas_per_shard;
    let requests = [("cpu", "20m"), ("memory", "64Mi")];
    let quantity = |(name, size): (&str, &str)| (name.to_owned(), Quantity(size.to_owned()));
    spec.resources = Some(ResourceRequirements {
        requests: requests.map(quantity).into(),
        ..ResourceRequirements::default()
    });
    spec.users = vec![user("default", &["~*", "&*", "+@all"]), user("worker", &WORKER_RULES)];
    spec
}

/// A user with generated password.
pub fn user(name: &str, rules: &[&str]) -> User {
    User {
        name: name.to_owned(),
        enabled: true,
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        selectors: Vec::new(),
        passwords: Vec::new(),
        rotation: None,
        secret_name: None,
    }
}

/// One resource of a story.
#[derive(Clone)]
pub struct Cluster {
    pub namespace: Namespace,
    pub name: String,
    pub api: Api<RedisCluster>,
    pub pods: Api<Pod>,
}

impl Cluster {
    /// A handle on a resource, whether it is there or not.
    pub fn named(namespace: &Namespace, name: &str) -> Self {
        let (api, pods) = (namespace.api(), namespace.api());
        Self { namespace: namespace.clone(), name: name.to_owned(), api, pods }
    }

    /// Creates the resource.
    pub async fn create(namespace: &Namespace, name: &str, spec: RedisClusterSpec) -> Result<Self> {
        let cluster = Self::named(namespace, name);
        cluster.api.create(&PostParams::default(), &RedisCluster::new(name, spec)).await?;
        Ok(cluster)
    }

    /// The resource as it is now.
    pub async fn get(&self) -> Result<RedisCluster> {
        Ok(self.api.get(&self.name).await?)
    }

    pub async fn status(&self) -> Result<RedisClusterStatus> {
        self.get().await?.status.context("there is no status yet")
    }

    /// Changes `spec` by a merge patch.
    pub async fn change(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.api.patch(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Replaces the users.
    pub async fn set_users(&self, users: &[User]) -> Result<()> {
        self.change(json!({ "users": users })).await
    }

    /// Deletes the resource and waits until its pods are gone.
    pub async fn delete(&self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        wait::until("everything of the cluster is gone", wait::A_WHILE, async || {
            ensure!(self.api.get_opt(&self.name).await?.is_none(), "the resource is still there");
            let pods = self.list_pods().await?.len();
            ensure!(pods == 0, "{pods} pods are still there");
            Ok(())
        })
        .await
    }

    /// Waits until the whole resource, as it is now, is in force.
    pub async fn wait_ready(&self) -> Result<RedisCluster> {
        self.wait_ready_for(wait::A_WHILE).await
    }

    pub async fn wait_ready_for(&self, deadline: Duration) -> Result<RedisCluster> {
        wait::until(&format!("{} is Ready", self.name), deadline, async || {
            let cluster = self.get().await?;
            let generation = cluster.metadata.generation;
            let ready = condition(&cluster, ConditionType::Ready);
            let is_ready = ready
                .as_ref()
                .is_some_and(|one| one.status == "True" && one.observed_generation == generation);
            ensure!(is_ready, "{}", summary(&cluster));
            Ok(cluster)
        })
        .await
    }

    /// Waits for a condition of the present generation with this reason, and returns it.
    pub async fn wait_for(&self, kind: ConditionType, reason: Reason) -> Result<Condition> {
        wait::until(&format!("{} says {kind}: {reason}", self.name), wait::A_WHILE, async || {
            let cluster = self.get().await?;
            match condition(&cluster, kind) {
                Some(one)
                    if one.reason == reason.as_str()
                        && one.observed_generation == cluster.metadata.generation =>
                {
                    Ok(one)
                }
                _ => bail!("{}", summary(&cluster)),
            }
        })
        .await
    }

    /// Pods of the cluster, by name.
    pub async fn list_pods(&self) -> Result<Vec<Pod>> {
        let ours = ListParams::default().labels(&format!("keyslot.dev/cluster={}", self.name));
        let mut pods = self.pods.list(&ours).await?.items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// A value of a Secret, such as the password of a user.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secret = self.namespace.api::<Secret>().get(name).await?;
        let value = secret.data.and_then(|mut data| data.remove(key));
        let value = value.with_context(|| format!("Secret {name} has no {key}"))?;
        Ok(String::from_utf8(value.0)?)
    }
}

/// One condition of the resource.
pub fn condition(cluster: &RedisCluster, kind: ConditionType) -> Option<Condition> {
    let conditions = &cluster.status.as_ref()?.conditions;
    conditions.iter().find(|one| one.type_ == kind.as_str()).cloned()
}

/// The status in a few lines.
pub fn summary(cluster: &RedisCluster) -> String {
    let Some(status) = &cluster.status else { return "no status yet".to_owned() };
    let step = status.step.as_deref().unwrap_or("no step");
    let mut lines = vec![format!("{step}: {}", status.message.as_deref().unwrap_or_default())];
    lines.extend(status.conditions.iter().map(|one| {
        format!(
            "  {}={} {} ({:?}): {}",
            one.type_, one.status, one.reason, one.observed_generation, one.message
        )
    }));
    lines.join("\n")
}
