//! The same pods without the operator, formed by `redis-cli --cluster create`.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyslot_e2e::Namespace;
use keyslot_e2e::bench::NAME;
use keyslot_e2e::bench::nodes::{PORT, addresses};
use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::exec::exec;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::formation;
use crate::pods;

/// What one run has shown, in seconds after the last process started.
pub struct Run {
    pub exit: f64,
    pub formed: f64,
}

/// When redis-cli is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// As soon as all nodes answer: nobody can be faster.
    AllAnswer,
    /// When all pods are Ready, as people and scripts do it.
    AllReady,
}

/// Everything that pods need, as the operator has made it for a cluster of its own.
pub struct Objects {
    config: ConfigMap,
    acl: ConfigMap,
    system: Secret,
    service: Service,
    stateful_set: StatefulSet,
}

impl Objects {
    pub async fn of(namespace: &Namespace) -> Result<Self> {
        let mut acl: ConfigMap = taken(namespace, &format!("{NAME}-acl")).await?;
        open_to_everybody(&mut acl)?;
        Ok(Self {
            config: taken(namespace, &format!("{NAME}-config")).await?,
            acl,
            system: taken(namespace, &format!("{NAME}-system")).await?,
            service: taken(namespace, NAME).await?,
            stateful_set: taken(namespace, NAME).await?,
        })
    }

    /// Without any `RedisCluster` there: the operator has nothing to do with them.
    async fn create(&self, namespace: &Namespace) -> Result<()> {
        let mut service = self.service.clone();
        if let Some(spec) = &mut service.spec {
            // It is headless; the rest was filled in by Kubernetes.
            spec.cluster_ips = None;
        }
        let new = PostParams::default();
        namespace.api().create(&new, &self.config).await?;
        namespace.api().create(&new, &self.acl).await?;
        namespace.api().create(&new, &self.system).await?;
        namespace.api().create(&new, &service).await?;
        namespace.api().create(&new, &self.stateful_set).await?;
        Ok(())
    }
}

/// An object without what makes it belong to its place: the garbage collector would delete it elsewhere.
async fn taken<K>(namespace: &Namespace, name: &str) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    K::DynamicType: Default,
{
    let mut object = namespace.api::<K>().get(name).await?;
    let labels = Some(object.labels().clone());
    *object.meta_mut() = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
    Ok(object)
}

/// Keyslot's own users, which probes and replication need, and `default` without a password, as redis-cli
/// finds it on servers that nobody has secured yet.
fn open_to_everybody(acl: &mut ConfigMap) -> Result<()> {
    let files = acl.data.as_mut().context("no users.acl")?;
    for text in files.values_mut() {
        let own = text.lines().filter(|line| line.starts_with("user keyslot-"));
        let lines: Vec<&str> = std::iter::once("user default on nopass ~* &* +@all").chain(own).collect();
        ensure!(lines.len() > 1, "users.acl names none of Keyslot's users");
        *text = lines.join("\n") + "\n";
    }
    Ok(())
}

/// Makes the pods, runs redis-cli in the first of them, and looks on.
pub async fn form(namespace: &Namespace, objects: &Objects, shape: Shape, begin: Begin) -> Result<Run> {
    let (answering, all_answer) = oneshot::channel();
    let run = async {
        // When it does not come, the other side says why.
        if all_answer.await.is_err() {
            return std::future::pending().await;
        }
        if begin == Begin::AllReady {
            pods::until_ready(namespace, shape.nodes()).await?;
        }
        create_cluster(namespace, shape).await?;
        anyhow::Ok(Timestamp::now())
    };
    let looks = formation::look_on(namespace, shape, answering);
    let ((), exit, moments) = tokio::try_join!(objects.create(namespace), run, looks)?;
    Ok(Run { exit: moments.since_last_start(exit), formed: moments.since_last_start(moments.formed) })
}

async fn create_cluster(namespace: &Namespace, shape: Shape) -> Result<()> {
    let addresses = addresses(namespace).await?;
    let (first, _) = addresses.first_key_value().context("there are no pods")?;
    let nodes: Vec<String> = addresses.values().map(|ip| format!("{ip}:{PORT}")).collect();
    let replicas = shape.replicas.to_string();
    let mut command = vec!["redis-cli", "--cluster", "create"];
    command.extend(nodes.iter().map(String::as_str));
    command.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
    let output = exec(&namespace.api::<Pod>(), first, &command, "").await?;
    ensure!(output.contains("All 16384 slots covered"), "redis-cli: {output}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keyslots_own_users_and_an_open_default_are_left() {
        let text = "user default off\nuser keyslot-probe on #ab +ping\nuser worker on #cd ~app:*\n";
        let data = [("users.acl".to_owned(), text.to_owned())].into();
        let mut acl = ConfigMap { data: Some(data), ..ConfigMap::default() };
        open_to_everybody(&mut acl).unwrap();
        let expected = "user default on nopass ~* &* +@all\nuser keyslot-probe on #ab +ping\n";
        assert_eq!(acl.data.unwrap()["users.acl"], expected);
    }
}
