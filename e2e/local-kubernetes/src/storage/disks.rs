//! The disks behind volumes: a sparse file with an XFS file system for each, on the machine, mounted by
//! the node. So the size that was asked for is enforced by a real file system, volumes grow while they
//! are in use, and the content outlives the node's power supply.
//!
//! XFS and not ext4: to grow a mounted ext4 takes the right `CAP_SYS_RESOURCE`, which root often lacks
//! in containers and small virtual machines. Not tmpfs: its content would count as the containers'
//! memory.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

use crate::cache;
use crate::command::{command, run};
use crate::layout::{Node, State};
use crate::node;

const ENDING: &str = "disk";
/// Less than this XFS cannot be; smaller claims get this much.
const SMALLEST: u64 = 16 << 20;
/// From here on XFS would set 64 MiB aside for its log.
const SIZE_WITH_CHOSEN_LOG: u64 = 256 << 20;

fn file(state: &State, node: Node, name: &str) -> std::path::PathBuf {
    state.disks(node).join(format!("{name}.{ENDING}"))
}

/// Makes the disk if it is not there, and sees to it that the node has it mounted.
pub fn attach(state: &State, node: Node, name: &str, size: u64) -> Result<()> {
    let path = file(state, node, name);
    if !path.exists() {
        cache::produce(&path, |fresh| {
            File::create(fresh)?.set_len(size.max(SMALLEST))?;
            let mut format = command("mkfs.xfs");
            format.args(["-q", "-m", "reflink=0,rmapbt=0"]);
            if size >= SIZE_WITH_CHOSEN_LOG {
                format.args(["-l", "size=16m"]);
            }
            // The switch of its own tests, for less than 300 MiB. Real disks are larger; ours are many.
            format.envs([("TEST_DIR", "1"), ("TEST_DEV", "1"), ("QA_CHECK_FS", "1")]);
            run(format.arg(fresh))
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
    run(node::on(state, node, "xfs_growfs")?.arg("-d").arg(state.mounts(node).join(name)))
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
        let mounts = "/dev/loop1 /s/volumes/pvc-1 xfs rw 0 0\n/dev/loop2 /s/volumes/pvc-12 xfs rw 0 0\n";
        assert_eq!(device_at(mounts, Path::new("/s/volumes/pvc-12")).unwrap(), "/dev/loop2");
        assert_eq!(device_at(mounts, Path::new("/s/volumes/pvc-2")), None);
    }
}
