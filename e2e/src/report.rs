//! What may say why a story failed, printed before its namespace goes.

use std::io::Write as _;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use keyslot_api::v1alpha1::RedisCluster;
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams};
use serde_json::json;

use crate::namespace::Namespace;
use crate::settings::OPERATOR_NAMESPACE;
use crate::{clusters, install};

const LINES: i64 = 200;

/// Says that a part of a test is not done here. The test runner shows nothing that a test prints when it
/// passes, but this.
pub fn skipped(what: &str) {
    // Nobody is left to tell when it fails.
    let _ = writeln!(std::io::stderr(), "\nskipped: {what}");
}

/// Tells a measured value, which the test runner shows nobody otherwise when the test passes.
pub fn measured(what: &str) {
    // Nobody is left to tell when it fails.
    let _ = writeln!(std::io::stderr(), "\nmeasured: {what}");
}

/// Prints everything; what can't be had is left out, for the story's own error must be the last word.
pub async fn print(namespace: &Namespace) {
    eprintln!("---- state of namespace {} at the failure", namespace.name);
    let parts = [
        ("resources", resources(namespace).await),
        ("pods", pods(namespace).await),
        ("events", events(namespace).await),
        ("secrets", secrets(namespace).await),
        ("operator", operator(namespace).await),
    ];
    for (name, part) in parts {
        match part {
            Ok(text) => eprintln!("---- {name}\n{text}"),
            Err(error) => eprintln!("---- {name}: {error:#}"),
        }
    }
    eprintln!("---- end of namespace {}", namespace.name);
}

async fn resources(namespace: &Namespace) -> Result<String> {
    let mut text = Vec::new();
    for cluster in namespace.api::<RedisCluster>().list(&ListParams::default()).await? {
        let shown = json!({ "generation": cluster.metadata.generation, "spec": cluster.spec });
        text.push(format!("{}: {shown}\n{}", cluster.name_any(), clusters::summary(&cluster)));
    }
    Ok(text.join("\n"))
}

async fn pods(namespace: &Namespace) -> Result<String> {
    let api = namespace.api::<Pod>();
    let mut text = Vec::new();
    for pod in api.list(&ListParams::default()).await? {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let seen: Vec<_> =
            containers.iter().map(|one| json!([one.ready, one.restart_count, one.state])).collect();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        text.push(format!(
            "{} on {node:?} {:?} {} {seen:?}",
            pod.name_any(),
            status.phase,
            json!(pod.labels())
        ));
        let lines = LogParams { tail_lines: Some(8), ..LogParams::default() };
        if let Ok(log) = api.logs(&pod.name_any(), &lines).await {
            text.extend(log.lines().map(|line| format!("    {line}")));
        }
    }
    Ok(text.join("\n"))
}

async fn events(namespace: &Namespace) -> Result<String> {
    let events = namespace.api::<Event>().list(&ListParams::default()).await?;
    let lines = events.iter().map(|event| {
        let about = event.regarding.as_ref().and_then(|about| about.name.clone()).unwrap_or_default();
        let reason = event.reason.clone().unwrap_or_default();
        format!("{about}: {reason}: {}", event.note.clone().unwrap_or_default())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Their names and keys only.
async fn secrets(namespace: &Namespace) -> Result<String> {
    let secrets = namespace.api::<Secret>().list(&ListParams::default()).await?;
    let lines = secrets.iter().map(|secret| {
        let keys: Vec<_> = secret.data.iter().flat_map(|data| data.keys()).collect();
        format!("{}: {keys:?}", secret.name_any())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The lines of the operator that are about this namespace, and its last ones.
async fn operator(namespace: &Namespace) -> Result<String> {
    let mut text = Vec::new();
    let api = Api::<Pod>::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    for pod in install::operator_pods(&namespace.client).await? {
        let log =
            api.logs(&pod.name_any(), &LogParams { tail_lines: Some(5000), ..LogParams::default() }).await?;
        let (ours, others): (Vec<&str>, Vec<&str>) =
            log.lines().partition(|line| line.contains(&namespace.name));
        text.push(format!("{}: its last lines about anything else", pod.name_any()));
        text.extend(others.iter().rev().take(10).rev().map(|line| format!("    {line}")));
        text.push(format!("{}: about this namespace", pod.name_any()));
        let skipped = ours.len().saturating_sub(usize::try_from(LINES)?);
        text.extend(ours.iter().skip(skipped).map(|line| format!("    {line}")));
    }
    Ok(text.join("\n"))
}
