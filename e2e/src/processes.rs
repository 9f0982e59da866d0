//! Processes of containers: on the local Kubernetes all of them can be seen on this machine.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;

/// Numbers of the processes of a pod's containers, whose names their control groups tell.
pub fn of_pod(pod: &Pod) -> Vec<u32> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let containers: Vec<&str> = statuses
        .into_iter()
        .flatten()
        .filter_map(|one| Some(one.container_id.as_ref()?.rsplit_once('/')?.1))
        // Every group would contain it.
        .filter(|container| !container.is_empty())
        .collect();
    let is_theirs = |process: &u32| {
        // Processes end while we look.
        let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        containers.iter().any(|container| groups.contains(container))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(is_theirs).collect()
}

/// The name of a process's program; empty when it has ended.
pub fn name(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Sends a signal such as `KILL`.
pub fn signal(signal: &str, processes: &[u32]) -> Result<()> {
    let numbers = processes.iter().map(ToString::to_string);
    let sent = Command::new("kill").arg(format!("-{signal}")).args(numbers).status()?;
    ensure!(sent.success(), "the processes {processes:?} did not get SIG{signal}");
    Ok(())
}
