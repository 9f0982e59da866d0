//! The pods of one cluster, alone in their namespace: when they run, and when their servers started.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use keyslot_e2e::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Enough of a log for its first line.
const FIRST_BYTES: i64 = 4096;

/// Follows objects until `see` has seen what it looks for.
pub async fn follow<K, T>(api: &Api<K>, mut see: impl FnMut(&K) -> Option<T>) -> Result<T>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let listed = api.list(&ListParams::default()).await?;
    if let Some(found) = listed.items.iter().find_map(&mut see) {
        return Ok(found);
    }
    let version = listed.metadata.resource_version.context("a list without a version")?;
    let mut events = pin!(api.watch(&WatchParams::default(), &version).await?);
    while let Some(event) = events.next().await {
        match event.context("the watch broke")? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                if let Some(found) = see(&object) {
                    return Ok(found);
                }
            }
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("the watch broke: {status:?}"),
        }
    }
    bail!("the watch ended")
}

/// Tells the addresses as they come to be known, and returns when so many pods were seen to be Running.
pub async fn until_running(
    namespace: &Namespace,
    count: usize,
    addresses: watch::Sender<Vec<IpAddr>>,
) -> Result<Timestamp> {
    let mut running: BTreeMap<String, bool> = BTreeMap::new();
    let mut known: BTreeMap<String, IpAddr> = BTreeMap::new();
    follow(&namespace.api::<Pod>(), |pod| {
        let status = pod.status.clone().unwrap_or_default();
        running.insert(pod.name_any(), status.phase.as_deref() == Some("Running"));
        if let Some(ip) = status.pod_ip.and_then(|ip| ip.parse().ok()) {
            known.insert(pod.name_any(), ip);
            addresses.send_replace(known.values().copied().collect());
        }
        let all = running.values().filter(|runs| **runs).count() == count && known.len() == count;
        all.then(Timestamp::now)
    })
    .await
}

/// Returns when so many pods are Ready.
pub async fn until_ready(namespace: &Namespace, count: usize) -> Result<()> {
    let mut ready: BTreeMap<String, bool> = BTreeMap::new();
    follow(&namespace.api::<Pod>(), |pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        ready.insert(pod.name_any(), is_ready);
        (ready.values().filter(|is_ready| **is_ready).count() == count).then_some(())
    })
    .await
}

/// When the last server started: the moment at which the container runtime got the first line of its log,
/// which a server prints before anything else.
pub async fn last_start(namespace: &Namespace) -> Result<Timestamp> {
    let pods = namespace.api::<Pod>();
    let first = LogParams { timestamps: true, limit_bytes: Some(FIRST_BYTES), ..LogParams::default() };
    let names: Vec<String> =
        pods.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    let (pods, first) = (&pods, &first);
    let starts = names.iter().map(|name| async move {
        let log = pods.logs(name, first).await?;
        let stamp = log.split_whitespace().next().with_context(|| format!("{name} has no log"))?;
        stamp.parse::<Timestamp>().with_context(|| format!("{name}: {stamp}"))
    });
    try_join_all(starts).await?.into_iter().max().context("there are no pods")
}
