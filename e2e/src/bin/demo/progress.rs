//! Waiting that people can watch: a line for each change of what Keyslot says that it is doing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_e2e::clusters::{self, Cluster};

const PATIENCE: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Returns when the resource, as it is now, is in force.
pub async fn until_ready(cluster: &Cluster, started: Instant) -> Result<()> {
    let mut last = String::new();
    loop {
        let resource = cluster.get().await.context("cannot read the resource")?;
        let line = describe(&resource);
        if line != last {
            println!("  {:>5.1} s  {line}", started.elapsed().as_secs_f64());
            last = line;
        }
        let ready = clusters::condition(&resource, ConditionType::Ready);
        if ready.is_some_and(|one| {
            one.status == "True" && one.observed_generation == resource.metadata.generation
        }) {
            println!("  {:>5.1} s  Ready", started.elapsed().as_secs_f64());
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!("not Ready after {} s:\n{}", PATIENCE.as_secs(), clusters::summary(&resource));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn describe(resource: &RedisCluster) -> String {
    let Some(status) = &resource.status else { return "the operator has not seen it yet".to_owned() };
    let (step, message) = (status.step.as_deref(), status.message.as_deref());
    format!("{}: {}", step.unwrap_or("no step yet"), message.unwrap_or_default())
}
