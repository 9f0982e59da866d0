//! What the nodes say, asked on connections of our own: nothing here comes from the operator.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use jiff::Timestamp;
use keyslot_e2e::bench::nodes::{USER, connect, field};
use keyslot_e2e::bench::shape::Shape;
use redis::aio::MultiplexedConnection;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

const SLOTS: &str = "16384";
/// Between two looks at all nodes; this and the time of a look are how exact the figures are.
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// When all nodes that there should be have answered, and when all of them said in one look that the
/// cluster is whole. Moments are those at which the last answer of a look had come in.
pub async fn until_formed(
    shape: Shape,
    mut addresses: watch::Receiver<Vec<IpAddr>>,
    password: &str,
    answering: oneshot::Sender<Timestamp>,
) -> Result<Timestamp> {
    let mut answering = Some(answering);
    let mut nodes: Vec<Node> = Vec::new();
    loop {
        for ip in addresses.borrow_and_update().iter() {
            if nodes.iter().all(|node| node.ip != *ip) {
                nodes.push(Node { ip: *ip, connection: None });
            }
        }
        let looks = join_all(nodes.iter_mut().map(|node| node.look(password))).await;
        let seen = Timestamp::now();
        let looks: Vec<Look> = looks.into_iter().flatten().collect();
        if looks.len() == shape.nodes()
            && let Some(answering) = answering.take()
        {
            // Nobody may wait for it.
            let _ = answering.send(seen);
        }
        if is_formed(shape, &looks) {
            return Ok(seen);
        }
        sleep(PAUSE).await;
    }
}

/// Every node knows every node and an owner of every slot, and says ok; every replica has its link.
fn is_formed(shape: Shape, looks: &[Look]) -> bool {
    let primaries = looks.iter().filter(|look| look.is_primary).count();
    looks.len() == shape.nodes()
        && looks.iter().all(|look| look.is_ok && look.known == shape.nodes())
        && primaries == shape.primaries()
        && looks.iter().all(|look| look.is_primary || look.is_linked)
}

struct Node {
    ip: IpAddr,
    connection: Option<MultiplexedConnection>,
}

/// One look at one node.
struct Look {
    /// `cluster_state:ok` with all slots known, and a vote for each shard.
    is_ok: bool,
    known: usize,
    is_primary: bool,
    is_linked: bool,
}

impl Node {
    async fn look(&mut self, password: &str) -> Option<Look> {
        let look = timeout(ANSWER_LIMIT, async {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                none => none.insert(connect(self.ip, USER, password).await?),
            };
            let mut questions = redis::pipe();
            questions.cmd("CLUSTER").arg("INFO").cmd("INFO").arg("replication");
            let (cluster, replication): (String, String) = questions.query_async(connection).await?;
            anyhow::Ok(Look::read(&cluster, &replication))
        })
        .await;
        if let Ok(Ok(look)) = look {
            return Some(look);
        }
        // What comes in late would be taken for the answer to the next question.
        self.connection = None;
        None
    }
}

impl Look {
    fn read(cluster: &str, replication: &str) -> Self {
        let known = field(cluster, "cluster_known_nodes").and_then(|count| count.parse().ok());
        Self {
            is_ok: field(cluster, "cluster_state") == Some("ok")
                && field(cluster, "cluster_slots_ok") == Some(SLOTS),
            known: known.unwrap_or_default(),
            is_primary: field(replication, "role") == Some("master"),
            is_linked: field(replication, "master_link_status") == Some("up")
                && field(replication, "master_sync_in_progress") == Some("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
                      cluster_known_nodes:6\r\n";
    const LINKED: &str = "role:slave\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\n";

    fn looks(replica: &str) -> Vec<Look> {
        let primaries = (0..3).map(|_| Look::read(OK, "role:master\r\n"));
        primaries.chain((0..3).map(|_| Look::read(OK, replica))).collect()
    }

    #[test]
    fn a_cluster_is_formed_when_all_nodes_say_so_and_all_replicas_are_linked() {
        let shape = Shape { shards: 3, replicas: 1 };
        assert!(is_formed(shape, &looks(LINKED)));
        assert!(!is_formed(shape, &looks("role:slave\r\nmaster_link_status:down\r\n")));
        assert!(!is_formed(shape, &looks("role:master\r\n")), "a node without a role");
        assert!(!is_formed(shape, &looks(LINKED)[1..]), "a node that does not answer");
        let mut one_fails = looks(LINKED);
        one_fails[0] = Look::read(&OK.replace("state:ok", "state:fail"), "role:master\r\n");
        assert!(!is_formed(shape, &one_fails));
    }
}
