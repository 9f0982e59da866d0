//! What is still wrong with a cluster that claims to be settled, judged from the truth and not from an observation.

use keyslot_planner::ids::{NodeId, PodName};
use keyslot_planner::slots::SlotSet;

use super::node::{LinkState, Node, NodeRole};
use super::world::World;

impl World {
    /// Every way in which the cluster is not one whole cluster of this size; empty when all is well.
    pub fn mismatches(&self, shards: usize, replicas: usize) -> Vec<String> {
        let mut wrong = self.disagreements();
        let missing = self.missing_keys();
        if !missing.is_empty() {
            wrong.push(format!("keys {missing:?} are not served"));
        }
        let owners: Vec<&Node> = self.servers().filter(|node| !node.slots().is_empty()).collect();
        if owners.len() != shards {
            wrong.push(format!("{} shards instead of {shards}", owners.len()));
        }
        for owner in owners {
            let linked = |node: &&Node| match &node.role {
                NodeRole::Replica { of, link } => {
                    *of == owner.id && matches!(link.state, LinkState::Up { .. })
                }
                NodeRole::Primary { .. } => false,
            };
            let copies = self.servers().filter(linked).count();
            if copies != replicas {
                wrong.push(format!("{} has {copies} linked replicas instead of {replicas}", owner.hostname));
            }
        }
        wrong.extend(self.wrong_labels());
        wrong
    }

    /// What the nodes do not agree on, whatever the size.
    pub fn disagreements(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.kubernetes.formed {
            wrong.push("the marker is absent".to_owned());
        }
        let (mut owned, mut epochs) = (SlotSet::empty(), Vec::new());
        for node in self.servers() {
            if !owned.intersection(&node.slots()).is_empty() {
                wrong.push(format!("{} shares slots with another owner", node.hostname));
            }
            owned = owned.union(&node.slots());
            if !node.slots().is_empty() {
                epochs.push(node.config_epoch);
            }
            wrong.extend(self.opinion_of(node));
        }
        if !owned.is_all() {
            wrong.push(format!("only slots {owned} have an owner"));
        }
        epochs.sort_unstable();
        if epochs.windows(2).any(|pair| pair[0] == pair[1]) {
            wrong.push(format!("config epochs collide: {epochs:?}"));
        }
        wrong
    }

    fn servers(&self) -> impl Iterator<Item = &Node> {
        self.bus.processes.values().map(|process| &process.node)
    }

    fn opinion_of(&self, node: &Node) -> Vec<String> {
        let mut wrong = Vec::new();
        if !node.cluster_ok {
            wrong.push(format!("{} says that the cluster is down", node.hostname));
        }
        let known: Vec<&NodeId> = node.peers.keys().collect();
        let mut others: Vec<&NodeId> =
            self.servers().map(|other| &other.id).filter(|id| **id != node.id).collect();
        others.sort();
        if known != others {
            wrong.push(format!("{} knows {known:?} and not {others:?}", node.hostname));
        }
        for other in self.servers().filter(|other| other.id != node.id) {
            let Some(peer) = node.peers.get(&other.id) else { continue };
            if peer.ip != Some(other.ip) || peer.slots != other.slots() {
                wrong.push(format!("{} is wrong about {}", node.hostname, other.hostname));
            }
        }
        wrong
    }

    /// Labels that do not tell a pod's role, or that give members of one shard different numbers.
    fn wrong_labels(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let shard_of = |node: &NodeId| {
            let pod =
                self.bus.processes.iter().find(|(_, process)| process.node.id == *node).map(|(pod, _)| pod);
            pod.and_then(|pod| self.kubernetes.pods.get(pod)).and_then(|pod| pod.labels.shard)
        };
        for (pod, process) in &self.bus.processes {
            let Some(labels) = self.kubernetes.pods.get(pod).map(|pod| &pod.labels) else { continue };
            let right = match &process.node.role {
                NodeRole::Primary { slots } if slots.is_empty() => labels.shard.is_none(),
                NodeRole::Primary { .. } => labels.shard.is_some() && labels.role.is_some(),
                NodeRole::Replica { of, .. } => labels.shard.is_some() && labels.shard == shard_of(of),
            };
            if !right {
                wrong.push(format!("{pod} has the wrong labels {labels:?}"));
            }
        }
        wrong
    }

    /// The pods whose nodes own slots, and all others.
    pub fn owners_and_others(&self) -> (Vec<PodName>, Vec<PodName>) {
        let pods = self.bus.processes.iter();
        let (owners, others): (Vec<_>, Vec<_>) =
            pods.partition(|(_, process)| !process.node.slots().is_empty());
        let names =
            |all: Vec<(&PodName, &super::Process)>| all.into_iter().map(|(pod, _)| pod.clone()).collect();
        (names(owners), names(others))
    }
}
