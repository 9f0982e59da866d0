//! A password is in its Secrets and nowhere else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use keyslot_api::v1alpha1::{Password, RedisCluster, SecretKeyRef};
use keyslot_e2e::clusters::{self, WORKER_RULES, user};
use keyslot_e2e::exec::exec;
use keyslot_e2e::settings::{OPERATOR_NAMESPACE, Server};
use keyslot_e2e::{Namespace, client, install, with_namespace};
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams, PostParams};
use serde_json::{json, to_string};

use crate::steps::{WORKER_SECRET, formed};

/// Arguments and environment of all processes of a container, again and again while probes come and go.
const LOOK_AROUND: &str = "n=0; while [ $n -lt 60 ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; \
                           sleep 0.05; n=$((n+1)); done | tr '\\0' '\\n' | sort -u";

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
        ensure!(canaries.len() >= 6, "only {:?}", canaries.keys());
        for (place, text) in places(namespace).await? {
            for (name, canary) in &canaries {
                ensure!(!text.contains(canary.as_str()), "the value of {name} is in {place}");
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

/// Every password that there is: of the system, generated, and given.
async fn passwords(namespace: &Namespace) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for secret in namespace.api::<Secret>().list(&ListParams::default()).await? {
        for (key, value) in secret.data.iter().flatten() {
            let text = String::from_utf8(value.0.clone()).with_context(|| key.clone())?;
            if (key.contains("password") || key.starts_with("user.")) && text.len() >= 16 {
                all.insert(format!("{}/{key}", secret.name_any()), text);
            }
        }
    }
    Ok(all)
}

/// Everything that people and programs without access to Secrets may read.
async fn places(namespace: &Namespace) -> Result<Vec<(String, String)>> {
    let every = ListParams::default();
    let mut places = vec![
        ("ConfigMaps".to_owned(), to_string(&namespace.api::<ConfigMap>().list(&every).await?)?),
        ("the resource".to_owned(), to_string(&namespace.api::<RedisCluster>().list(&every).await?)?),
        ("events".to_owned(), to_string(&namespace.api::<Event>().list(&every).await?)?),
        ("the StatefulSet".to_owned(), to_string(&namespace.api::<StatefulSet>().list(&every).await?)?),
        ("pods".to_owned(), to_string(&namespace.api::<Pod>().list(&every).await?)?),
    ];
    let operators = Api::<Pod>::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    for pod in install::operator_pods(&namespace.client).await? {
        let name = pod.name_any();
        places.push((format!("log of {name}"), operators.logs(&name, &LogParams::default()).await?));
    }
    let pods = namespace.api::<Pod>();
    let servers = ["demo-0", "demo-1"].map(|pod| {
        let pods = pods.clone();
        async move {
            let log = pods.logs(pod, &LogParams::default()).await?;
            let processes = exec(&pods, pod, &["sh", "-c", LOOK_AROUND], "").await?;
            ensure!(processes.contains("redis-server"), "{pod} shows no processes: {processes}");
            Ok([(format!("log of {pod}"), log), (format!("processes of {pod}"), processes)])
        }
    });
    places.extend(try_join_all(servers).await?.into_iter().flatten());
    Ok(places)
}
