//! The disks behind volumes: a sparse file with an ext4 file system for each, on the machine, mounted
//! by the node. So the size that was asked for is enforced by a real file system, volumes grow while
//! they are in use, and the content outlives the node's power supply.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

use crate::cache;
use crate::command::{command, run};
use crate::layout::{Node, State};
use crate::node;

const ENDING: &str = "disk";

fn file(state: &State, node: Node, name: &str) -> std::path::PathBuf {
    state.disks(node).join(format!("{name}.{ENDING}"))
}

/// Makes the disk if it is not there, and sees to it that the node has it mounted.
pub fn attach(state: &State, node: Node, name: &str, size: u64) -> Result<()> {
    let path = file(state, node, name);
    if !path.exists() {
        cache::produce(&path, |fresh| {
            File::create(fresh)?.set_len(size)?;
            // No journal: nothing here is ever cut off from its kernel, and small disks need the room.
            let options = ["-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal", "-E", "nodiscard"];
            run(command("mkfs.ext4").args(options).arg(fresh))
        })?;
    }
    if device(state, node, name).is_some() {
        return Ok(());
    }
    let place = state.mounts(node).join(name);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    run(node::on(state, node, "mount")?.args(["-o", "loop,noatime"]).arg(&path).arg(&place))
}

/// Mounts a disk from inside of the node, while it starts.
pub fn mount_here(state: &State, node: Node, path: &Path) -> Result<()> {
    let place = state.mounts(node).join(path.file_stem().context("a disk needs a name")?);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    run(command("mount").args(["-o", "loop,noatime"]).arg(path).arg(&place))
}

/// Makes the disk larger under whatever is using it.
pub fn grow(state: &State, node: Node, name: &str, size: u64) -> Result<()> {
    let path = file(state, node, name);
    let disk = File::options().write(true).open(&path);
    let disk = disk.with_context(|| format!("cannot open {}", path.display()))?;
    if disk.metadata()?.len() < size {
        disk.set_len(size)?;
    }
    let device =
        device(state, node, name).with_context(|| format!("{} has not mounted {name}", node.name()))?;
    run(command("losetup").arg("--set-capacity").arg(&device))?;
    // In the node's view of the file system, the only one where the disk is mounted.
    run(node::on(state, node, "resize2fs")?.arg(&device))
}

/// Removes the disk with its content.
pub fn remove(state: &State, node: Node, name: &str) -> Result<()> {
    let place = state.mounts(node).join(name);
    if device(state, node, name).is_some() {
        run(node::on(state, node, "umount")?.arg(&place))?;
    }
    cache::remove(&file(state, node, name))?;
    cache::remove(&place)
}

/// The loop device of the disk, when the node runs and has it mounted.
fn device(state: &State, node: Node, name: &str) -> Option<String> {
    let first = node::running(state, node)?;
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", first.pid)).ok()?;
    device_at(&mounts, &state.mounts(node).join(name))
}

fn device_at(mounts: &str, place: &Path) -> Option<String> {
    let fields = |line: &str| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    let found = mounts.lines().filter_map(fields).find(|(_, at)| Path::new(at) == place);
    found.map(|(device, _)| device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_that_of_the_exact_place() {
        let mounts = "/dev/loop1 /s/volumes/pvc-1 ext4 rw 0 0\n/dev/loop2 /s/volumes/pvc-12 ext4 rw 0 0\n";
        assert_eq!(device_at(mounts, Path::new("/s/volumes/pvc-12")).unwrap(), "/dev/loop2");
        assert_eq!(device_at(mounts, Path::new("/s/volumes/pvc-2")), None);
    }
}
