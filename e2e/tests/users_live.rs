//! Users change on all nodes at once, without a restart and without touching anybody else.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use keyslot_api::v1alpha1::{Password, Rotation, SecretKeyRef};
use keyslot_e2e::clusters::{self, WORKER_RULES, user};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, client, nodes, wait, with_namespace};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::connections::{all_end, ensure_kept, hold, hold_all, is_wrong_password};
use crate::steps::{DEFAULT_SECRET, WORKER_SECRET, acl_lines, formed, on_all_nodes};

#[test]
fn users_change_everywhere_and_connections_of_others_stay() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 3, 0);
        let (admin, worker) = (spec.users[0].clone(), spec.users[1].clone());
        let (other, old) = (user("other", &WORKER_RULES), user("old", &["~old:*", "+get"]));
        spec.users.extend([other.clone(), old]);
        let cluster = formed(namespace, spec).await?;
        let workers = hold(namespace, WORKER_SECRET).await?;
        let others = hold(namespace, "demo-user-other").await?;

        let mut changed = other.clone();
        changed.rules = vec!["~other:*".to_owned(), "+get".to_owned(), "+ping".to_owned()];
        let fresh = user("fresh", &WORKER_RULES);
        cluster.set_users(&[admin.clone(), worker.clone(), changed.clone(), fresh.clone()]).await?;
        on_all_nodes(&cluster, "other", "has its new rules", |line| {
            line.is_some_and(|line| line.contains("~other:*") && !line.contains("~app:*"))
        })
        .await?;
        on_all_nodes(&cluster, "old", "is gone", |line| line.is_none()).await?;
        on_all_nodes(&cluster, "fresh", "is there", |line| line.is_some_and(|line| line.contains(" on ")))
            .await?;
        cluster.wait_ready().await?;
        client::write_and_read(namespace, "demo-user-fresh", 100).await?;
        ensure_kept(&others).await.context("a user whose rules became narrower")?;
        ensure_kept(&workers).await.context("a user that nobody changed")?;

        changed.enabled = false;
        cluster.set_users(&[admin, worker, changed, fresh]).await?;
        on_all_nodes(&cluster, "other", "is off", |line| line.is_some_and(|line| line.contains(" off ")))
            .await?;
        ensure_kept(&workers).await.context("a user that nobody changed")
    })
}

#[test]
fn switching_a_user_off_ends_its_connections_and_nobody_elses() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis70, 3, 0);
        spec.users.push(user("other", &WORKER_RULES));
        let cluster = formed(namespace, spec).await?;
        let workers = hold(namespace, WORKER_SECRET).await?;
        let others = hold(namespace, "demo-user-other").await?;
        let mut users = cluster.get().await?.spec.users;
        users[1].enabled = false;
        cluster.set_users(&users).await?;
        all_end(&workers).await?;
        ensure_kept(&others).await.context("a user that nobody changed")
    })
}

/// The old password is valid for its grace, and then ends with whoever logged in by it.
#[test]
fn a_password_is_rotated_without_a_moment_in_which_none_is_valid() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Valkey81, 3, 0);
        spec.users.push(user("other", &WORKER_RULES));
        let cluster = formed(namespace, spec).await?;
        let old = cluster.secret(WORKER_SECRET, "password").await?;
        let workers = hold(namespace, WORKER_SECRET).await?;
        let others = hold(namespace, "demo-user-other").await?;

        let mut users = cluster.get().await?.spec.users;
        let (trigger, grace_period) = (Some("2026-11".to_owned()), "20s".to_owned());
        users[1].rotation = Some(Rotation { trigger, interval: None, grace_period });
        cluster.set_users(&users).await?;
        cluster.wait_ready().await?;
        let new = cluster.secret(WORKER_SECRET, "password").await?;
        ensure!(new != old, "the Secret tells the old password of a cluster that is Ready");
        let told = cluster.status().await?.users.into_iter().find(|user| user.name == "worker");
        ensure!(
            told.is_some_and(|user| user.previous_password_valid_until.is_some()),
            "nothing is told of the grace"
        );
        for password in [&old, &new] {
            let answers = nodes::ask_as(&cluster, "demo-0", "worker", password, &["PING"]).await?;
            ensure!(answers == ["PONG"], "{answers:?}");
        }
        ensure_kept(&workers).await.context("during the grace")?;

        all_end(&workers).await?;
        let answers = nodes::ask_as(&cluster, "demo-0", "worker", &old, &["PING"]).await;
        ensure!(is_wrong_password(&answers), "{answers:?}");
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;
        ensure_kept(&others).await.context("a user that nobody changed")?;
        wait::until("the status says so", wait::SOON, async || {
            let users = cluster.status().await?.users;
            ensure!(users.iter().all(|user| user.previous_password_valid_until.is_none()), "{users:?}");
            Ok(())
        })
        .await
    })
}

