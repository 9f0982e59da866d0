//! Runs `keyslot-client` in the story's namespace, as a pod that has nothing but the Secret of a user.

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, Patch, PatchParams, PostParams};
use rand::distr::{Alphanumeric, SampleString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::{settings, wait};

/// Runs it with these arguments and returns what it printed last.
pub async fn run(namespace: &Namespace, secret: &str, arguments: &[&str]) -> Result<Value> {
    let pod = start(namespace, secret, arguments).await?;
    let phase = wait::until("the client is done", wait::A_WHILE, async || {
        let status = pod.pods.get(&pod.name).await?.status.unwrap_or_default();
        match status.phase.as_deref() {
            Some(phase @ ("Succeeded" | "Failed")) => Ok(phase.to_owned()),
            _ => bail!("{:?} {:?}", status.phase, status.container_statuses),
        }
    })
    .await?;
    let lines = pod.lines().await?;
    pod.delete().await?;
    let last = lines.last().with_context(|| format!("the client {phase} without a word"))?;
    ensure!(phase == "Succeeded", "the client failed: {last}");
    Ok(last.clone())
}

/// A client that runs.
pub struct Running {
    pods: Api<Pod>,
    name: String,
}

/// Starts it, for commands that do not end.
pub async fn start(namespace: &Namespace, secret: &str, arguments: &[&str]) -> Result<Running> {
    let random = Alphanumeric.sample_string(&mut rand::rng(), 6).to_lowercase();
    let name = format!("client-{random}");
    let pods = namespace.api::<Pod>();
    pods.create(&PostParams::default(), &serde_json::from_value(manifest(&name, secret, arguments))?).await?;
    Ok(Running { pods, name })
}

impl Running {
    /// What it has printed until now.
    pub async fn lines(&self) -> Result<Vec<Value>> {
        let log = self.pods.logs(&self.name, &LogParams::default()).await?;
        log.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until it has printed a line in which this is found; the first one counts.
    pub async fn says<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> Result<T> {
        wait::until(&format!("the client says {what}"), wait::A_WHILE, async || {
            let lines = self.lines().await?;
            lines.iter().find_map(&find).with_context(|| format!("{lines:?}"))
        })
        .await
    }

    /// Makes the kubelet look at the pod now, and bring its mounted Secret up to date with that.
    pub async fn nudge(&self) -> Result<()> {
        nudge(&self.pods, &self.name).await
    }

    /// Ends it at once.
    pub async fn delete(&self) -> Result<()> {
        self.pods.delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }
}

/// Makes the kubelet look at a pod now: it does so for any change of the pod, and brings what is mounted up to date.
/// By itself it takes a minute or so.
pub async fn nudge(pods: &Api<Pod>, name: &str) -> Result<()> {
    let now =
        json!({ "metadata": { "annotations": { "keyslot-e2e/nudged": Timestamp::now().to_string() } } });
    pods.patch(name, &PatchParams::default(), &Patch::Merge(now)).await?;
    Ok(())
}

/// What `write-read` and `read` print.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysRead {
    pub read: usize,
    pub missing: usize,
    pub keys_by_primary: std::collections::BTreeMap<String, i64>,
}

/// Writes keys as this user and reads them back; each shard must have got some.
pub async fn write_and_read(namespace: &Namespace, secret: &str, keys: usize) -> Result<KeysRead> {
    let answer = run(namespace, secret, &["write-read", "--keys", &keys.to_string()]).await?;
    let read: KeysRead = serde_json::from_value(answer)?;
    ensure!(read.read == keys && read.missing == 0, "{read:?}");
    ensure!(read.keys_by_primary.values().all(|keys| *keys > 0), "{read:?}");
    Ok(read)
}

/// Reads keys that were written earlier; none may be missing.
pub async fn read(namespace: &Namespace, secret: &str, keys: usize) -> Result<KeysRead> {
    let answer = run(namespace, secret, &["read", "--keys", &keys.to_string()]).await?;
    let read: KeysRead = serde_json::from_value(answer)?;
    ensure!(read.read == keys && read.missing == 0, "{read:?}");
    Ok(read)
}

fn manifest(name: &str, secret: &str, arguments: &[&str]) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "client",
                "image": settings::client_image(),
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [{ "name": "binding", "mountPath": "/binding", "readOnly": true }],
            }],
            "volumes": [{ "name": "binding", "secret": { "secretName": secret } }],
        },
    })
}
