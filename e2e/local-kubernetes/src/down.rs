//! Ends the cluster and removes every trace of it: processes, mounts, network, cgroups, folders.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::tell;
use crate::layout::{NODES, State};
use crate::lock::Lock;
use crate::{cache, cgroups, control_plane, network, node, processes};

pub fn down(state: &State) -> Result<()> {
    let mut lock = Lock::take(state)?;
    if has_anything(state) {
        remove_everything(state)?;
        tell("The cluster is gone.");
    } else {
        tell("There is no cluster.");
    }
    lock.release()
}

pub fn has_anything(state: &State) -> bool {
    state.root().exists() || network::exists()
}

/// Works from any state that a crash may leave; what is not there is passed over.
pub fn remove_everything(state: &State) -> Result<()> {
    refuse_foreign_folder(state)?;
    for node in NODES {
        node::power_off(state, node)?;
    }
    for part in control_plane::PARTS.iter().rev() {
        processes::end(state, part)?;
    }
    network::remove()?;
    cgroups::remove_all()?;
    remove_made_folders(state)?;
    cache::remove(state.root())
}

/// A wrong `KEYSLOT_LOCAL_KUBERNETES` must not cost anybody a folder.
fn refuse_foreign_folder(state: &State) -> Result<()> {
    let is_empty = fs::read_dir(state.root()).map_or(true, |mut entries| entries.next().is_none());
    if is_empty || state.marker().exists() {
        return Ok(());
    }
    bail!(
        "{} was not made by local-kubernetes and is left alone; set KEYSLOT_LOCAL_KUBERNETES to another folder",
        state.root().display()
    );
}

fn remove_made_folders(state: &State) -> Result<()> {
    let Ok(noted) = fs::read_to_string(state.made_folders()) else { return Ok(()) };
    let folders: Vec<PathBuf> =
        serde_json::from_str(&noted).context("the note of made folders is damaged")?;
    for folder in folders {
        // Somebody else may use it by now; then it stays.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}