/// Whoever changes the Secret of a referenced password rotates it.
#[test]
fn a_password_from_a_secret_follows_it_and_an_entry_that_is_removed_ends_at_once() -> Result<()> {
    with_namespace(async |namespace| {
        let mut spec = clusters::spec(Server::Redis80, 1, 1);
        for (name, password) in [("first", "the-first-password"), ("second", "the-second-password")] {
            put_password(namespace, name, password).await?;
            spec.users[1].passwords.push(password_of(name));
        }
        let cluster = formed(namespace, spec.clone()).await?;
        let lets_in = async |password: &str| {
            let answers = nodes::ask_as(&cluster, "demo-0", "worker", password, &["PING"]).await;
            ensure!(answers.is_ok() || is_wrong_password(&answers), "{answers:?}");
            anyhow::Ok(answers.is_ok())
        };
        put_password(namespace, "first", "another-password").await?;
        wait::until("the changed password lets in", wait::SOON, async || {
            ensure!(lets_in("another-password").await?, "not yet");
            Ok(())
        })
        .await?;
        ensure!(lets_in("the-first-password").await?, "the former one is valid for an hour");
        ensure!(lets_in("the-second-password").await?, "nobody touched it");
        let workers = hold_all(namespace, WORKER_SECRET, 2).await?;
        spec.users[1].passwords.remove(0);
        cluster.set_users(&spec.users).await?;
        all_end(&workers).await?;
        for (password, valid) in
            [("the-first-password", false), ("another-password", false), ("the-second-password", true)]
        {
            ensure!(lets_in(password).await? == valid, "{password} lets in: {}", !valid);
        }
        Ok(())
    })
}

#[test]
fn a_generated_password_is_made_anew_when_its_key_is_taken_away() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis80, 1, 0)).await?;
        let leaked = cluster.secret(WORKER_SECRET, "password").await?;
        let without = Patch::Merge(json!({ "data": { "user.worker": null } }));
        let secrets = namespace.api::<Secret>();
        secrets.patch("demo-system", &PatchParams::default(), &without).await?;
        wait::until("the user has another password", wait::SOON, async || {
            let now = cluster.secret(WORKER_SECRET, "password").await?;
            ensure!(now != leaked, "it is the same");
            Ok(())
        })
        .await?;
        client::write_and_read(namespace, WORKER_SECRET, 100).await?;
        let answers = nodes::ask_as(&cluster, "demo-0", "worker", &leaked, &["PING"]).await;
        ensure!(is_wrong_password(&answers), "{answers:?}");
        Ok(())
    })
}

#[test]
fn what_is_changed_by_hand_on_a_node_is_repaired() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Valkey91, 1, 1)).await?;
        let wanted = acl_lines(&cluster, "worker").await?;
        let password = cluster.secret(DEFAULT_SECRET, "password").await?;
        let by_hand =
            ["ACL SETUSER worker allkeys +@all nopass", "ACL SETUSER intruder on nopass allkeys +@all"];
        for pod in ["demo-0", "demo-1"] {
            let answers = nodes::ask_as(&cluster, pod, "default", &password, &by_hand).await?;
            ensure!(answers == ["OK", "OK"], "{answers:?}");
        }
        // Nothing tells of it: it is found when the operator next looks at a settled cluster.
        wait::until("the users are as before", wait::A_WHILE, async || {
            let (lines, intruder) =
                (acl_lines(&cluster, "worker").await?, acl_lines(&cluster, "intruder").await?);
            ensure!(
                lines == wanted && intruder == [None, None],
                "{lines:?} instead of {wanted:?}; {intruder:?}"
            );
            Ok(())
        })
        .await?;
        let events = namespace.api::<Event>().list(&ListParams::default()).await?;
        let told: Vec<&str> = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some("UsersChangedByHand"))
            .filter_map(|event| event.note.as_deref())
            .collect();
        for pod in ["demo-0", "demo-1"] {
            let of_pod = told.iter().find(|note| note.contains(pod));
            ensure!(of_pod.is_some_and(|note| note.ends_with("intruder, worker")), "{told:?}");
        }
        Ok(())
    })
}

fn password_of(secret: &str) -> Password {
    let at = SecretKeyRef { name: secret.to_owned(), key: "password".to_owned() };
    Password { secret_key_ref: Some(at), sha256: None }
}

async fn put_password(namespace: &Namespace, name: &str, password: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": { "keyslot.dev/user-password": "true" } },
        "stringData": { "password": password },
    });
    let apply = PatchParams::apply("story").force();
    namespace.api::<Secret>().patch(name, &apply, &Patch::Apply(secret)).await?;
    Ok(())
}
