//! A cgroup for each node, so that the limits of its pods work and its leftovers can be found. The
//! folders of a cgroup are its existence: making and removing folders is all there is to it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layout::{CGROUP, NODES, Node};

/// What the kubelet and runc cannot do without.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// The two ways in which Linux offers cgroups.
#[derive(Debug, PartialEq, Eq)]
enum Hierarchies {
    /// Version 1: one tree for each controller or group of controllers.
    Separate(Vec<PathBuf>),
    /// Version 2: one tree with all controllers.
    Unified(PathBuf),
}

fn hierarchies() -> Result<Hierarchies> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let found = parse_mounts(&mounts);
    match &found {
        Hierarchies::Separate(trees) => {
            let is_missing = |controller: &&str| !trees.iter().any(|tree| names_controller(tree, controller));
            let missing: Vec<&str> = NEEDED.into_iter().filter(|controller| is_missing(controller)).collect();
            if !missing.is_empty() {
                bail!(
                    "cgroups are not usable here: neither cgroup v2 at /sys/fs/cgroup nor a cgroup v1 mount of {}",
                    missing.join(", ")
                );
            }
        }
        Hierarchies::Unified(tree) => {
            let offered = fs::read_to_string(tree.join("cgroup.controllers")).unwrap_or_default();
            let is_missing =
                |controller: &&str| !offered.split_whitespace().any(|known| known == *controller);
            let missing: Vec<&str> = NEEDED.into_iter().filter(|controller| is_missing(controller)).collect();
            if !missing.is_empty() {
                bail!(
                    "cgroup v2 at {} lacks the controllers {}; inside of a container it has to be handed down by the host",
                    tree.display(),
                    missing.join(", ")
                );
            }
        }
    }
    Ok(found)
}

/// A machine with both (the "hybrid" layout) has version 2 below /sys/fs/cgroup and no controllers in it.
fn parse_mounts(mounts: &str) -> Hierarchies {
    let fields = |line: &str| {
        let mut fields = line.split_whitespace();
        let place = fields.nth(1)?.to_owned();
        Some((place, fields.next()?.to_owned()))
    };
    let mounted: Vec<(String, String)> = mounts.lines().filter_map(fields).collect();
    if mounted.iter().any(|(place, kind)| place == "/sys/fs/cgroup" && kind == "cgroup2") {
        return Hierarchies::Unified(PathBuf::from("/sys/fs/cgroup"));
    }
    let separate = mounted.iter().filter(|(_, kind)| kind == "cgroup").map(|(place, _)| PathBuf::from(place));
    Hierarchies::Separate(separate.collect())
}

/// Controllers that are mounted together share a folder: `/sys/fs/cgroup/cpu,cpuacct`.
fn names_controller(tree: &Path, controller: &str) -> bool {
    let name = tree.file_name().unwrap_or_default().to_string_lossy();
    name.split(',').any(|part| part == controller)
}

pub fn check() -> Result<()> {
    hierarchies().map(|_| ())
}

/// Makes the cgroup of a node, empty.
pub fn make(node: Node) -> Result<()> {
    match hierarchies()? {
        Hierarchies::Separate(trees) => {
            for tree in trees {
                let (shared, own) = (tree.join(CGROUP), tree.join(CGROUP).join(node.name()));
                create(&own)?;
                if names_controller(&tree, "cpuset") {
                    hand_down_cpus(&tree, &shared)?;
                    hand_down_cpus(&shared, &own)?;
                }
            }
        }
        Hierarchies::Unified(tree) => {
            let (shared, own) = (tree.join(CGROUP), tree.join(CGROUP).join(node.name()));
            create(&own)?;
            for folder in [&tree, &shared, &own] {
                hand_down_controllers(folder)?;
            }
        }
    }
    Ok(())
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the cgroup {}", folder.display()))
}

/// A new cpuset of version 1 has no processors and takes no processes until it is given some.
fn hand_down_cpus(from: &Path, to: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(from.join(file))
            .with_context(|| format!("cannot read {}", from.join(file).display()))?;
        fs::write(to.join(file), value.trim())
            .with_context(|| format!("cannot write {}", to.join(file).display()))?;
    }
    Ok(())
}

/// A folder of version 2 has the controllers that its parent lists in this file.
fn hand_down_controllers(folder: &Path) -> Result<()> {
    let offered = fs::read_to_string(folder.join("cgroup.controllers"))
        .with_context(|| format!("cannot read the controllers of {}", folder.display()))?;
    let enable: Vec<String> = offered.split_whitespace().map(|controller| format!("+{controller}")).collect();
    let file = folder.join("cgroup.subtree_control");
    fs::write(&file, enable.join(" ")).with_context(|| {
        format!(
            "cannot write {}: processes that are directly in {} are in the way, as in a container; \
             move them to a folder of their own first",
            file.display(),
            folder.display()
        )
    })
}

/// The place of the node's pods for the kubelet.
pub fn kubelet_root(node: Node) -> String {
    format!("/{CGROUP}/{}", node.name())
}

/// Removes the cgroups of a node whose processes are gone.
pub fn remove(node: Node) -> Result<()> {
    for tree in trees() {
        remove_tree(&tree.join(CGROUP).join(node.name()))?;
    }
    Ok(())
}

pub fn remove_all() -> Result<()> {
    for node in NODES {
        remove(node)?;
    }
    for tree in trees() {
        remove_tree(&tree.join(CGROUP))?;
    }
    Ok(())
}

/// All trees of the machine, whether controllers are in them or not: runc writes to each.
fn trees() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let place = |line: &str| {
        let mut fields = line.split_whitespace();
        let place = fields.nth(1)?.to_owned();
        fields.next()?.starts_with("cgroup").then(|| PathBuf::from(place))
    };
    mounts.lines().filter_map(place).collect()
}

fn remove_tree(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path())?;
    }
    // The kernel needs a moment after the last process of a cgroup has ended.
    let mut tries = 0;
    loop {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(_) if tries < 100 => std::thread::sleep(std::time::Duration::from_millis(50)),
            outcome => {
                return outcome.with_context(|| format!("cannot remove the cgroup {}", folder.display()));
            }
        }
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_trees_win_over_an_empty_unified_one() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let Hierarchies::Separate(trees) = parse_mounts(mounts) else { panic!("not separate") };
        assert_eq!(trees.len(), 2);
        assert!(names_controller(&trees[0], "cpu") && names_controller(&trees[0], "cpuacct"));
        assert!(!names_controller(&trees[0], "cpuset"));
    }

    #[test]
    fn one_tree_is_recognised() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(parse_mounts(mounts), Hierarchies::Unified(PathBuf::from("/sys/fs/cgroup")));
    }
}
