//! Users change while applications write: whoever is not concerned does not notice, and no acknowledged write is lost.
//!
//! Four users write, two of them concerned: one loses a rule, one is given another password and reads it from its
//! Secret. One user comes, one goes, one is revoked, and one with the rules of a replica only keeps its connections.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use keyslot_api::v1alpha1::{Rotation, User};
use keyslot_e2e::client::Running;
use keyslot_e2e::clusters::{self, Cluster, WORKER_RULES, user};
use keyslot_e2e::load::{self, Ledger, Load};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, nodes, report, wait, with_namespace};
use kube::ResourceExt;

use crate::connections::{
    all_end, connections_of, ensure_kept, hold, is_wrong_password, lost, refused_logins,
};
use crate::steps::{acl_lines, formed, on_all_nodes};

/// Their connections stay, whatever becomes of others; one of them has fewer rules meanwhile.
const KEPT: [&str; 4] = ["worker", "second", "edited", "mirror"];
/// Nobody may refuse them a login.
const LET_IN: [&str; 7] = ["default", "worker", "second", "edited", "mirror", "rotated", "joiner"];

#[test]
fn users_change_under_load_and_nobody_else_notices_on_redis_7_0() -> Result<()> {
    with_namespace(async |namespace| story(namespace, Server::Redis70).await)
}

#[test]
fn users_change_under_load_and_nobody_else_notices_on_redis_8_0() -> Result<()> {
    with_namespace(async |namespace| story(namespace, Server::Redis80).await)
}

#[test]
fn users_change_under_load_and_nobody_else_notices_on_valkey_8_1() -> Result<()> {
    with_namespace(async |namespace| story(namespace, Server::Valkey81).await)
}

#[test]
fn users_change_under_load_and_nobody_else_notices_on_valkey_9_1() -> Result<()> {
    with_namespace(async |namespace| story(namespace, Server::Valkey91).await)
}

/// Everybody who is connected.
struct Clients {
    worker: Load,
    second: Load,
    edited: Load,
    rotated: Load,
    mirror: Running,
    revoked: Running,
    leaver: Running,
}

async fn story(namespace: &Namespace, server: Server) -> Result<()> {
    let mut spec = clusters::spec(server, 3, 0);
    spec.users.push(user("mirror", &["+psync", "+replconf", "+ping"]));
    spec.users
        .extend(["second", "edited", "rotated", "revoked", "leaver"].map(|name| user(name, &WORKER_RULES)));
    let cluster = formed(namespace, spec).await?;
    let clients = Clients::start(namespace).await?;
    let before = connections_of(&cluster, &KEPT).await?;
    for name in KEPT {
        let count = before.iter().filter(|(_, user, _)| user == name).count();
        ensure!(count >= 3, "{name} has {count} connections");
    }

    // The grace of this one passes while the others change.
    let mut users = cluster.get().await?.spec.users;
    rotate(&cluster, &mut users, &clients.rotated).await?;
    let narrowed = narrow(&cluster, &mut users, &clients.edited).await?;
    add_one_and_remove_one(&cluster, &mut users, &clients.leaver).await?;
    let revoked = revoke(&cluster, &mut users, &clients.revoked).await?;
    the_grace_ends(&cluster).await?;
    cluster.wait_ready().await?;

    let after = connections_of(&cluster, &KEPT).await?;
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(gone.is_empty(), "connections of users that keep them have ended: {gone:?}");
    ensure_kept(&clients.mirror).await.context("a user that nobody changed")?;
    let probes = clients.edited.probes().await?;
    let forbidden =
        probes.last().filter(|(answer, _)| answer == "NOPERM").context("INCR is allowed again")?.1;
    let ledgers = clients.ledgers(&cluster).await?;
    judge(&ledgers)?;
    nobody_was_refused(&cluster).await?;
    let ledgers: Vec<String> = ledgers.iter().map(|(user, ledger)| format!("{user}: {ledger}")).collect();
    report::measured(&format!(
        "users under load on {} {}x: NOPERM {} ms after the change, sessions of the revoked dead after {} ms; {}",
        server.engine(),
        server.version(),
        forbidden - narrowed,
        revoked,
        ledgers.join("; "),
    ));
    Ok(())
}

impl Clients {
    async fn start(namespace: &Namespace) -> Result<Self> {
        let loads = ["worker", "second", "edited", "rotated"];
        let loads = try_join_all(loads.map(|user| Load::start(namespace, user, user == "edited")));
        let held = ["demo-user-mirror", "demo-user-revoked", "demo-user-leaver"];
        let held = try_join_all(held.map(|secret| hold(namespace, secret)));
        let (loads, held) = try_join(loads, held).await?;
        let [worker, second, edited, rotated] = <[Load; 4]>::try_from(loads).ok().context("four loads")?;
        let [mirror, revoked, leaver] = <[Running; 3]>::try_from(held).ok().context("three others")?;
        Ok(Self { worker, second, edited, rotated, mirror, revoked, leaver })
    }

