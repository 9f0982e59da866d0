//! Starts a real Kubernetes of three nodes on one Linux machine, without Docker and without a registry:
//! for end-to-end tests, for development and for the demo. See docs/local-kubernetes.md.
//!
//! The map: `layout` has every address, port and folder. `up` and `down` tell the story from begin
//! to end; `control_plane`, `node`, `network`, `cgroups`, `storage` and `images` are its parts.

mod api;
mod cache;
mod certificates;
mod cgroups;
mod cli;
mod command;
mod control_plane;
mod control_plane_alone;
mod debian;
mod down;
mod golang;
mod images;
mod layout;
mod lock;
mod network;
mod node;
mod processes;
mod status;
mod storage;
mod up;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use cache::Cache;
use command::tell;
use images::recipes;
use layout::{Node, State};

pub use cli::{Arguments, Command};
pub use control_plane_alone::ControlPlane;

/// Carries out one command.
pub fn run(command: Command) -> Result<()> {
    let state = State::open();
    match command {
        Command::Up => up::up(&state),
        Command::Down => down::down(&state),
        Command::Status { json } => status::print(&state, json),
        Command::LoadImage { names, program } => load_images(&state, &names, program.as_deref()),
        Command::Images { names } => make_images(&names),
        Command::Rootfs { name } => {
            let cache = Cache::open()?;
            let recipe = recipes::named(&name)?;
            images::ensure_server(&cache, recipe)?;
            tell(format!("{}", cache.rootfs(recipe.name).display()));
            Ok(())
        }
        Command::PowerOff { node } => node::power_off(&state, node_named(&node)?),
        Command::PowerOn { node } => node::power_on(&state, node_named(&node)?),
        Command::Partition { node } => network::cut(node_named(&node)?),
        Command::Heal { node } => network::join(node_named(&node)?),
        Command::Stop { part } => control_plane::stop(&state, &part),
        Command::Start { part } => control_plane::start_again(&state, &part),
        Command::Pause { process } => status::process_named(&state, &process)?.signal(Signal::SIGSTOP),
        Command::Resume { process } => status::process_named(&state, &process)?.signal(Signal::SIGCONT),
        Command::Provision => api::block_on(storage::provision(&state)),
        Command::Node { node } => node::init::run_node(&state, node_named(&node)?),
    }
}

fn node_named(name: &str) -> Result<Node> {
    Node::named(name).with_context(|| {
        let names: Vec<String> = layout::NODES.iter().map(|node| node.name()).collect();
        format!("no node is called {name}; there are {}", names.join(", "))
    })
}

fn make_images(names: &[String]) -> Result<()> {
    let all = || recipes::names().into_iter().map(str::to_owned).collect();
    let names: Vec<String> = if names.is_empty() { all() } else { names.to_vec() };
    let cache = Cache::open()?;
    for name in names {
        let recipe = recipes::named(&name)?;
        let image = images::ensure_server(&cache, recipe)?;
        tell(format!("{}  {}  {}", recipe.reference, cache.rootfs(recipe.name).display(), image.display()));
    }
    Ok(())
}

fn load_images(state: &State, names: &[String], given: Option<&Path>) -> Result<()> {
    let cache = Cache::open()?;
    for name in names {
        let image = if let Some(program) = recipes::Program::named(name) {
            images::programs::make(&cache, program, given)?
        } else if Path::new(name).extension().is_some_and(|ending| ending == "tar") {
            std::path::absolute(PathBuf::from(name))?
        } else {
            images::ensure_server(&cache, recipes::named(name)?)?
        };
        images::load::into_all(state, &image)?;
    }
    Ok(())
}
