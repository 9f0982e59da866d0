//! Users that can't be put in force: a condition says which and why, the others go on, and correcting
//! the mistake heals it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::{Password, SecretKeyRef};
use keyslot_e2e::clusters::{self, Cluster, WORKER_RULES, user};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, with_namespace};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::steps::{WORKER_SECRET, formed};

#[test]
fn a_password_that_can_not_be_used_is_told_and_the_other_users_go_on() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis70, 1, 1)).await?;
        let secrets = namespace.api::<Secret>();
        let mut app = user("app", &WORKER_RULES);
        app.passwords = vec![from_secret("app-password", "password")];
        cluster.set_users(&[user("worker", &WORKER_RULES), app]).await?;
        told(&cluster, Reason::SecretNotFound, &["app-password"]).await?;

        secrets.create(&PostParams::default(), &secret(&[("wrong", "of no use")])).await?;
        told(&cluster, Reason::SecretNotAllowed, &["app-password", "kubectl", "keyslot.dev/user-password"])
            .await?;
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;

        let change = async |patch| {
            secrets.patch("app-password", &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
        };
        change(json!({ "metadata": { "labels": { "keyslot.dev/user-password": "true" } } })).await?;
        told(&cluster, Reason::SecretKeyMissing, &["app-password", "password"]).await?;
        change(json!({ "data": { "password": "" } })).await?;
        told(&cluster, Reason::SecretUnusable, &["app-password"]).await?;
        change(json!({ "stringData": { "password": "correct horse battery" } })).await?;
        cluster.wait_ready().await?;
        client::write_and_read(namespace, "demo-user-app", 100).await?;
        Ok(())
    })
}

#[test]
fn a_rule_that_the_server_refuses_is_told_in_its_words_and_the_other_users_go_on() -> Result<()> {
    with_namespace(async |namespace| {
        let spec = clusters::spec(Server::Valkey91, 1, 1);
        let (admin, mut changed) = (spec.users[0].clone(), spec.users[1].clone());
        let cluster = formed(namespace, spec).await?;
        changed.rules.push("+ping".to_owned());
        let wrong = user("app", &["~app:*", "+nosuchcommand"]);
        cluster.set_users(&[admin.clone(), changed.clone(), wrong]).await?;
        told(&cluster, Reason::RuleRefused, &["app", "+nosuchcommand", "Unknown command"]).await?;
        crate::steps::on_all_nodes(&cluster, "worker", "has its new rule", |line| {
            line.is_some_and(|line| line.contains("+ping"))
        })
        .await?;
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;
        cluster.set_users(&[admin, changed, user("app", &WORKER_RULES)]).await?;
        cluster.wait_ready().await?;
        client::write_and_read(namespace, "demo-user-app", 100).await?;
        Ok(())
    })
}

/// `AclApplied` is False for this reason and Ready with it, and the message has these words.
async fn told(cluster: &Cluster, reason: Reason, words: &[&str]) -> Result<()> {
    let told = cluster.wait_for(ConditionType::AclApplied, reason).await?;
    ensure!(told.status == "False", "{told:?}");
    for word in words {
        ensure!(told.message.contains(word), "{word} is not in: {}", told.message);
    }
    let ready = clusters::condition(&cluster.get().await?, ConditionType::Ready);
    ensure!(ready.as_ref().is_some_and(|ready| ready.status == "False"), "{ready:?}");
    let status = cluster.status().await?;
    let worker = status.users.iter().find(|user| user.name == "worker");
    ensure!(worker.is_some_and(|user| user.nodes_applied == user.nodes_total), "{worker:?}");
    Ok(())
}

fn from_secret(name: &str, key: &str) -> Password {
    let secret = SecretKeyRef { name: name.to_owned(), key: key.to_owned() };
    Password { secret_key_ref: Some(secret), sha256: None }
}

fn secret(data: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
    let mut secret = Secret { data: Some(data), ..Secret::default() };
    secret.metadata.name = Some("app-password".to_owned());
    secret
}
