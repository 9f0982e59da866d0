//! Users change on all nodes at once, without a restart and without touching anybody else.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use keyslot_e2e::client::Running;
use keyslot_e2e::clusters::{self, WORKER_RULES, user};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{client, nodes, wait, with_namespace};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

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
#[ignore = "servers keep the connections of a user that is switched off, and nothing ends them yet"]
fn switching_a_user_off_ends_its_connections() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis70, 3, 0)).await?;
        let workers = hold(namespace, WORKER_SECRET).await?;
        let mut users = cluster.get().await?.spec.users;
        users[1].enabled = false;
        cluster.set_users(&users).await?;
        wait::until("the connections of a user that is off end", wait::SOON, async || {
            let lost = lost(&workers).await?;
            ensure!(lost.len() == 3, "{} of 3 have ended", lost.len());
            Ok(())
        })
        .await
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
        ensure!(
            answers.as_ref().is_err_and(|error| format!("{error:#}").contains("WRONGPASS")),
            "{answers:?}"
        );
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
        .await
    })
}

async fn hold(namespace: &keyslot_e2e::Namespace, secret: &str) -> Result<Running> {
    let client = client::start(namespace, secret, &["hold"]).await?;
    wait::until("the client holds its connections", wait::A_WHILE, async || {
        let lines = client.lines().await?;
        ensure!(lines.iter().any(|line| line["held"] == 3), "{lines:?}");
        Ok(())
    })
    .await?;
    Ok(client)
}

async fn ensure_kept(client: &Running) -> Result<()> {
    let lost = lost(client).await?;
    ensure!(lost.is_empty(), "connections have ended: {lost:?}");
    Ok(())
}

/// What the client says of each connection that has ended.
async fn lost(client: &Running) -> Result<Vec<Value>> {
    let mut lines = client.lines().await?;
    lines.retain(|line| !line["lost"].is_null());
    Ok(lines)
}
