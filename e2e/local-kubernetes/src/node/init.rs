//! The first process of a node. When it dies the kernel ends everything in the node, which is what
//! cutting the power does. It makes the node's private view of the file system, starts the node's
//! services, restarts one that ends (as a machine's service manager does) and reaps orphans.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, waitpid};

use crate::command::{command, run};
use crate::images::recipes::PAUSE;
use crate::layout::{COVERED, Node, State};
use crate::node::process_name;
use crate::processes::{self, Process};
use crate::storage::disks;

const SERVICES: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

/// Never returns while the node has power.
pub fn run_node(state: &State, node: Node) -> Result<()> {
    // Until our own /proc is mounted, the old one still knows this process by the machine's number.
    let own = fs::read_link("/proc/self").context("cannot read /proc/self")?;
    let own = Process::with_pid(own.to_string_lossy().parse()?)?;
    nix::unistd::sethostname(node.name())?;
    arrange_file_system(state, node)?;
    for entry in fs::read_dir(state.disks(node)).context("the node's disks are gone")?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "disk") {
            disks::mount_here(state, node, &path)?;
        }
    }
    // Read and written for this network namespace only. Pods of other nodes are reached through us.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch forwarding on")?;
    processes::record(state, &process_name(node), &own)?;

    let mut running = BTreeMap::from([(start(state, node, "containerd")?, "containerd")]);
    import_pause(state)?;
    for service in &SERVICES[1..] {
        running.insert(start(state, node, service)?, *service);
    }
    watch_over(state, node, running)
}

fn arrange_file_system(state: &State, node: Node) -> Result<()> {
    let nothing = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing).context("cannot part from the machine's mounts")?;
    for (place, folder) in COVERED {
        let own = state.node(node).join(folder);
        mount(Some(&own), place, nothing, MsFlags::MS_BIND, nothing)
            .with_context(|| format!("cannot put {} over {place}", own.display()))?;
    }
    // Empty at each start, as on a machine that boots.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), nothing).context("cannot cover /run")?;
    for folder in ["/run/containerd", "/run/netns", "/run/lock"] {
        fs::create_dir_all(folder)?;
    }
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), nothing).context("cannot mount /proc")?;
    // Else what the kubelet mounts later never reaches the containers.
    let shared = MsFlags::MS_REC | MsFlags::MS_SHARED;
    mount(nothing, "/", nothing, shared, nothing).context("cannot share mounts with containers")
}

/// Starts a service and returns its number inside of the node.
fn start(state: &State, node: Node, service: &str) -> Result<i32> {
    let folder = state.node(node);
    let name = node.name();
    let mut service_command = match service {
        "containerd" => command("containerd"),
        other => std::process::Command::new(state.bin().join(other)),
    };
    match service {
        "containerd" => service_command.arg("--config").arg(folder.join("containerd.toml")),
        "kubelet" => service_command
            .arg(format!("--config={}", folder.join("kubelet.json").display()))
            .arg(format!("--kubeconfig={}", state.client(&name).display()))
            .arg(format!("--hostname-override={name}"))
            .arg(format!("--node-ip={}", node.address()))
            .arg(format!("--node-labels=topology.kubernetes.io/zone={}", node.zone())),
        _ => service_command.arg(format!("--config={}", folder.join("proxy.json").display())),
    };
    let log = File::options().create(true).append(true).open(state.log(&format!("{name}-{service}")))?;
    // A connection that a partition broke is given up after seconds instead of half a minute.
    service_command.env("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "3").env("HTTP2_PING_TIMEOUT_SECONDS", "2");
    service_command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = service_command.spawn().with_context(|| format!("cannot start {service} on {name}"))?;
    Ok(i32::try_from(child.id())?)
}

/// The image of every pod's first container: without it no pod starts.
fn import_pause(state: &State) -> Result<()> {
    let is_up = || {
        Path::new("/run/containerd/containerd.sock").exists() && run(command("ctr").arg("version")).is_ok()
    };
    for _ in 0..300 {
        if is_up() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let file = state.bin().join("pause.tar");
    run(command("ctr").args(["--namespace", "k8s.io", "images", "import"]).arg(file))
        .with_context(|| format!("cannot import {PAUSE}"))
}

fn watch_over(state: &State, node: Node, mut running: BTreeMap<i32, &'static str>) -> Result<()> {
    loop {
        let ended = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid.as_raw(),
            Err(Errno::ECHILD) => {
                sleep(Duration::from_secs(1));
                continue;
            }
            _ => continue,
        };
        if let Some(service) = running.remove(&ended) {
            eprintln!("{service} ended; starting it again");
            sleep(Duration::from_secs(1));
            running.insert(start(state, node, service)?, service);
        }
    }
}
