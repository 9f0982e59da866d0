//! The commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A real Kubernetes of three nodes on this machine, without Docker and without a registry.
///
/// See docs/local-kubernetes.md. Needs root.
#[derive(Parser)]
#[command(name = "local-kubernetes")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start the cluster; does nothing when it runs already.
    Up,
    /// End the cluster and remove everything that belongs to it.
    Down,
    /// Show processes, nodes, images and how to use the cluster.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Bring images to all nodes: `keyslot` and `keyslot-client`, which are built from this checkout,
    /// those that `images` makes, or an image's tar file.
    LoadImage {
        #[arg(required = true)]
        names: Vec<String>,
        /// For `keyslot` or `keyslot-client`: pack this program instead of building it.
        #[arg(long)]
        program: Option<PathBuf>,
    },
    /// Make the images and folders of Redis and Valkey servers in the cache; no cluster is needed.
    Images {
        /// Such as `redis-7.0`; all when none is named.
        names: Vec<String>,
    },
    /// Print the folder with the files of a server, such as `redis-7.0`; made when it is missing.
    Rootfs { name: String },
    /// Cut the power of a node.
    PowerOff { node: String },
    /// Start a node again, on the disks that it had.
    PowerOn { node: String },
    /// Cut the network cable of a node.
    Partition { node: String },
    /// Put the network cable of a node back in.
    Heal { node: String },
    /// End a part of the control plane, such as `kube-apiserver`.
    Stop { part: String },
    /// Start a part of the control plane again.
    Start { part: String },
    /// Freeze a process that `status` lists, such as `etcd` or `node1/kubelet`.
    Pause { process: String },
    /// Let a frozen process go on.
    Resume { process: String },
    /// The provisioner of volumes; `up` starts it.
    #[command(hide = true)]
    Provision,
    /// The first process of a node; `power-on` starts it.
    #[command(hide = true)]
    Node { node: String },
}
