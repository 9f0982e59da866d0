//! The Redis nodes: the seam to them, and the standing watches that make passes prompt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyslot_planner::ids::Uid;
use keyslot_redis_admin::{Credentials, NodeClient, NodeConnections, Watch};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::cluster::ClusterRef;
use crate::watches::Triggers;

/// How the operator reaches nodes. Tests put a layer of faults above the real connections, or pretended nodes.
pub trait Nodes: NodeClient {
    /// Closes what is kept open to other addresses than these: pods are gone, or the leader's claim has ended.
    fn keep_only(&self, addresses: &BTreeSet<IpAddr>) {
        let _ = addresses;
    }
}

impl Nodes for NodeConnections {
    fn keep_only(&self, addresses: &BTreeSet<IpAddr>) {
        Self::keep_only(self, addresses);
    }
}

/// A pod whose node is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedPod {
    /// Its address.
    pub ip: IpAddr,
    /// What tells one run of its server container from the next.
    pub run: Option<String>,
}

/// The standing watches of all clusters: one per pod, held by the leader only.
#[derive(Default)]
pub struct NodeWatches(Mutex<HashMap<ClusterRef, BTreeMap<Uid, Standing>>>);

struct Standing {
    pod: WatchedPod,
    credentials: Credentials,
    hurry: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NodeWatches {
    /// Watches exactly these pods of the cluster. Every event asks both loops to look.
    pub fn watch<N: Nodes>(
        &self,
        cluster: &ClusterRef,
        pods: BTreeMap<Uid, WatchedPod>,
        nodes: &N,
        (credentials, triggers): (&Credentials, &Triggers),
    ) {
        let mut all = self.lock();
        let mut before = all.remove(cluster).unwrap_or_default();
        let mut changed = before.keys().any(|uid| !pods.contains_key(uid));
        let mut standing = BTreeMap::new();
        for (uid, pod) in pods {
            let same = |s: &Standing| s.pod.ip == pod.ip && s.credentials.same_as(credentials);
            let kept = before.remove(&uid).filter(same);
            changed |= kept.is_none();
            let mut kept = kept.unwrap_or_else(|| {
                begin(cluster, (&pod, credentials), nodes.watch(pod.ip, credentials), triggers)
            });
            if kept.pod.run != pod.run {
                // A container has started: its server listens within moments.
                kept.hurry.notify_one();
                kept.pod = pod;
            }
            standing.insert(uid, kept);
        }
        all.insert(cluster.clone(), standing);
        if changed {
            nodes.keep_only(&addresses(&all));
        }
    }

    /// The cluster is gone.
    pub fn forget<N: Nodes>(&self, cluster: &ClusterRef, nodes: &N) {
        let mut all = self.lock();
        if all.remove(cluster).is_some() {
            nodes.keep_only(&addresses(&all));
        }
    }

    /// The leader's claim has ended: nothing may stay open.
    pub fn forget_all<N: Nodes>(&self, nodes: &N) {
        self.lock().clear();
        nodes.keep_only(&BTreeSet::new());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterRef, BTreeMap<Uid, Standing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn addresses(all: &HashMap<ClusterRef, BTreeMap<Uid, Standing>>) -> BTreeSet<IpAddr> {
    all.values().flat_map(BTreeMap::values).map(|standing| standing.pod.ip).collect()
}

fn begin(
    cluster: &ClusterRef,
    (pod, credentials): (&WatchedPod, &Credentials),
    mut watch: Watch,
    triggers: &Triggers,
) -> Standing {
    let hurry = Arc::new(Notify::new());
    let (hurried, cluster, triggers, ip) = (Arc::clone(&hurry), cluster.clone(), triggers.clone(), pod.ip);
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                event = watch.next() => {
                    let Some(event) = event else { return };
                    debug!(%cluster, %ip, ?event, "node event");
                    triggers.both(&cluster);
                }
                () = hurried.notified() => watch.hurry(),
            }
        }
    });
    Standing { pod: pod.clone(), credentials: credentials.clone(), hurry, task: task.abort_handle() }
}
