//! What a pass works with.

use std::sync::Arc;
use std::time::Duration;

use keyslot_planner::Desired;
use keyslot_planner::desired::SystemMemory;
use keyslot_planner::system_users;
use keyslot_redis_admin::Credentials;
use kube::Client;
use kube::runtime::events::Reporter;

use crate::backoff::Backoff;
use crate::cluster::ClusterRef;
use crate::leader::Leadership;
use crate::memory::Memory;
use crate::metrics::{Loop, Metrics};
use crate::nodes::{NodeWatches, Nodes};
use crate::stores::{Stores, Zones};
use crate::watches::Triggers;

/// Everything that the passes of one scope share.
pub struct Context<N> {
    /// The API server.
    pub client: Client,
    /// The Redis nodes.
    pub nodes: Arc<N>,
    /// Whether this process may act.
    pub leadership: Leadership,
    /// What the watches have seen.
    pub stores: Stores,
    /// Zones of Kubernetes nodes.
    pub zones: Zones,
    /// Asks for another pass.
    pub triggers: Triggers,
    /// Between passes.
    pub memory: Memory,
    /// The standing watches of Redis nodes.
    pub watched: Arc<NodeWatches>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Delays after failures, of the topology and of the settings loop.
    pub backoffs: [Backoff; 2],
    /// In whose name Events are published.
    pub reporter: Reporter,
    /// DNS domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// How long it may take until a changed object has reached the files that pods have mounted.
    pub files_delay: Duration,
}

impl<N: Nodes> Context<N> {
    /// The delays of one loop.
    pub const fn backoff(&self, controller: Loop) -> &Backoff {
        match controller {
            Loop::Topology => &self.backoffs[0],
            Loop::Settings => &self.backoffs[1],
        }
    }

    /// The resource is gone.
    pub fn forget(&self, cluster: &ClusterRef) {
        self.memory.forget(cluster);
        self.metrics.forget(cluster);
        self.watched.forget(cluster, self.nodes.as_ref());
        self.backoffs.iter().for_each(|backoff| backoff.reset(cluster));
    }

    /// Another process takes over: nothing of Redis stays open, and nothing remembered is trusted later.
    pub fn stand_down(&self) {
        self.watched.forget_all(self.nodes.as_ref());
        self.memory.forget_all();
        for cluster in self.stores.clusters.state() {
            self.metrics.forget(&ClusterRef::of(kube::Resource::meta(cluster.as_ref())));
        }
    }
}

/// As whom the operator logs in to the cluster's nodes; `None` before its password was made.
pub fn credentials(desired: &Desired) -> Option<Credentials> {
    let SystemMemory { passwords, second_passwords, .. } = &desired.system;
    let first = passwords.operator.clone()?;
    // A server that started from an older file knows an older password.
    let passwords = std::iter::once(first).chain(second_passwords.operator.clone()).collect();
    Some(Credentials { username: system_users::OPERATOR.to_owned(), passwords })
}
