//! The machines that are played: objects of kind Node, and the signs of life that keep them ready.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::status::now;

/// How often a machine says that it lives: the controllers wait 16 s for it.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
const LEASES: &str = "kube-node-lease";

/// A machine to be played.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// Name of its Node.
    pub name: String,
    /// Value of the label `topology.kubernetes.io/zone`.
    pub zone: String,
    /// Value of the label [`Machine::GROUP`], by which tests keep to machines of their own.
    pub group: String,
}

impl Machine {
    /// Label of nodes: who uses them.
    pub const GROUP: &str = "keyslot.dev/group";

    /// The machines of a group, in zones of their own.
    pub fn of_group(group: &str) -> [Self; 3] {
        [1, 2, 3].map(|number| Self {
            name: format!("{group}-node{number}"),
            zone: format!("zone{number}"),
            group: group.to_owned(),
        })
    }

    /// Makes its Node, ready.
    pub async fn register(&self, client: &Client) -> Result<()> {
        let nodes = Api::<Node>::all(client.clone());
        let node = serde_json::from_value(json!({
            "metadata": { "name": self.name, "labels": {
                "kubernetes.io/hostname": self.name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": self.zone,
                Self::GROUP: self.group,
            }},
        }))?;
        nodes.create(&PostParams::default(), &node).await?;
        self.wake(client).await
    }

    /// Says that it is ready, as a kubelet does when it starts: after a power cut the controllers have said otherwise.
    pub async fn wake(&self, client: &Client) -> Result<()> {
        let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1000Gi" });
        let conditions = [
            ("Ready", "True"),
            ("MemoryPressure", "False"),
            ("DiskPressure", "False"),
            ("PIDPressure", "False"),
        ];
        let conditions = conditions.map(|(kind, status)| {
            json!({ "type": kind, "status": status, "reason": "Played", "lastHeartbeatTime": now(), "lastTransitionTime": now() })
        });
        let status = json!({ "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": conditions,
            "addresses": [{ "type": "Hostname", "address": self.name }],
        }});
        let nodes = Api::<Node>::all(client.clone());
        nodes.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(status)).await?;
        self.live(client).await
    }

    /// A sign of life.
    pub async fn live(&self, client: &Client) -> Result<()> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.name },
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": 40,
                "renewTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            },
        });
        let leases = Api::<Lease>::namespaced(client.clone(), LEASES);
        leases.patch(&self.name, &PatchParams::apply("played-kubelet").force(), &Patch::Apply(lease)).await?;
        Ok(())
    }
}
