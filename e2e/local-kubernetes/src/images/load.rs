//! Brings images to the nodes. Each node has a store of its own that outlives its power supply.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::cache;
use crate::command::{output, run};
use crate::layout::{NODES, Node, State};
use crate::node;

/// Imports the image file into every node that has power; a node that has it already is skipped.
pub fn into_all(state: &State, image: &Path) -> Result<()> {
    let running: Vec<Node> = NODES.into_iter().filter(|node| node::running(state, *node).is_some()).collect();
    if running.is_empty() {
        return Err(anyhow!("no node has power; start the cluster with: local-kubernetes up"));
    }
    for off in NODES.into_iter().filter(|node| !running.contains(node)) {
        eprintln!("{} has no power and does not get {}", off.name(), image.display());
    }
    thread::scope(|scope| {
        let imports: Vec<_> =
            running.iter().map(|node| scope.spawn(move || into_one(state, *node, image))).collect();
        imports
            .into_iter()
            .try_for_each(|import| import.join().map_err(|_| anyhow!("an import ended without an answer"))?)
    })
}

fn into_one(state: &State, node: Node, image: &Path) -> Result<()> {
    let name = image.file_name().context("an image needs a file name")?;
    let receipt = state.node(node).join("images").join(name);
    let stamp = cache::stamp(image)?;
    if fs::read_to_string(&receipt).is_ok_and(|known| known == stamp) {
        return Ok(());
    }
    let mut import = node::on(state, node, "ctr")?;
    run(import.args(["--namespace", "k8s.io", "images", "import"]).arg(image))
        .with_context(|| format!("cannot import {} on {}", image.display(), node.name()))?;
    fs::write(&receipt, stamp).with_context(|| format!("cannot write {}", receipt.display()))
}

/// Names of the images that a node has.
pub fn on_node(state: &State, node: Node) -> Result<Vec<String>> {
    let listed =
        output(node::on(state, node, "ctr")?.args(["--namespace", "k8s.io", "images", "list", "--quiet"]))?;
    let is_name = |line: &&str| !line.starts_with("sha256:");
    Ok(listed.lines().filter(is_name).map(str::to_owned).collect())
}
