//! Configuration files of the programs on a node. They are JSON, which is also YAML; containerd alone
//! wants TOML.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cgroups;
use crate::images::recipes::PAUSE;
use crate::layout::{DNS_SERVICE_ADDRESS, DOMAIN, Node, POD_RANGE, State};

pub fn write(state: &State, node: Node) -> Result<()> {
    let folder = state.node(node);
    let files = [
        ("kubelet.json", format!("{:#}", kubelet(state, node))),
        ("proxy.json", format!("{:#}", proxy(state, node))),
        ("cni-conf/10-local.conflist", format!("{:#}", pod_network(state, node))),
        ("containerd.toml", containerd()),
        ("resolv.conf", format!("nameserver {DNS_SERVICE_ADDRESS}\n")),
    ];
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn kubelet(state: &State, node: Node) -> Value {
    let pki = |file: String| -> PathBuf { state.pki().join(file) };
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki("ca.crt".into()) },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki(format!("{}.crt", node.name())),
        "tlsPrivateKeyFile": pki(format!("{}.key", node.name())),
        "clusterDomain": DOMAIN,
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "resolvConf": state.node(node).join("resolv.conf"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::kubelet_root(node),
        "failCgroupV1": false,
        "failSwapOn": false,
        // The node shares the machine with its neighbours: nothing is set aside and nothing evicted.
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // Without the right to change it, any other value ends the kubelet.
        "oomScoreAdj": 0,
        "maxPods": 100,
        // Prompt, for tests: changes of mounted objects and the state of the node are seen in seconds.
        "syncFrequency": "3s",
        "fileCheckFrequency": "60s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 8,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 100,
        "eventBurst": 200,
    })
}

fn proxy(state: &State, node: Node) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": state.client("proxy") },
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": node.name(),
        // These settings belong to the whole machine; leave them alone.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "nftables": { "minSyncPeriod": "100ms" },
        "oomScoreAdj": 0,
    })
}

fn pod_network(state: &State, node: Node) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "local",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": state.node(node).join("cni-addresses"),
                    "ranges": [[{ "subnet": node.pod_range() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// The kernels of containers and virtual machines often lack `AppArmor` and huge pages, and may forbid
/// to lower the score of the out-of-memory killer.
fn containerd() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"#
    )
}
