//! The memory of the operator that leads, as the kernel counts it. All processes of the local Kubernetes
//! can be seen on the machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use keyslot_e2e::{install, settings};
use kube::api::Api;
use kube::{Client, ResourceExt};

const LEASE: &str = "keyslot-operator";

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
    let leases = Api::<Lease>::namespaced(client.clone(), settings::OPERATOR_NAMESPACE);
    let holder = leases.get(LEASE).await?.spec.and_then(|spec| spec.holder_identity);
    let holder = holder.context("nobody leads")?;
    let pods = install::operator_pods(client).await?;
    // The identity is the pod's name and a random number.
    let pod = pods.iter().find(|pod| holder.starts_with(&format!("{}-", pod.name_any())));
    let pod = pod.with_context(|| format!("the leader {holder} is no pod"))?;
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
    let id = status.and_then(|status| status.container_id.as_deref()).context("no container")?;
    let id = id.rsplit('/').next().unwrap_or(id);
    let process = process_of(id)?.with_context(|| format!("no process of container {id}"))?;
    read(&fs::read_to_string(process.join("status"))?)
}

/// The only process whose cgroup is the container's.
fn process_of(container: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes end while we look, and other entries have no such file.
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        let is_number = path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
        if is_number && cgroup.contains(container) {
            return Ok(Some(path));
        }
    }
    Ok(None)
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
