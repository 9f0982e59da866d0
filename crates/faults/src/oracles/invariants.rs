//! What the nodes themselves must say of a settled cluster. Asked over connections of our own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use keyslot_e2e::invariants;
use keyslot_e2e::nodes::{Known, Node};
use keyslot_testkit::redis_server::RawConnection;
use kube::ResourceExt;

use super::ledger;
use crate::flow::End;
use crate::scene::{NAME, PATIENCE, Scene, until};

/// Users that every node has, whatever the resource says.
const OWN_USERS: [&str; 4] = ["default", "keyslot-operator", "keyslot-probe", "keyslot-replication"];

/// Waits until all invariants hold.
pub async fn hold(scene: &Scene, end: End) -> Result<()> {
    until("the invariants hold", async || {
        let secret = scene.api::<Secret>().get(&format!("{NAME}-system")).await?;
        let password = secret.data.and_then(|mut data| data.remove("operator-password"));
        let password = String::from_utf8(password.context("no operator-password")?.0)?;
        let pods = scene.pods().await?;
        let users = scene.cluster().await?.spec.users;
        let look = move || pods.iter().map(|pod| read(pod, &password)).collect::<Result<Vec<_>>>();
        let (nodes, lists): (Vec<Node>, Vec<BTreeSet<String>>) =
            tokio::task::spawn_blocking(look).await??.into_iter().unzip();
        let check = if end.spread { invariants::check } else { invariants::check_all_but_places };
        check(&nodes, end.shards, end.replicas)?;
        let wanted = users.iter().map(|user| user.name.as_str()).chain(OWN_USERS).collect();
        nodes.iter().zip(&lists).try_for_each(|(node, list)| {
            users_are(&wanted, &lists[0], list).with_context(|| format!("users of {}", node.pod))
        })
    })
    .await
}

/// Every node has exactly these users, all with the same rules.
fn users_are(wanted: &BTreeSet<&str>, first: &BTreeSet<String>, list: &BTreeSet<String>) -> Result<()> {
    let names: BTreeSet<&str> = list.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    ensure!(names == *wanted, "they are {names:?}, not {wanted:?}");
    let differ: Vec<&String> = list.symmetric_difference(first).collect();
    ensure!(differ.is_empty(), "not the same on all nodes: {differ:?}");
    Ok(())
}

/// A node, and a line for each of its users.
fn read(pod: &Pod, password: &str) -> Result<(Node, BTreeSet<String>)> {
    let name = pod.name_any();
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod without address")?;
    let mut node = RawConnection::open(format!("{ip}:6379").parse()?, PATIENCE)?;
    node.ask(&["AUTH", ledger::USER, ledger::PASSWORD])?;
    let users = lines_of_users(&node.ask(&["ACL", "LIST"])?);
    node.ask(&["AUTH", "keyslot-operator", password])?;
    let known = node.ask(&["CLUSTER", "NODES"])?;
    let known = known.lines().filter(|line| !line.is_empty()).map(Known::parse).collect::<Result<_>>()?;
    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    Ok((Node { pod: name, host, known, info: node.ask(&["INFO"])? }, users))
}

/// Of an array as on the wire, in an order that is always the same: Redis shows passwords as they were set, and
/// subcommands as its hash tables have them, which each process seeds by itself. `sanitize-payload` is the default.
fn lines_of_users(reply: &str) -> BTreeSet<String> {
    let lines = reply.lines().filter(|line| line.starts_with("user "));
    let in_order = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').filter(|word| *word != "sanitize-payload").collect();
        // The first two are `user` and its name.
        words[2..].sort_unstable();
        words.join(" ")
    };
    lines.map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "*2\r\n$20\r\nuser default off -@all\r\n$9\r\nuser app on #2 #1 ~* +get\r\n";

    #[test]
    fn users_that_are_missing_additional_or_different_are_seen() {
        let list = lines_of_users(LIST);
        let wanted = BTreeSet::from(["default", "app"]);
        users_are(&wanted, &list, &list).unwrap();
        assert_eq!(
            list,
            lines_of_users(&LIST.replace("#2 #1", "#1 #2")),
            "the order of passwords means nothing"
        );
        let other = lines_of_users(&LIST.replace("+get", "+set"));
        assert!(users_are(&wanted, &list, &other).is_err());
        assert!(users_are(&BTreeSet::from(["default"]), &list, &list).is_err());
        assert!(users_are(&BTreeSet::from(["default", "app", "more"]), &list, &list).is_err());
    }
}
