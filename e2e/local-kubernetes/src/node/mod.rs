//! Nodes: each is a network namespace, a cgroup, a folder, and a process that is the first of its own
//! process, mount and host-name namespaces.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::cgroups;
use crate::command::find;
use crate::layout::{COVERED, Node, State};
use crate::processes::{self, Process};

pub mod config;
pub mod init;

/// Under which the node's first process is recorded.
pub fn process_name(node: Node) -> String {
    node.name()
}

/// The process that makes the namespaces and waits for the node's end.
fn holder_name(node: Node) -> String {
    format!("{}-holder", node.name())
}

pub fn prepare(state: &State, node: Node) -> Result<()> {
    let folder = state.node(node);
    let covers = COVERED.iter().map(|(_, name)| folder.join(name));
    for path in covers.chain([state.disks(node), state.mounts(node), folder.join("images")]) {
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    config::write(state, node)
}

/// Gives the node power: everything in it starts, on the disks and images that it had before.
pub fn power_on(state: &State, node: Node) -> Result<()> {
    if processes::alive(state, &process_name(node)).is_some() {
        bail!("{} already has power", node.name());
    }
    processes::end(state, &holder_name(node))?;
    cgroups::remove(node)?;
    cgroups::make(node)?;
    let own = std::env::current_exe().context("where is this program?")?;
    let mut boot = Command::new(find("nsenter").context("nsenter is missing (Debian package util-linux)")?);
    // Not `ip netns exec`: it mounts a new /sys, without the cgroups.
    boot.arg(format!("--net=/run/netns/{}", node.link())).arg("unshare");
    boot.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
    boot.arg(own).args(["node", &node.name()]).env("KEYSLOT_LOCAL_KUBERNETES", state.root());
    let holder = holder_name(node);
    processes::start(state, &holder, &boot)?;
    let name = process_name(node);
    processes::wait_for(state, &holder, 20, &format!("{} does not start", node.name()), || {
        processes::alive(state, &name).is_some()
    })
}

/// Takes the power away, without any warning to what runs there.
pub fn power_off(state: &State, node: Node) -> Result<()> {
    if let Some(first) = processes::alive(state, &process_name(node)) {
        first.signal(Signal::SIGKILL)?;
        first.kill()?;
    }
    processes::end(state, &process_name(node))?;
    processes::end(state, &holder_name(node))
}

/// The node's first process, when it has power.
pub fn running(state: &State, node: Node) -> Option<Process> {
    processes::alive(state, &process_name(node))
}

/// Runs a program of the machine on the node: in its view of the file system and of processes.
pub fn on(state: &State, node: Node, program: &str) -> Result<Command> {
    let first = running(state, node).with_context(|| format!("{} has no power", node.name()))?;
    let mut command = crate::command::command("nsenter");
    command.arg("--target").arg(first.pid.to_string()).args(["--mount", "--pid"]);
    command.arg(find(program).with_context(|| format!("{program} is missing"))?);
    Ok(command)
}