    /// Stops those that write; by user.
    async fn ledgers(&self, cluster: &Cluster) -> Result<BTreeMap<String, Ledger>> {
        let loads = [&self.worker, &self.second, &self.edited, &self.rotated];
        let ledgers = load::stop(cluster, &loads).await?;
        Ok(loads.iter().map(|load| load.user.clone()).zip(ledgers).collect())
    }
}

/// Changes one user, and returns when that was asked for, in milliseconds since 1970.
async fn change(
    cluster: &Cluster,
    users: &mut [User],
    name: &str,
    how: impl FnOnce(&mut User),
) -> Result<i64> {
    how(users.iter_mut().find(|user| user.name == name).context("no such user")?);
    let now = Timestamp::now().as_millisecond();
    cluster.set_users(users).await?;
    Ok(now)
}

/// Returns when the client has the new password: until the grace ends, the old one is as good.
async fn rotate(cluster: &Cluster, users: &mut [User], client: &Load) -> Result<()> {
    let (trigger, grace_period) = (Some("2026-11".to_owned()), "30s".to_owned());
    let rotation = Rotation { trigger, interval: None, grace_period };
    change(cluster, users, "rotated", |user| user.rotation = Some(rotation)).await?;
    client.switched().await
}

async fn narrow(cluster: &Cluster, users: &mut [User], client: &Load) -> Result<i64> {
    let begun = change(cluster, users, "edited", |user| user.rules.push("-incr".to_owned())).await?;
    wait::until("a command that was taken away is forbidden", wait::SOON, async || {
        let probes = client.probes().await?;
        let answers: Vec<&str> = probes.iter().map(|(answer, _)| answer.as_str()).collect();
        ensure!(answers.first() == Some(&"allowed"), "it was not allowed before: {answers:?}");
        ensure!(answers.last() == Some(&"NOPERM"), "{answers:?}");
        Ok(())
    })
    .await?;
    Ok(begun)
}

async fn add_one_and_remove_one(cluster: &Cluster, users: &mut Vec<User>, leaver: &Running) -> Result<()> {
    users.push(user("joiner", &WORKER_RULES));
    cluster.set_users(users).await?;
    cluster.wait_ready().await?;
    let password = cluster.secret("demo-user-joiner", "password").await?;
    for pod in cluster.list_pods().await? {
        let answers = nodes::ask_as(cluster, &pod.name_any(), "joiner", &password, &["PING"]).await?;
        ensure!(answers == ["PONG"], "{answers:?}");
    }
    users.retain(|user| user.name != "leaver");
    cluster.set_users(users).await?;
    all_end(leaver).await?;
    on_all_nodes(cluster, "leaver", "is gone", |line| line.is_none()).await
}

/// Returns after how many milliseconds the last session of it was dead.
async fn revoke(cluster: &Cluster, users: &mut [User], client: &Running) -> Result<i64> {
    let password = cluster.secret("demo-user-revoked", "password").await?;
    ensure_kept(client).await.context("before the user was revoked")?;
    let begun = change(cluster, users, "revoked", |user| user.enabled = false).await?;
    all_end(client).await?;
    let ends = lost(client).await?;
    for pod in cluster.list_pods().await? {
        let answers = nodes::ask_as(cluster, &pod.name_any(), "revoked", &password, &["PING"]).await;
        ensure!(is_wrong_password(&answers), "{}: {answers:?}", pod.name_any());
    }
    let last = ends.iter().filter_map(|line| line["at"].as_i64()).max();
    Ok(last.context("nothing tells when the sessions have ended")? - begun)
}

/// Nobody tries the old password: it would count as a refused login.
async fn the_grace_ends(cluster: &Cluster) -> Result<()> {
    wait::until("the old password has ended", wait::A_WHILE, async || {
        for line in acl_lines(cluster, "rotated").await? {
            let line = line.context("the user is gone")?;
            let passwords = line.split(' ').filter(|word| word.starts_with('#')).count();
            ensure!(passwords == 1, "{passwords} passwords");
        }
        Ok(())
    })
    .await
}

fn judge(ledgers: &BTreeMap<String, Ledger>) -> Result<()> {
    for (user, ledger) in ledgers {
        ensure!(ledger.acknowledged > 0, "{user} has written nothing");
        ensure!(ledger.lost == 0 && ledger.given_up == 0, "writes of {user}: {ledger:?}");
        ensure!(ledger.not_let_in().is_empty(), "{user} was not let in: {ledger:?}");
        let noticed = KEPT.contains(&user.as_str()) && !ledger.errors.is_empty();
        ensure!(!noticed, "{user} has noticed something: {ledger:?}");
    }
    Ok(())
}

/// As the servers have logged it, which no client can hide by trying again.
async fn nobody_was_refused(cluster: &Cluster) -> Result<()> {
    for (pod, refused) in refused_logins(cluster).await? {
        ensure!(refused.contains("revoked"), "{pod} has not logged whom it refused just now: {refused:?}");
        let ours: Vec<_> = LET_IN.iter().filter(|name| refused.contains(**name)).collect();
        ensure!(ours.is_empty(), "{pod} has refused {ours:?}");
    }
    Ok(())
}
