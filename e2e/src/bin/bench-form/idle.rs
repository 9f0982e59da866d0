//! What a settled cluster costs: writes to the API server, and the operator's commands to each node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use keyslot_e2e::bench::nodes::{USER, addresses, connect, field};
use keyslot_e2e::bench::{NAME, cluster};
use keyslot_e2e::{Namespace, audit};
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

/// The last words about what was done are written by then.
const UNTIL_QUIET: Duration = Duration::from_secs(35);
/// May ask for the list of connections, which the operator's user may not.
const ASKER: &str = "default";
/// Our own question after the first count, and the count that was under way when that was taken.
const OWN: f64 = 2.0;
/// AUTH and two INFO.
const COMMANDS_OF_A_PROBE: f64 = 3.0;
/// Bytes of a PING in the stream of replication.
const PING: f64 = 14.0;

pub struct Idle {
    pub seconds: u64,
    /// Requests of the operator that change something, but for its Lease.
    pub writes: Vec<String>,
    /// Commands per second, by pod.
    pub commands: BTreeMap<String, f64>,
    pub method: &'static str,
}

impl Idle {
    pub fn most_commands(&self) -> f64 {
        self.commands.values().copied().fold(0.0, f64::max)
    }
}

/// Waits until the cluster has come to rest, and then counts for this long.
pub async fn measure(namespace: &Namespace, time: Duration) -> Result<Idle> {
    let password = cluster(namespace).secret(&format!("{NAME}-user-{ASKER}"), "password").await?;
    let addresses = addresses(namespace).await?;
    let connected = addresses.values().map(|ip| connect(*ip, ASKER, &password));
    let mut connections = try_join_all(connected).await?;
    sleep(UNTIL_QUIET).await;

    let (begin, clock) = (Timestamp::now(), Instant::now());
    let before = count_all(&mut connections).await?;
    sleep(time).await;
    let after = count_all(&mut connections).await?;
    let seconds = clock.elapsed().as_secs_f64();
    let writes = writes(begin)?;

    let mut commands = BTreeMap::new();
    for ((pod, before), after) in addresses.keys().zip(&before).zip(&after) {
        commands.insert(pod.clone(), after.since(before) / seconds);
    }
    let exact = after.iter().all(|count| count.connections.is_some());
    let method = if exact { "tot-cmds of its connections" } else { "INFO commandstats less all others" };
    Ok(Idle { seconds: time.as_secs(), writes, commands, method })
}

fn writes(since: Timestamp) -> Result<Vec<String>> {
    let requests = audit::operator_requests("what an idle cluster costs", since)?
        .context("there is no audit log here")?;
    ensure!(!requests.is_empty(), "the operator made no request at all, not even for its Lease");
    let writes = requests.iter().filter(|one| one.writes() && one.object_ref.resource != "leases");
    Ok(writes.map(|one| format!("{} {}", one.verb, one.uri)).collect())
}

async fn count_all(connections: &mut [MultiplexedConnection]) -> Result<Vec<Count>> {
    try_join_all(connections.iter_mut().map(Count::take)).await
}

/// Commands that a node has carried out so far.
struct Count {
    /// By connection of the operator; `None` where the server does not count by connection.
    connections: Option<BTreeMap<u64, f64>>,
    /// Of the operator and us, the greeting of probes included.
    others: f64,
    logins: f64,
    /// Of the primary, in the stream of replication.
    pings: f64,
}

impl Count {
    async fn take(connection: &mut MultiplexedConnection) -> Result<Self> {
        let mut questions = redis::pipe();
        questions.cmd("CLIENT").arg("LIST").cmd("INFO").arg("commandstats").arg("replication");
        let (clients, info): (String, String) = questions.query_async(connection).await?;
        Ok(Self::read(&clients, &info))
    }

    fn read(clients: &str, info: &str) -> Self {
        let calls = calls(info);
        let of_replication = ["replconf", "psync", "sync"];
        let others = calls.iter().filter(|(name, _)| !of_replication.contains(&name.as_str()));
        let offset = field(info, "slave_repl_offset").and_then(|offset| offset.parse().ok());
        Self {
            connections: by_connection(clients),
            others: others.map(|(_, count)| count).sum(),
            logins: calls.get("auth").copied().unwrap_or_default(),
            pings: offset.map_or(0.0, |offset: f64| offset / PING),
        }
    }

    /// Commands of the operator since an earlier count.
    fn since(&self, before: &Self) -> f64 {
        if let (Some(after), Some(before)) = (&self.connections, &before.connections) {
            let new = |(id, count): (&u64, &f64)| count - before.get(id).copied().unwrap_or_default();
            return after.iter().map(new).sum();
        }
        let probes = COMMANDS_OF_A_PROBE * (self.logins - before.logins);
        self.others - before.others - probes - (self.pings - before.pings) - OWN
    }
}

/// `tot-cmds` of the operator's connections.
fn by_connection(clients: &str) -> Option<BTreeMap<u64, f64>> {
    let mut counts = BTreeMap::new();
    for line in clients.lines() {
        let fields: BTreeMap<&str, &str> =
            line.split_whitespace().filter_map(|field| field.split_once('=')).collect();
        let id = fields.get("id")?.parse().ok()?;
        let count = fields.get("tot-cmds")?.parse().ok()?;
        if fields.get("user") == Some(&USER) {
            counts.insert(id, count);
        }
    }
    Some(counts)
}

fn calls(info: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    info.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: f64 = 60.0;

    /// Of a minute with a probe per second, six looks of six questions and six pings of the primary.
    #[test]
    fn what_is_left_of_all_commands_is_the_operators() {
        let begin =
            "cmdstat_auth:calls=10,usec=1\r\ncmdstat_info:calls=25,usec=1\r\nslave_repl_offset:14\r\n";
        let end = "cmdstat_auth:calls=70,usec=1\r\ncmdstat_info:calls=157,usec=1\r\ncmdstat_ping:calls=6,usec=1\r\n\
                   cmdstat_client|list:calls=1,usec=1\r\n\
                   cmdstat_cluster|nodes:calls=29,usec=1\r\ncmdstat_replconf:calls=60,usec=1\r\n\
                   slave_repl_offset:98\r\n";
        let count = |info| Count::read("id=7 user=default cmd=client|list\n", info);
        let rate = count(end).since(&count(begin)) / MINUTE;
        // 11 INFO and 29 CLUSTER NODES.
        assert!((rate * MINUTE - 40.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn where_the_server_counts_by_connection_nothing_else_matters() {
        let clients = |count| {
            format!(
                "id=3 user=keyslot-operator tot-cmds={count}\nid=7 user=default tot-cmds=900\n\
                 id=9 user=default tot-cmds=5\n"
            )
        };
        let count = |clients: String| Count::read(&clients, "cmdstat_info:calls=1000,usec=1\r\n");
        let rate = count(clients(160)).since(&count(clients(100)));
        assert!((rate - 60.0).abs() < 1e-6, "{rate}");
    }
}
