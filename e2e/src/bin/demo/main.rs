//! `make demo`: installs Keyslot, applies `docs/examples/demo.yaml`, and shows what comes of it.

mod progress;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use keyslot_api::v1alpha1::RedisCluster;
use keyslot_e2e::clusters::Cluster;
use keyslot_e2e::settings::{self, Server};
use keyslot_e2e::{Namespace, client, install, wait};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const NAMESPACE: &str = "demo";
const EXAMPLE: &str = "docs/examples/demo.yaml";
const KEYS: usize = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo did not work: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<()> {
    let client = settings::connect().await?;
    headline("Keyslot: crds/ and deploy/");
    install::install_definitions(&client).await?;
    install::install(&client).await?;
    println!("  {} runs in namespace {}", settings::operator_image(), settings::OPERATOR_NAMESPACE);

    headline(&format!("A cluster: {EXAMPLE} in namespace {NAMESPACE}"));
    let started = Instant::now();
    let cluster = apply_example(&client).await?;
    progress::until_ready(&cluster, started).await?;
    show(&["get", "rcl", "demo"]);
    shards(&cluster).await?;

    headline(&format!("Data: {KEYS} keys as user worker"));
    let read = client::write_and_read(&cluster.namespace, "demo-user-worker", KEYS).await?;
    println!("  {} keys written and read back, found by a cluster-aware client on:", read.read);
    for (node, keys) in &read.keys_by_primary {
        println!("  {node:<24} {keys:>5} keys");
    }
    what_next();
    Ok(())
}

async fn apply_example(client: &Client) -> Result<Cluster> {
    install::apply(client, &namespace()).await?;
    let namespace = Namespace { client: client.clone(), name: NAMESPACE.to_owned() };
    wait::until("the namespace is ready for pods", wait::SOON, async || {
        let accounts = namespace.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        accounts.get("default").await?;
        Ok(())
    })
    .await?;
    let text = std::fs::read_to_string(settings::checkout().join(EXAMPLE)).context(EXAMPLE)?;
    let mut example: Value = serde_saphyr::from_str(&text).context(EXAMPLE)?;
    example["spec"]["image"] = json!(Server::Redis80.image());
    let name = example["metadata"]["name"].as_str().context("the example has no name")?.to_owned();
    let cluster = Cluster::named(&namespace, &name);
    let manager = PatchParams::apply("keyslot-demo").force();
    cluster.api.patch(&name, &manager, &Patch::Apply(&example)).await?;
    Ok(cluster)
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    })
}

async fn shards(cluster: &Cluster) -> Result<()> {
    let RedisCluster { status, .. } = cluster.get().await?;
    let shards = status.context("no status")?.shards;
    ensure!(!shards.is_empty(), "the status names no shards");
    println!();
    for shard in shards {
        let replicas: Vec<&str> = shard.replicas.iter().map(|replica| replica.pod.as_str()).collect();
        let primary = shard.primary.as_deref().unwrap_or("none");
        println!(
            "  shard {}  slots {:<12} primary {primary}, replicas {}",
            shard.shard,
            shard.slots,
            replicas.join(" ")
        );
    }
    Ok(())
}

/// Runs kubectl as people do, when it is there.
fn show(arguments: &[&str]) {
    println!("\n  $ kubectl -n {NAMESPACE} {}", arguments.join(" "));
    let output = kubectl().args(["-n", NAMESPACE]).args(arguments).output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().for_each(|line| println!("  {line}"));
        }
        Err(_) => println!("  (kubectl is not installed)"),
    }
}

fn kubectl() -> Command {
    let local = settings::local_root().join("bin/kubectl");
    let program = if settings::is_local() && local.exists() { local } else { "kubectl".into() };
    let mut command = Command::new(program);
    command.env("KUBECONFIG", settings::kubeconfig());
    command
}

fn headline(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

fn what_next() {
    headline("What to try next");
    println!("  export KUBECONFIG={}", settings::kubeconfig().display());
    if settings::is_local() {
        println!("  export PATH={}:$PATH   # kubectl", settings::local_root().join("bin").display());
    }
    for (command, what) in NEXT {
        println!("  {command:<60} # {what}");
    }
    if settings::is_local() && Path::new("Makefile").exists() {
        println!("  {:<60} # when you have seen enough", "make down");
    }
}

const NEXT: [(&str, &str); 6] = [
    ("kubectl -n demo get rcl,pods,svc,pdb,secret", "what was made"),
    ("kubectl -n demo describe rcl demo", "what Keyslot says about it"),
    ("kubectl explain rcl.spec.users", "the manual"),
    ("kubectl -n demo get secret demo-user-worker -o yaml", "what an application mounts"),
    ("kubectl -n demo delete pod demo-1", "comes back on its volume"),
    ("kubectl -n demo edit rcl demo", "change a user's rules: in force in seconds"),
];
