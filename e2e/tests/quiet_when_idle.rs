//! A settled cluster costs next to nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{audit, nodes, with_namespace};
use kube::ResourceExt;

use crate::steps::formed;

/// The last words about what was done are written by then.
const UNTIL_QUIET: Duration = Duration::from_secs(35);
const TIME: Duration = Duration::from_mins(1);
/// Per node and second, on average.
const MOST_COMMANDS: f64 = 1.0;
/// Users are compared every one or two minutes, with several commands for each: that may fall into the time.
const ONE_LOOK_AT_USERS: f64 = 30.0;

#[test]
fn an_idle_cluster_is_left_alone() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis70, 3, 1)).await?;
        tokio::time::sleep(UNTIL_QUIET).await;
        let (begin, clock) = (Timestamp::now(), Instant::now());
        let before = commands(&cluster).await?;
        tokio::time::sleep(TIME).await;
        let after = commands(&cluster).await?;
        let seconds = clock.elapsed().as_secs_f64();

        for (pod, counts) in after {
            let before = before.get(&pod).context("a new pod")?;
            let new = |(name, count): (&String, &f64)| {
                let count = count - before.get(name).unwrap_or(&0.0);
                (count != 0.0).then(|| (name.clone(), count))
            };
            let new: BTreeMap<String, f64> = counts.iter().filter_map(new).collect();
            let count = of_the_operator(&new);
            println!("{pod}: {count} commands of the operator in {seconds:.0} s, of {new:?}");
            ensure!(
                count <= MOST_COMMANDS * seconds + ONE_LOOK_AT_USERS,
                "{pod} gets {count} commands: {new:?}"
            );
        }
        let purpose = "whether an idle cluster costs no writes to Kubernetes";
        if let Some(requests) = audit::operator_requests(purpose, begin)? {
            let ours = requests.iter().filter(|one| one.object_ref.namespace == namespace.name);
            let writes: Vec<_> = ours.filter(|one| one.writes()).map(|one| (&one.verb, &one.uri)).collect();
            ensure!(writes.is_empty(), "{writes:?}");
        }
        Ok(())
    })
}

/// A probe logs in and asks twice; the operator stays logged in. Replicas acknowledge what they receive.
fn of_the_operator(calls: &BTreeMap<String, f64>) -> f64 {
    let others = calls.iter().filter(|(name, _)| !["replconf", "psync"].contains(&name.as_str()));
    let all: f64 = others.map(|(_, count)| count).sum();
    all - 3.0 * calls.get("auth").copied().unwrap_or_default()
}

/// Calls of each command that each node has carried out.
async fn commands(cluster: &Cluster) -> Result<BTreeMap<String, BTreeMap<String, f64>>> {
    let mut all = BTreeMap::new();
    for pod in cluster.list_pods().await? {
        let answers = nodes::ask(cluster, &pod.name_any(), &["INFO commandstats"]).await?;
        all.insert(pod.name_any(), calls(answers.first().context("no answer")?));
    }
    Ok(all)
}

fn calls(stats: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(line).collect()
}
