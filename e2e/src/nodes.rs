//! What the Redis nodes themselves say: asked in their pods, as the operator's user, whose password goes
//! through standard input.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use kube::ResourceExt;

use crate::clusters::Cluster;
use crate::exec::exec;

/// One line of CLUSTER NODES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub address: String,
    pub flags: BTreeSet<String>,
    pub primary: Option<String>,
    pub config_epoch: u64,
    pub link: String,
    /// `0-5460`; and marks of migrations, as they stand there.
    pub slots: Vec<String>,
}

/// What one node says.
#[derive(Clone, Debug)]
pub struct Node {
    pub pod: String,
    /// The Kubernetes node it runs on.
    pub host: String,
    pub known: Vec<Known>,
    pub info: String,
}

impl Node {
    /// What the node says about itself.
    pub fn myself(&self) -> Result<&Known> {
        let found = self.known.iter().find(|known| known.flags.contains("myself"));
        found.with_context(|| format!("{} does not know itself", self.pod))
    }

    /// A value of INFO.
    pub fn info(&self, key: &str) -> Option<&str> {
        self.info.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix(':'))
    }
}

impl Known {
    pub fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, address, flags, primary, _, _, epoch, state, slots @ ..] = words.as_slice() else {
            bail!("not a line of CLUSTER NODES: {line}");
        };
        Ok(Self {
            id: (*id).to_owned(),
            address: (*address).to_owned(),
            flags: flags.split(',').map(str::to_owned).collect(),
            primary: (*primary != "-").then(|| (*primary).to_owned()),
            config_epoch: epoch.parse()?,
            link: (*state).to_owned(),
            slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        })
    }
}

/// Asks every pod of the cluster.
pub async fn read_all(cluster: &Cluster) -> Result<Vec<Node>> {
    let pods = cluster.list_pods().await?;
    let password = cluster.secret(&format!("{}-system", cluster.name), "operator-password").await?;
    let password = &password;
    let read = pods.iter().map(|pod| async move {
        let name = pod.name_any();
        let answers =
            ask_as(cluster, &name, "keyslot-operator", password, &["CLUSTER NODES", "INFO"]).await?;
        let [known, info] = answers.as_slice() else { bail!("{name}: {answers:?}") };
        let known = known.lines().filter(|line| !line.is_empty()).map(Known::parse).collect::<Result<_>>();
        let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let known = known.with_context(|| name.clone())?;
        Ok(Node { pod: name, host, known, info: info.clone() })
    });
    try_join_all(read).await
}

/// Asks one node as the operator's user.
pub async fn ask(cluster: &Cluster, pod: &str, commands: &[&str]) -> Result<Vec<String>> {
    let password = cluster.secret(&format!("{}-system", cluster.name), "operator-password").await?;
    ask_as(cluster, pod, "keyslot-operator", &password, commands).await
}

/// Asks one node as any user; the answers are in the order of the commands. An error is an answer too.
pub async fn ask_as(
    cluster: &Cluster,
    pod: &str,
    user: &str,
    password: &str,
    commands: &[&str],
) -> Result<Vec<String>> {
    const MARK: &str = "--answered--";
    let mut input = format!("AUTH {user} {password}\n");
    for command in commands {
        input.extend([command, "\nPING ", MARK, "\n"]);
    }
    input.push_str("QUIT\n");
    let output = exec(&cluster.pods, pod, &["redis-cli"], &input).await?;
    let output =
        output.strip_prefix("OK\n").with_context(|| format!("{pod} lets {user} not in: {output}"))?;
    let mut answers: Vec<String> =
        output.split(&format!("{MARK}\n")).map(|text| text.trim_end().to_owned()).collect();
    answers.truncate(commands.len());
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_primary_has_slots_and_one_of_a_replica_its_primary() {
        let primary =
            Known::parse("a 10.0.0.1:6379@16379,demo-0 myself,master - 0 0 3 connected 0-9 11").unwrap();
        assert_eq!((primary.config_epoch, primary.slots), (3, vec!["0-9".to_owned(), "11".to_owned()]));
        let replica = Known::parse("b 10.0.0.2:6379@16379 slave a 0 1 3 connected").unwrap();
        assert_eq!(replica.primary.as_deref(), Some("a"));
        assert!(Known::parse("vars currentEpoch 6").is_err());
    }
}
