//! The memory of the operator that leads, as the kernel counts it. All processes of the local Kubernetes
//! can be seen on the machine.

use std::fs;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use keyslot_e2e::{operator, processes, settings};
use kube::Client;
use kube::api::Api;

/// Megabytes (10⁶ bytes).
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Everything, pages of the program's file included.
    pub all: f64,
    /// What the process has allocated.
    pub anonymous: f64,
}

/// Of the process that holds the lease.
pub async fn of_leader(client: &Client) -> Result<Resident> {
    ensure!(settings::is_local(), "processes can be seen only on the local Kubernetes");
    let leader = operator::leader(client).await?;
    let pods = Api::<Pod>::namespaced(client.clone(), settings::OPERATOR_NAMESPACE);
    let processes = processes::of_pod(&pods.get(&leader).await?);
    let process = processes.first().with_context(|| format!("{leader} has no process here"))?;
    read(&fs::read_to_string(format!("/proc/{process}/status"))?)
}

fn read(status: &str) -> Result<Resident> {
    let megabytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes: f64 = line?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    };
    let all = megabytes("VmRSS:").context("no VmRSS")?;
    Ok(Resident { all, anonymous: megabytes("RssAnon:").context("no RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_become_megabytes() {
        let read = read("Name:\tx\nVmRSS:\t   20000 kB\nRssAnon:\t   10000 kB\n").unwrap();
        assert!((read.all - 20.48).abs() < 1e-9 && (read.anonymous - 10.24).abs() < 1e-9, "{read:?}");
    }
}
