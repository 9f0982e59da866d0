//! What is true of every settled cluster, read from the nodes themselves and not from the operator.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::clusters::Cluster;
use crate::nodes::{Known, Node, read_all};
use crate::wait;

const SLOTS: usize = 16384;
/// Of a replica behind its primary, in bytes of the replication stream.
const MOST_LAG: i64 = 1 << 20;

/// Waits until all hold: gossip and replication need a moment after the operator is done.
pub async fn assert_invariants(cluster: &Cluster) -> Result<Vec<Node>> {
    let spec = cluster.get().await?.spec;
    let (shards, replicas) = (usize::try_from(spec.shards)?, usize::try_from(spec.replicas_per_shard)?);
    wait::until("the invariants hold", wait::SOON, async || {
        let nodes = read_all(cluster).await?;
        check(&nodes, shards, replicas)?;
        Ok(nodes)
    })
    .await
}

/// All of them, about nodes that were read.
pub fn check(nodes: &[Node], shards: usize, replicas: usize) -> Result<()> {
    check_all_but_places(nodes, shards, replicas)?;
    shards_are_spread(nodes)
}

/// Those that hold after failovers too, which choose primaries without regard to hosts.
pub fn check_all_but_places(nodes: &[Node], shards: usize, replicas: usize) -> Result<()> {
    ensure!(
        nodes.len() == shards * (1 + replicas),
        "{} nodes for {shards} shards of 1+{replicas}",
        nodes.len()
    );
    every_slot_is_served_once(nodes)?;
    every_shard_is_whole(nodes, shards, replicas)?;
    nobody_else_is_known(nodes)?;
    epochs_are_unique(nodes)
}

/// I1 and I2: one map on all nodes, and no mark of a migration.
fn every_slot_is_served_once(nodes: &[Node]) -> Result<()> {
    let maps = nodes.iter().map(|node| Ok((&node.pod, slot_map(node)?))).collect::<Result<Vec<_>>>()?;
    let Some((first, expected)) = maps.first() else { bail!("no node") };
    ensure!(expected.len() == SLOTS, "{first} knows owners of {} slots", expected.len());
    for (pod, map) in &maps {
        ensure!(map == expected, "{pod} and {first} know different owners of slots");
    }
    for node in nodes {
        ensure!(node.info("cluster_enabled") == Some("1"), "{} is not in cluster mode", node.pod);
    }
    Ok(())
}

fn slot_map(node: &Node) -> Result<BTreeMap<u16, &str>> {
    let mut map = BTreeMap::new();
    for known in &node.known {
        for slots in &known.slots {
            ensure!(!slots.starts_with('['), "{}: slot {slots} of {} is open", node.pod, known.id);
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            for slot in first.parse::<u16>()?..=last.parse()? {
                let earlier = map.insert(slot, known.id.as_str());
                ensure!(earlier.is_none(), "{}: slot {slot} has two owners", node.pod);
            }
        }
    }
    Ok(map)
}

/// I3: one primary and all replicas in each shard, connected and close behind.
fn every_shard_is_whole(nodes: &[Node], shards: usize, replicas: usize) -> Result<()> {
    let mut members: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        let myself = node.myself()?;
        members.entry(myself.primary.as_deref().unwrap_or(&myself.id)).or_default().push(node);
    }
    ensure!(members.len() == shards, "{} shards instead of {shards}", members.len());
    for (id, shard) in members {
        let found = shard.iter().find(|node| node.myself().is_ok_and(|myself| myself.id == id));
        let primary = found.with_context(|| format!("the primary {id} is no node of this cluster"))?;
        ensure!(!primary.myself()?.slots.is_empty(), "{} is a primary without slots", primary.pod);
        ensure!(shard.len() == 1 + replicas, "{} has {} replicas", primary.pod, shard.len() - 1);
        let written = number(primary, "master_repl_offset")?;
        for replica in shard.iter().filter(|node| node.pod != primary.pod) {
            ensure!(replica.info("master_link_status") == Some("up"), "{} has no link", replica.pod);
            let lag = written - number(replica, "slave_repl_offset")?;
            ensure!(lag <= MOST_LAG, "{} is {lag} bytes behind", replica.pod);
        }
    }
    Ok(())
}

fn number(node: &Node, key: &str) -> Result<i64> {
    let value = node.info(key).with_context(|| format!("{} says no {key}", node.pod))?;
    Ok(value.parse()?)
}

/// I4: every node knows exactly the nodes of this cluster, all well.
fn nobody_else_is_known(nodes: &[Node]) -> Result<()> {
    let ours: BTreeSet<&str> =
        nodes.iter().map(|node| Ok(node.myself()?.id.as_str())).collect::<Result<_>>()?;
    ensure!(ours.len() == nodes.len(), "two nodes have one id");
    let bad = |known: &Known| {
        let flags = ["fail", "fail?", "handshake", "noaddr"];
        flags.into_iter().find(|flag| known.flags.contains(*flag)).map(str::to_owned)
    };
    for node in nodes {
        let known: BTreeSet<&str> = node.known.iter().map(|known| known.id.as_str()).collect();
        ensure!(known == ours, "{} knows {known:?} instead of {ours:?}", node.pod);
        for other in &node.known {
            if let Some(flag) = bad(other) {
                bail!("{} calls {} {flag}", node.pod, other.address);
            }
            ensure!(other.link == "connected", "{} has no link to {}", node.pod, other.address);
        }
    }
    Ok(())
}

/// I5: no two primaries share a config epoch.
fn epochs_are_unique(nodes: &[Node]) -> Result<()> {
    let mut epochs = BTreeMap::new();
    for node in nodes {
        let myself = node.myself()?;
        if myself.primary.is_none()
            && let Some(other) = epochs.insert(myself.config_epoch, &node.pod)
        {
            bail!("{other} and {} share the epoch {}", node.pod, myself.config_epoch);
        }
    }
    Ok(())
}

/// I6 where the hosts allow it: no two members of a shard on one host, and no host with half of the
/// primaries or more. Pods are spread softly, so that a small Kubernetes can have a cluster at all: a busy
/// scheduler may pile them up, and then there is nothing to choose from.
fn shards_are_spread(nodes: &[Node]) -> Result<()> {
    let mut members: BTreeMap<&str, usize> = BTreeMap::new();
    let mut primaries: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for node in nodes {
        let myself = node.myself()?;
        places.push((myself.primary.as_deref().unwrap_or(&myself.id), node.host.as_str()));
        *members.entry(&node.host).or_default() += 1;
        *primaries.entry(&node.host).or_default() += usize::from(myself.primary.is_none());
    }
    let shards: usize = primaries.values().sum();
    let (fewest, most) = (members.values().min().copied(), members.values().max().copied());
    if most > Some(shards) {
        eprintln!("no placement keeps {shards} shards apart on {members:?}");
        return Ok(());
    }
    let distinct: BTreeSet<_> = places.iter().copied().collect();
    ensure!(distinct.len() == places.len(), "two members of a shard are on one host: {places:?}");
    let even = fewest.zip(most).is_some_and(|(fewest, most)| most - fewest <= 1);
    if members.len() >= 3 && shards >= 3 && even {
        for (host, count) in primaries {
            ensure!(2 * count < shards, "{host} has {count} of {shards} primaries");
        }
    }
    Ok(())
}
