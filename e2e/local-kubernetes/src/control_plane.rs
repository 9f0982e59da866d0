//! etcd, the API server, the controllers, the scheduler and DNS: processes in the machine's own network.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::api;
use crate::layout::{
    API_PORT, CONTROLLER_MANAGER_PORT, DNS_HEALTH_PORT, DNS_PORT, DNS_READY_PORT, DOMAIN, ETCD_PEER_PORT,
    ETCD_PORT, HOST_ADDRESS, OPERATOR_NAMESPACE, SCHEDULER_PORT, SERVICE_RANGE, State,
};
use crate::processes::{self, Process};

pub const API_SERVER: &str = "kube-apiserver";

/// In the order in which they are started.
pub const PARTS: [&str; 6] =
    ["etcd", API_SERVER, "kube-controller-manager", "kube-scheduler", "coredns", "provisioner"];

/// Starts a part by its name, with `more` flags; `up` does this, and so does whoever stopped it for a test.
pub fn start(state: &State, part: &str, more: &[&str]) -> Result<Process> {
    let mut command = match part {
        "provisioner" => {
            let mut own = Command::new(std::env::current_exe().context("where is this program?")?);
            own.arg("provision").env("KEYSLOT_LOCAL_KUBERNETES", state.root());
            own
        }
        known if PARTS.contains(&known) => Command::new(state.bin().join(known)),
        other => bail!("no part of the control plane is called {other}; there are {}", PARTS.join(", ")),
    };
    match part {
        "etcd" => command.args(etcd(state)),
        API_SERVER => command.args(api_server(state)),
        "kube-controller-manager" => command.args(controller_manager(state)),
        "kube-scheduler" => command.args(scheduler(state)),
        "coredns" => command.arg("-conf").arg(state.config().join("Corefile")),
        _ => &mut command,
    };
    command.args(more);
    processes::start(state, part, &command)
}

/// Ends a part and forgets it, so that its absence is not taken for a crash.
pub fn stop(state: &State, part: &str) -> Result<()> {
    if processes::recorded(state, part).is_none() || !PARTS.contains(&part) {
        bail!("no running part of the control plane is called {part}; there are {}", PARTS.join(", "));
    }
    processes::end(state, part)
}

/// Starts a part that was stopped or has died. Returns when the API server, if it is that, is ready.
pub fn start_again(state: &State, part: &str) -> Result<()> {
    if let Some(process) = processes::alive(state, part) {
        bail!("{part} runs already, as process {}", process.pid);
    }
    start(state, part, &[])?;
    if part == API_SERVER { wait_for_api_server(state) } else { Ok(()) }
}

pub fn wait_for_api_server(state: &State) -> Result<()> {
    processes::wait_for(state, API_SERVER, 60, "the API server does not become ready", || {
        api::block_on(api::is_ready(&state.kubeconfig())).is_ok()
    })
}

pub fn write_configuration(state: &State) -> Result<()> {
    let audit = format!("{:#}", audit_policy());
    for (name, content) in [("audit-policy.json", audit), ("Corefile", corefile(state))] {
        let path = state.config().join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What tests of permissions, of quiescence and of passwords read: every request about our resources, and
/// every request of the operator. What the operator writes is there too, but into Secrets.
fn audit_policy() -> serde_json::Value {
    let operator = [format!("system:serviceaccounts:{OPERATOR_NAMESPACE}")];
    let secrets = [json!({ "group": "", "resources": ["secrets"] })];
    let writes = ["create", "update", "patch"];
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "Metadata", "userGroups": operator, "resources": secrets },
            { "level": "Request", "userGroups": operator, "verbs": writes },
            { "level": "Metadata", "userGroups": operator },
            { "level": "Metadata", "resources": [{ "group": "keyslot.dev" }] },
            { "level": "None" },
        ],
    })
}

/// Short times to live: tests watch how soon clients find pods that moved.
fn corefile(state: &State) -> String {
    format!(
        ".:{DNS_PORT} {{
  bind {HOST_ADDRESS}
  errors
  health 127.0.0.1:{DNS_HEALTH_PORT}
  ready 127.0.0.1:{DNS_READY_PORT}
  kubernetes {DOMAIN} in-addr.arpa {{
    kubeconfig {}
    pods verified
    ttl 5
  }}
  cache {{
    success 1024 5
    denial 1024 2
  }}
}}
",
        state.client("dns").display()
    )
}

fn etcd(state: &State) -> Vec<String> {
    let client = format!("http://127.0.0.1:{ETCD_PORT}");
    let peer = format!("http://127.0.0.1:{ETCD_PEER_PORT}");
    vec![
        "--name=local".into(),
        flag("data-dir", &state.etcd()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=local={peer}"),
        // Nothing here has to survive a power cut of the machine, and disks are slow.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(state: &State) -> Vec<String> {
    let pki = |file: &str| state.pki().join(file);
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
        // Only where the machine and its nodes reach it.
        format!("--bind-address={HOST_ADDRESS}"),
        format!("--advertise-address={HOST_ADDRESS}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=Node,RBAC".into(),
        // The second is on in OpenShift: it finds permissions for finalizers that are missing.
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement".into(),
        "--allow-privileged=true".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--api-audiences=https://kubernetes.default.svc".into(),
        "--requestheader-allowed-names=system:auth-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        flag("audit-policy-file", &state.config().join("audit-policy.json")),
        flag("audit-log-path", &state.audit_log()),
    ];
    let files = [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("service-account-key-file", "service-accounts.pub"),
        ("service-account-signing-key-file", "service-accounts.key"),
        ("kubelet-certificate-authority", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("kubelet-client-key", "apiserver-kubelet.key"),
        ("requestheader-client-ca-file", "ca.crt"),
        ("proxy-client-cert-file", "front-proxy.crt"),
        ("proxy-client-key-file", "front-proxy.key"),
    ];
    flags.extend(files.map(|(name, file)| flag(name, &pki(file))));
    flags
}

fn controller_manager(state: &State) -> Vec<String> {
    let pki = |file: &str| state.pki().join(file);
    let mut flags = vec![
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={CONTROLLER_MANAGER_PORT}"),
        "--leader-elect=false".into(),
        "--use-service-account-credentials=true".into(),
        "--allocate-node-cidrs=false".into(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        // A node that went away is noticed in 16 seconds instead of 50.
        "--node-monitor-period=2s".into(),
        "--node-monitor-grace-period=16s".into(),
        flag("service-account-private-key-file", &pki("service-accounts.key")),
        flag("root-ca-file", &pki("ca.crt")),
        flag("cluster-signing-cert-file", &pki("ca.crt")),
        flag("cluster-signing-key-file", &pki("ca.key")),
    ];
    flags.extend(as_client(state, "controller-manager"));
    flags
}

fn scheduler(state: &State) -> Vec<String> {
    let mut flags = vec![
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={SCHEDULER_PORT}"),
        "--leader-elect=false".into(),
    ];
    flags.extend(as_client(state, "scheduler"));
    flags
}

fn as_client(state: &State, name: &str) -> [String; 3] {
    ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
        .map(|option| flag(option, &state.client(name)))
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
