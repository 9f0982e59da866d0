//! Clients that keep connections open, and who may log in.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use keyslot_e2e::client::Running;
use keyslot_e2e::clusters::Cluster;
use keyslot_e2e::{Namespace, client, nodes, wait};
use kube::ResourceExt;
use serde_json::Value;

use crate::steps::DEFAULT_SECRET;

/// A client with a connection to each of three nodes.
pub async fn hold(namespace: &Namespace, secret: &str) -> Result<Running> {
    hold_all(namespace, secret, 3).await
}

pub async fn hold_all(namespace: &Namespace, secret: &str, nodes: usize) -> Result<Running> {
    let client = client::start(namespace, secret, &["hold"]).await?;
    wait::until("the client holds its connections", wait::A_WHILE, async || {
        let lines = client.lines().await?;
        ensure!(held(&lines) == Some(nodes), "{lines:?}");
        Ok(())
    })
    .await?;
    Ok(client)
}

/// How many connections the client opened.
fn held(lines: &[Value]) -> Option<usize> {
    lines.iter().find_map(|line| line["held"].as_u64()).and_then(|held| usize::try_from(held).ok())
}

pub async fn all_end(client: &Running) -> Result<()> {
    wait::until("the connections end", wait::A_WHILE, async || {
        let (held, lost) = (held(&client.lines().await?), lost(client).await?.len());
        ensure!(held == Some(lost), "{lost} of {held:?} have ended");
        Ok(())
    })
    .await
}

pub async fn ensure_kept(client: &Running) -> Result<()> {
    let lost = lost(client).await?;
    ensure!(lost.is_empty(), "connections have ended: {lost:?}");
    Ok(())
}

/// What the client says of each connection that has ended.
pub async fn lost(client: &Running) -> Result<Vec<Value>> {
    let mut lines = client.lines().await?;
    lines.retain(|line| !line["lost"].is_null());
    Ok(lines)
}

pub fn is_wrong_password(answers: &Result<Vec<String>>) -> bool {
    answers.as_ref().is_err_and(|error| format!("{error:#}").contains("WRONGPASS"))
}

/// Open connections of these users on every node, by pod, user and the number that the server gave them.
pub async fn connections_of(cluster: &Cluster, users: &[&str]) -> Result<BTreeSet<(String, String, String)>> {
    let mut found = BTreeSet::new();
    for (pod, list) in ask_all(cluster, "CLIENT LIST").await? {
        for line in list.lines() {
            let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
            let (Some(id), Some(user)) = (field("id="), field("user=")) else { continue };
            if users.contains(&user) {
                found.insert((pod.clone(), user.to_owned(), id.to_owned()));
            }
        }
    }
    Ok(found)
}

/// Whom the servers did not let in, by pod: names that were given with a wrong password, or while switched off.
pub async fn refused_logins(cluster: &Cluster) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let logs = ask_all(cluster, "ACL LOG 1000").await?;
    Ok(logs.into_iter().map(|(pod, log)| (pod, names_of_refused(&log))).collect())
}

/// Entries are names of fields and values, a line each.
fn names_of_refused(log: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = log.lines().collect();
    let mut names = BTreeSet::new();
    let mut is_login = false;
    for pair in lines.windows(2) {
        match pair {
            ["reason", reason] => is_login = *reason == "auth",
            ["username", name] if is_login => {
                names.insert((*name).to_owned());
            }
            _ => {}
        }
    }
    names
}

/// Asks every node as the administrator.
async fn ask_all(cluster: &Cluster, command: &str) -> Result<Vec<(String, String)>> {
    let password = cluster.secret(DEFAULT_SECRET, "password").await?;
    let mut answers = Vec::new();
    for pod in cluster.list_pods().await? {
        let name = pod.name_any();
        let answer = nodes::ask_as(cluster, &name, "default", &password, &[command]).await?;
        answers.push((name, answer.concat()));
    }
    Ok(answers)
}
