//! Clients that write while something changes, and what their ledgers say in the end.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{self, Running};
use crate::clusters::Cluster;
use crate::namespace::Namespace;
use crate::{nodes, wait};

/// A user that writes all the time.
pub struct Load {
    pub user: String,
    client: Running,
}

/// What it says when it has been stopped.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    pub acknowledged: usize,
    /// Acknowledged and not there in the end.
    pub lost: usize,
    /// Not acknowledged although they were tried for half a minute.
    pub given_up: usize,
    /// Time without an acknowledged write.
    pub longest_gap_ms: u64,
    /// Of a write, from its first try.
    pub slowest_write_ms: u64,
    /// How often, by what the server or the library calls them.
    pub errors: BTreeMap<String, u64>,
}

impl Load {
    /// Starts it and returns when it writes. With `probes` it also tries INCR all the time.
    pub async fn start(namespace: &Namespace, user: &str, probes: bool) -> Result<Self> {
        let prefix = format!("app:{user}:");
        let mut arguments = vec!["load", "--prefix", &prefix];
        arguments.extend(probes.then_some("--probe"));
        let client = client::start(namespace, &format!("demo-user-{user}"), &arguments).await?;
        client.says("that it writes", |line| line["writes"].as_str().map(str::to_owned)).await?;
        Ok(Self { user: user.to_owned(), client })
    }

    /// Waits until it goes on with another password, which it has read from its mounted Secret.
    pub async fn switched(&self) -> Result<()> {
        let mut looks = 0_u32;
        wait::until("the client has another password", wait::A_WHILE, async || {
            if looks.is_multiple_of(8) {
                self.client.nudge().await?;
            }
            looks += 1;
            let lines = self.client.lines().await?;
            ensure!(lines.iter().any(|line| !line["switched"].is_null()), "{lines:?}");
            Ok(())
        })
        .await
    }

    /// What it was answered at its probes, whenever that was something else than before: with the time of its clock, in
    /// milliseconds since 1970.
    pub async fn probes(&self) -> Result<Vec<(String, i64)>> {
        let lines = self.client.lines().await?;
        let probe = |line: &Value| Some((line["probe"].as_str()?.to_owned(), line["at"].as_i64()?));
        Ok(lines.iter().filter_map(probe).collect())
    }

    /// Waits for its last word.
    async fn ledger(&self) -> Result<Ledger> {
        let last = |line: &Value| (!line["acknowledged"].is_null()).then(|| line.clone());
        let ledger = self.client.says("what its ledger says", last).await?;
        serde_json::from_value(ledger.clone()).with_context(|| ledger.to_string())
    }
}

/// Stops all of them, and returns the ledgers in their order.
pub async fn stop(cluster: &Cluster, loads: &[&Load]) -> Result<Vec<Ledger>> {
    let password = cluster.secret(&format!("{}-user-default", cluster.name), "password").await?;
    let mut answers = Vec::new();
    for pod in cluster.list_pods().await? {
        // One of them owns the key.
        let stop = ["SET app:stop now"];
        answers.extend(nodes::ask_as(cluster, &pod.name_any(), "default", &password, &stop).await?);
    }
    ensure!(answers.iter().any(|answer| answer == "OK"), "nobody takes the key: {answers:?}");
    try_join_all(loads.iter().map(|load| load.ledger())).await
}

impl Ledger {
    /// Errors of somebody who was not let in.
    pub fn not_let_in(&self) -> Vec<&str> {
        let words = ["NOAUTH", "WRONGPASS", "uthentication"];
        let names = self.errors.keys().map(String::as_str);
        names.filter(|name| words.iter().any(|word| name.contains(word))).collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, longest_gap_ms, slowest_write_ms, errors, .. } = self;
        write!(f, "{acknowledged} writes, longest gap {longest_gap_ms} ms, slowest {slowest_write_ms} ms")?;
        if !errors.is_empty() {
            write!(f, ", tried again after {}", json!(errors))?;
        }
        Ok(())
    }
}
