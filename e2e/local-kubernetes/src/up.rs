//! Starts the cluster, or finds that it runs. What a crash left behind is removed first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::command::tell;
use crate::golang::{self, Programs};
use crate::images::programs;
use crate::layout::{COVERED, NODES, State};
use crate::lock::Lock;
use crate::{api, certificates, cgroups, control_plane, debian, down, network, node, processes};

pub fn up(state: &State) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root may make network namespaces, mounts and cgroups: start it with sudo");
    }
    let mut lock = Lock::take(state)?;
    if is_running(state) {
        tell("The cluster is already running.");
        explain(state);
        return Ok(());
    }
    if down::has_anything(state) {
        eprintln!("removing what is left of an earlier cluster");
        down::remove_everything(state)?;
    }
    cgroups::check()?;
    debian::prepare_for_cluster()?;
    let cache = Cache::open()?;
    let programs = golang::ensure(&cache)?;
    let pause = programs::ensure_pause(&cache)?;

    let started = Instant::now();
    lock.claim(state)?;
    prepare(state, &programs, &pause)?;
    network::make()?;
    network::check_ports_are_free()?;
    start_everything(state)?;
    fs::write(state.complete(), "")?;
    tell(format!("The cluster is up after {:.1} s.", started.elapsed().as_secs_f64()));
    explain(state);
    Ok(())
}

/// Everything that was started still lives, apart from what somebody stopped by a command.
fn is_running(state: &State) -> bool {
    if !state.complete().exists() || !network::exists() {
        return false;
    }
    let names = control_plane::PARTS.into_iter().map(str::to_owned).chain(NODES.map(node::process_name));
    let mut has_died =
        names.filter(|name| processes::recorded(state, name).is_some_and(|one| !one.is_alive()));
    if let Some(name) = has_died.next() {
        eprintln!("{name} has died");
        return false;
    }
    let Some(api_server) = processes::alive(state, control_plane::API_SERVER) else { return true };
    if api_server.is_paused() {
        return true;
    }
    let answer = api::block_on(api::is_ready(&state.kubeconfig()));
    if let Err(error) = &answer {
        eprintln!("the API server is not well: {error:#}");
    }
    answer.is_ok()
}

fn prepare(state: &State, programs: &Programs, pause: &Path) -> Result<()> {
    // The marker comes first: without it a folder that a crash left would count as somebody else's.
    fs::create_dir_all(state.root())
        .and_then(|()| fs::write(state.marker(), "This folder is made and removed by local-kubernetes.\n"))
        .with_context(|| format!("cannot write to {}", state.root().display()))?;
    let folders =
        [state.bin(), state.pki(), state.config(), state.logs(), state.processes(), state.clients()];
    for folder in folders {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    make_covered_folders(state)?;
    golang::link(programs, &state.bin())?;
    std::os::unix::fs::symlink(pause, state.bin().join("pause.tar"))?;
    certificates::make(state).context("cannot make the certificates")?;
    control_plane::write_configuration(state)?;
    NODES.into_iter().try_for_each(|node| node::prepare(state, node))
}

/// A folder can only be covered where one is. Those that the machine lacks are noted, before they are
/// made, and removed again by `down`.
fn make_covered_folders(state: &State) -> Result<()> {
    let missing = |place: &str| -> Vec<PathBuf> {
        let ancestors = Path::new(place).ancestors().filter(|folder| !folder.exists());
        ancestors.map(Path::to_owned).collect()
    };
    let mut made: Vec<PathBuf> = COVERED.iter().flat_map(|(place, _)| missing(place)).collect();
    // Deepest first: the order in which they can be removed.
    made.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    made.dedup();
    fs::write(state.made_folders(), serde_json::to_string(&made)?)?;
    for (place, _) in COVERED {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
    }
    Ok(())
}

fn start_everything(state: &State) -> Result<()> {
    control_plane::start(state, "etcd", &[])?;
    control_plane::start(state, control_plane::API_SERVER, &[])?;
    control_plane::wait_for_api_server(state)?;
    for part in &control_plane::PARTS[2..] {
        control_plane::start(state, part, &[])?;
    }
    NODES.into_iter().try_for_each(|node| node::power_on(state, node))?;
    api::block_on(async {
        let client = api::client(&state.kubeconfig()).await?;
        api::make_objects(&client).await?;
        api::wait_for_nodes(&client).await
    })
    .with_context(|| format!("the logs are in {}", state.logs().display()))?;
    processes::wait_for(state, "coredns", 20, "DNS does not become ready", network::is_dns_ready)?;
    control_plane::PARTS.iter().try_for_each(|part| {
        processes::wait_for(state, part, 0, &format!("{part} does not stay up"), || {
            processes::alive(state, part).is_some()
        })
    })
}

pub fn explain(state: &State) {
    tell(format!("  export KUBECONFIG={}", state.kubeconfig().display()));
    tell(format!("  export PATH={}:$PATH   # kubectl", state.bin().display()));
}
