//! Shows what runs, for people and for programs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::command::tell;
use crate::images::load;
use crate::layout::{KUBERNETES, NODES, Node, State};
use crate::processes::{self, Process};
use crate::{api, control_plane, network, node, up};

/// The services of a node, among the children of its first process.
const SERVICES: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

#[derive(Serialize)]
struct Status {
    kubernetes: &'static str,
    is_up: bool,
    root: String,
    kubeconfig: String,
    logs: String,
    audit_log: String,
    processes: BTreeMap<String, ProcessStatus>,
    nodes: Vec<NodeStatus>,
}

#[derive(Serialize)]
struct ProcessStatus {
    pid: Option<i32>,
    state: &'static str,
}

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    address: String,
    zone: String,
    has_power: bool,
    is_connected: bool,
    is_ready: bool,
    images: Vec<String>,
}

pub fn print(state: &State, as_json: bool) -> Result<()> {
    let status = look(state);
    if as_json {
        tell(serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    if !state.marker().exists() {
        tell("There is no cluster; start one with: local-kubernetes up");
        return Ok(());
    }
    tell(format!("Kubernetes {} in {}", status.kubernetes, status.root));
    tell(format!("\n{:<26} {:>8}  STATE", "PROCESS", "PID"));
    for (name, process) in &status.processes {
        let pid = process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        tell(format!("{name:<26} {pid:>8}  {}", process.state));
    }
    tell(format!(
        "\n{:<6} {:<11} {:<6} {:<6} {:<8} {:<6} IMAGES",
        "NODE", "ADDRESS", "ZONE", "POWER", "NETWORK", "READY"
    ));
    for one in &status.nodes {
        let on = |is_on: bool| if is_on { "on" } else { "off" };
        let yes = |is_so: bool| if is_so { "yes" } else { "no" };
        tell(format!(
            "{:<6} {:<11} {:<6} {:<6} {:<8} {:<6} {}",
            one.name,
            one.address,
            one.zone,
            on(one.has_power),
            on(one.is_connected),
            yes(one.is_ready),
            one.images.join(" ")
        ));
    }
    tell(format!("\nLogs are in {}, the audit log is {}.", status.logs, status.audit_log));
    up::explain(state);
    Ok(())
}

fn look(state: &State) -> Status {
    let ready = api::block_on(async {
        let client = api::client(&state.kubeconfig()).await?;
        let asked = tokio::time::timeout(std::time::Duration::from_secs(3), api::ready_nodes(&client)).await;
        asked.context("the API server does not answer")?
    });
    let ready = ready.unwrap_or_default();
    Status {
        kubernetes: KUBERNETES,
        is_up: state.complete().exists(),
        root: state.root().display().to_string(),
        kubeconfig: state.kubeconfig().display().to_string(),
        logs: state.logs().display().to_string(),
        audit_log: state.audit_log().display().to_string(),
        processes: all_processes(state)
            .into_iter()
            .map(|(name, process)| (name, describe(process)))
            .collect(),
        nodes: NODES.into_iter().map(|node| look_at_node(state, node, &ready)).collect(),
    }
}

fn look_at_node(state: &State, node: Node, ready: &[String]) -> NodeStatus {
    NodeStatus {
        name: node.name(),
        address: node.address(),
        zone: node.zone(),
        has_power: node::running(state, node).is_some(),
        is_connected: network::is_connected(node),
        is_ready: ready.contains(&node.name()),
        images: load::on_node(state, node).unwrap_or_default(),
    }
}

fn describe(process: Option<Process>) -> ProcessStatus {
    let Some(process) = process else { return ProcessStatus { pid: None, state: "stopped" } };
    let state = match (process.is_alive(), process.is_paused()) {
        (false, _) => "dead",
        (true, true) => "paused",
        (true, false) => "running",
    };
    ProcessStatus { pid: Some(process.pid), state }
}

/// Parts of the control plane by their names; on nodes `node1` (its first process) and `node1/kubelet`.
fn all_processes(state: &State) -> BTreeMap<String, Option<Process>> {
    let parts =
        control_plane::PARTS.into_iter().map(|part| (part.to_owned(), processes::recorded(state, part)));
    let mut all: BTreeMap<_, _> = parts.collect();
    for node in NODES {
        let first = node::running(state, node);
        for (name, child) in first.iter().flat_map(Process::children) {
            if SERVICES.contains(&name.as_str()) {
                all.insert(format!("{}/{name}", node.name()), Some(child));
            }
        }
        all.insert(node.name(), first);
    }
    all
}

/// The process that `status` lists under this name.
pub fn process_named(state: &State, name: &str) -> Result<Process> {
    let found = all_processes(state).remove(name).flatten().filter(Process::is_alive);
    found.with_context(|| format!("no running process is called {name}; see: local-kubernetes status"))
}
