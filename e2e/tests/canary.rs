//! A password is in its Secrets and nowhere else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Pod, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keyslot_api::v1alpha1::{Password, RedisCluster, SecretKeyRef};
use keyslot_e2e::clusters::{self, Cluster, WORKER_RULES, user};
use keyslot_e2e::exec::exec;
use keyslot_e2e::settings::{OPERATOR_NAMESPACE, Server};
use keyslot_e2e::{Namespace, audit, client, install, operator, with_namespace};
use kube::api::{Api, ListParams, LogParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde_json::{json, to_string};

use crate::steps::{WORKER_SECRET, formed};

/// Arguments and environment of all processes of a container, again and again while probes come and go.
const LOOK_AROUND: &str = "n=0; while [ $n -lt 60 ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; \
                           sleep 0.05; n=$((n+1)); done | tr '\\0' '\\n' | sort -u";

/// Those that there must be, among others.
const PASSWORDS: [&str; 9] = [
    "app-password/password",
    "demo-system/operator-password",
    "demo-system/probe-password",
    "demo-system/replication-password",
    "demo-system/user.default",
    "demo-system/user.worker",
    "demo-user-app/password",
    "demo-user-default/password",
    "demo-user-worker/password",
];

#[test]
fn no_password_is_anywhere_but_in_its_secrets() -> Result<()> {
    with_namespace(async |namespace| {
        make_password(namespace).await?;
        let mut spec = clusters::spec(Server::Redis80, 1, 1);
        let mut app = user("app", &WORKER_RULES);
        let secret = SecretKeyRef { name: "app-password".to_owned(), key: "password".to_owned() };
        app.passwords = vec![Password { secret_key_ref: Some(secret), sha256: None }];
        // A refused rule makes the server and the operator talk about the user.
        let mut wrong = user("wrong", &["~*", "+nosuchcommand"]);
        wrong.passwords.clone_from(&app.passwords);
        spec.users.push(app);
        let cluster = formed(namespace, spec).await?;
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;
        client::write_and_read(namespace, "demo-user-app", 100).await?;
        let mut users = cluster.get().await?.spec.users;
        users.push(wrong);
        cluster.set_users(&users).await?;
        cluster
            .wait_for(
                keyslot_api::conditions::ConditionType::AclApplied,
                keyslot_api::conditions::Reason::RuleRefused,
            )
            .await?;

        let canaries = passwords(namespace).await?;
        let missing: Vec<_> = PASSWORDS.iter().filter(|name| !canaries.contains_key(**name)).collect();
        ensure!(missing.is_empty(), "{missing:?} are not among {:?}", canaries.keys());
        let mut places = objects(namespace).await?;
        places.extend(of_operators(namespace).await?);
        places.extend(of_servers(&cluster).await?);
        places.extend(of_audit_log(namespace)?);
        for (place, text) in places {
            for (name, [plain, encoded]) in &canaries {
                let found = text.contains(plain) || text.contains(encoded);
                ensure!(!found, "the value of {name} is in {place}");
            }
        }
        Ok(())
    })
}

async fn make_password(namespace: &Namespace) -> Result<()> {
    let secret = serde_json::from_value(json!({
        "metadata": { "name": "app-password", "labels": { "keyslot.dev/user-password": "true" } },
        "stringData": { "password": "canary-7f3a9e0c51" },
    }))?;
    namespace.api::<Secret>().create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// Every password that there is: of the system, generated, and given; as it is, and as a Secret shows it.
async fn passwords(namespace: &Namespace) -> Result<BTreeMap<String, [String; 2]>> {
    let mut all = BTreeMap::new();
    for secret in namespace.api::<Secret>().list(&ListParams::default()).await? {
        for (key, value) in secret.data.iter().flatten() {
            if key.contains("password") || key.starts_with("user.") {
                let text = String::from_utf8(value.0.clone()).with_context(|| key.clone())?;
                let name = format!("{}/{key}", secret.name_any());
                ensure!(text.len() >= 16, "the value of {name} is too short to be looked for");
                all.insert(name, [text, to_string(value)?.trim_matches('"').to_owned()]);
            }
        }
    }
    Ok(all)
}

/// Everything but Secrets that is about the cluster in Kubernetes.
async fn objects(namespace: &Namespace) -> Result<Vec<(String, String)>> {
    Ok(vec![
        all_of::<ConfigMap>(namespace).await?,
        all_of::<RedisCluster>(namespace).await?,
        all_of::<Event>(namespace).await?,
        all_of::<CoreEvent>(namespace).await?,
        all_of::<StatefulSet>(namespace).await?,
        all_of::<ControllerRevision>(namespace).await?,
        all_of::<Pod>(namespace).await?,
        all_of::<Service>(namespace).await?,
        all_of::<PodDisruptionBudget>(namespace).await?,
    ])
}

async fn all_of<K>(namespace: &Namespace) -> Result<(String, String)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let objects = namespace.api::<K>().list(&ListParams::default()).await?;
    let place = format!("{} of {}", K::plural(&()), K::api_version(&()));
    ensure!(!objects.items.is_empty(), "there are no {place}");
    Ok((place, to_string(&objects)?))
}

/// Logs and metrics of the operator's processes.
async fn of_operators(namespace: &Namespace) -> Result<Vec<(String, String)>> {
    let client = &namespace.client;
    let pods = Api::<Pod>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let mut places = Vec::new();
    for pod in install::operator_pods(client).await? {
        let name = pod.name_any();
        // A process that another story ends meanwhile has nothing to say.
        if let Ok(log) = pods.logs(&name, &LogParams::default()).await {
            places.push((format!("log of {name}"), log));
        }
        if let Ok(metrics) = operator::get(client, OPERATOR_NAMESPACE, &name, "metrics").await {
            places.push((format!("metrics of {name}"), metrics));
        }
    }
    let about_us = places.iter().any(|(_, text)| text.contains(&namespace.name));
    ensure!(about_us, "no operator has said anything about this namespace");
    Ok(places)
}

/// Logs of the servers, and their processes with arguments and environment.
async fn of_servers(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let pods = cluster.list_pods().await?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    let servers = pods.iter().map(|pod| async {
        let (pods, name) = (&cluster.pods, pod.name_any());
        let log = pods.logs(&name, &LogParams::default()).await?;
        let processes = exec(pods, &name, &["sh", "-c", LOOK_AROUND], "").await?;
        for part in ["redis-server", "PATH="] {
            ensure!(processes.contains(part), "{name} shows no {part}: {processes}");
        }
        anyhow::Ok([(format!("log of {name}"), log), (format!("processes of {name}"), processes)])
    });
    Ok(try_join_all(servers).await?.into_iter().flatten().collect())
}

/// All that the operator has asked for, and what it has written into anything but Secrets.
fn of_audit_log(namespace: &Namespace) -> Result<Option<(String, String)>> {
    let Some(text) = audit::text("whether a password is in the audit log")? else { return Ok(None) };
    let has_bodies =
        text.lines().any(|line| line.contains("requestObject") && line.contains(&namespace.name));
    ensure!(has_bodies, "the audit log does not show what the operator writes into this namespace");
    Ok(Some(("the audit log".to_owned(), text)))
}
