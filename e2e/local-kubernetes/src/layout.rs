//! Every number and place of the cluster, in one file: addresses, ports, names, folders.
//!
//! One machine holds one such cluster: the bridge, the addresses and the ports are fixed, so that tests
//! and people find the same cluster each time.

use std::path::{Path, PathBuf};

pub const KUBERNETES: &str = "1.35.4";

/// Network of the machine and its nodes: the machine is .1, node N is .10+N.
pub const BRIDGE: &str = "kl0";
pub const HOST_ADDRESS: &str = "10.87.0.1";
pub const POD_RANGE: &str = "10.88.0.0/16";
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
pub const API_SERVICE_ADDRESS: &str = "10.96.0.1";
pub const DNS_SERVICE_ADDRESS: &str = "10.96.0.10";
pub const DNS_PORT: u16 = 53;
pub const DOMAIN: &str = "cluster.local";

pub const API_PORT: u16 = 6443;
/// On the loopback address only, and away from the ports of another etcd or DNS server.
pub const ETCD_PORT: u16 = 12379;
pub const ETCD_PEER_PORT: u16 = 12380;
pub const DNS_HEALTH_PORT: u16 = 18080;
pub const DNS_READY_PORT: u16 = 18181;
pub const CONTROLLER_MANAGER_PORT: u16 = 10257;
pub const SCHEDULER_PORT: u16 = 10259;

/// Name of the folder of cgroups that holds the nodes.
pub const CGROUP: &str = "keyslot";
/// Service accounts of this namespace are watched by the audit log.
pub const OPERATOR_NAMESPACE: &str = "keyslot-system";
/// Volumes of storage classes with this provisioner are ours.
pub const PROVISIONER: &str = "local-kubernetes.keyslot.dev/disk";
pub const STORAGE_CLASS: &str = "local";

/// Only one process changes the cluster at a time, whichever folder it uses.
pub const LOCK: &str = "/run/lock/keyslot-local-kubernetes.lock";

/// Folders of the machine that a node covers with folders of its own.
pub const COVERED: [(&str, &str); 5] = [
    ("/var/lib/kubelet", "kubelet"),
    ("/var/lib/containerd", "containerd"),
    ("/etc/cni/net.d", "cni-conf"),
    ("/var/log/pods", "pod-logs"),
    ("/var/log/containers", "container-logs"),
];

/// One of the three machines that are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(u8);

pub const NODES: [Node; 3] = [Node(1), Node(2), Node(3)];

impl Node {
    pub fn named(name: &str) -> Option<Self> {
        NODES.into_iter().find(|node| node.name() == name)
    }

    pub fn name(self) -> String {
        format!("node{}", self.0)
    }

    pub fn zone(self) -> String {
        format!("zone{}", self.0)
    }

    pub fn address(self) -> String {
        format!("10.87.0.1{}", self.0)
    }

    pub fn pod_range(self) -> String {
        format!("10.88.{}.0/24", self.0)
    }

    /// Its network namespace, and the machine's end of its cable.
    pub fn link(self) -> String {
        format!("kl-node{}", self.0)
    }
}

/// The folder that holds all state of the running cluster.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

impl State {
    pub fn open() -> Self {
        let chosen = std::env::var_os("KEYSLOT_LOCAL_KUBERNETES").filter(|value| !value.is_empty());
        let root = chosen.map_or_else(|| PathBuf::from("/var/tmp/keyslot-local-kubernetes"), PathBuf::from);
        Self::at(&root)
    }

    pub fn at(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    /// Records of started processes.
    pub fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// Configurations of clients of the API server.
    pub fn clients(&self) -> PathBuf {
        self.root.join("clients")
    }

    /// That of one client, by the name of its certificate.
    pub fn client(&self, name: &str) -> PathBuf {
        self.clients().join(name)
    }

    /// The administrator's, for people and tests.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub fn node(&self, node: Node) -> PathBuf {
        self.root.join("nodes").join(node.name())
    }

    /// Files with the content of the node's volumes: they outlive its power supply.
    pub fn disks(&self, node: Node) -> PathBuf {
        self.node(node).join("disks")
    }

    /// Where the node mounts them.
    pub fn mounts(&self, node: Node) -> PathBuf {
        self.node(node).join("volumes")
    }

    /// The folders that `up` made outside of the root.
    pub fn made_folders(&self) -> PathBuf {
        self.root.join("made-folders")
    }

    /// Tells our folder from any other.
    pub fn marker(&self) -> PathBuf {
        self.root.join(".made-by-local-kubernetes")
    }

    /// There once `up` came to its end.
    pub fn complete(&self) -> PathBuf {
        self.root.join("complete")
    }
}

pub fn api_server() -> String {
    format!("https://{HOST_ADDRESS}:{API_PORT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_by_their_names_only() {
        assert_eq!(Node::named("node2"), Some(NODES[1]));
        assert_eq!(Node::named("node4"), None);
        assert_eq!(Node::named("2"), None);
    }

    #[test]
    fn nodes_share_no_address() {
        let addresses: std::collections::BTreeSet<String> = NODES.iter().map(|node| node.address()).collect();
        assert_eq!(addresses.len(), NODES.len());
        assert!(!addresses.contains(HOST_ADDRESS));
    }
}
