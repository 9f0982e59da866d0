//! What a step looks at: the wanted and the seen, and the few questions that several steps ask of both.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::command::{RedisCommand, Target};
use crate::desired::Desired;
use crate::ids::{NodeId, PodName, ShardNumber};
use crate::observed::{Member, Observed, RedisNode, Role};
use crate::slots::SlotSet;
use crate::topology::Place;
use crate::words::counted;

use super::Operation;

/// A resource may ask for 1000 pods; nothing makes more.
const MOST_PODS: u32 = 1000;

/// A node that answered, in its pod.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its pod's name.
    pub pod: &'a PodName,
    /// Its pod.
    pub member: &'a Member,
    /// What it said.
    pub node: &'a RedisNode,
}

/// One look at a cluster, for steps.
pub struct View<'a> {
    /// What is wanted.
    pub desired: &'a Desired,
    /// What was seen.
    pub observed: &'a Observed,
    /// The present time.
    pub now: Timestamp,
    /// The nodes that answered, by id. (Two pods with one id would be two processes on one volume: the first by name
    /// is kept, and `await_pods` blocks.)
    pub nodes: BTreeMap<&'a NodeId, Seen<'a>>,
}

impl<'a> View<'a> {
    /// Indexes an observation.
    pub fn new(desired: &'a Desired, observed: &'a Observed, now: Timestamp) -> Self {
        let mut nodes = BTreeMap::new();
        for (pod, member, node) in observed.nodes() {
            nodes.entry(&node.id).or_insert(Seen { pod, member, node });
        }
        Self { desired, observed, now, nodes }
    }

    /// Wanted number of shards in force.
    pub fn wanted_shards(&self) -> usize {
        usize::try_from(self.desired.in_force.shards.max(1)).unwrap_or(1)
    }

    /// Wanted number of replicas of each shard in force.
    pub fn wanted_replicas(&self) -> usize {
        usize::try_from(self.desired.in_force.replicas_per_shard.max(0)).unwrap_or(0)
    }

    /// Number of pods that must exist so that no volume and no pod that is there is left out: the size, or more when
    /// higher ordinals exist (kept volumes of an earlier resource).
    ///
    /// An ordinal that no cluster can have is somebody's joke, and not taken for one.
    pub fn needed_pods(&self) -> u32 {
        let pods = self.observed.pods.keys().filter_map(PodName::ordinal);
        let ordinals = pods.chain(self.observed.volumes.iter().copied());
        let highest = ordinals.filter(|ordinal| *ordinal < MOST_PODS).max();
        self.desired.pod_count().max(highest.map_or(0, |ordinal| ordinal + 1))
    }

    /// The pods that the StatefulSet makes.
    pub fn expected_pods(&self) -> Vec<PodName> {
        let replicas = self.observed.stateful_set.as_ref().map_or(0, |set| set.replicas);
        (0..replicas.min(MOST_PODS))
            .map(|ordinal| PodName::new(format!("{}-{ordinal}", self.desired.name)))
            .collect()
    }

    /// The expected pods whose node was not read, each with the reason.
    pub fn unread(&self) -> Vec<(PodName, String)> {
        let reason = |pod: &PodName| match self.observed.pods.get(pod) {
            None => {
                let known = self.observed.absent.get(pod).cloned();
                Some(known.unwrap_or_else(|| "the pod does not exist yet".to_owned()))
            }
            Some(member) => match (&member.redis, &member.trouble) {
                (Ok(_), _) => None,
                (Err(_), Some(trouble)) => Some(trouble.to_string()),
                (Err(unreachable), None) => Some(unreachable.to_string()),
            },
        };
        self.expected_pods().into_iter().filter_map(|pod| reason(&pod).map(|why| (pod, why))).collect()
    }

    /// Whether every expected pod was read.
    pub fn all_read(&self) -> bool {
        self.observed.stateful_set.is_some() && self.unread().is_empty()
    }

    /// Nodes that own slots, by their lowest slot.
    pub fn owners(&self) -> Vec<Seen<'a>> {
        owners(self.observed).into_iter().filter_map(|(id, _)| self.nodes.get(id).copied()).collect()
    }

    /// Slots that the nodes themselves say they own.
    pub fn owned(&self) -> SlotSet {
        self.nodes.values().fold(SlotSet::empty(), |all, s| all.union(&s.node.slots()))
    }

    /// Whether any node has keys or functions, copies included.
    pub fn holds_data(&self) -> bool {
        self.nodes.values().any(|s| s.node.holds_data())
    }

    /// The nodes that replicate `primary`, as they say themselves.
    pub fn replicas_of(&self, primary: &NodeId) -> Vec<Seen<'a>> {
        let follows = |s: &Seen<'_>| matches!(&s.node.role, Role::Replica { of, .. } if of == primary);
        self.nodes.values().copied().filter(follows).collect()
    }

    /// Primaries that own nothing, hold nothing and have nobody behind them: nodes that may be given a role.
    pub fn spares(&self) -> Vec<Seen<'a>> {
        let free = |s: &Seen<'_>| {
            s.node.is_primary()
                && s.node.slots().is_empty()
                && !s.node.holds_data()
                && !s.member.terminating
                && self.replicas_of(&s.node.id).is_empty()
        };
        self.nodes.values().copied().filter(free).collect()
    }

    /// Whether the cluster is still being formed and nothing can be lost by giving slots away: the marker is absent,
    /// every pod was read, and no node holds data.
    pub fn is_forming_without_data(&self) -> bool {
        !self.observed.formed && self.all_read() && !self.holds_data()
    }

    /// `4 of 16384 slots …`-like numbers for a settled cluster.
    pub fn summary(&self) -> String {
        let owned = self.owned();
        let slots = if owned.is_all() { "all 16384".to_owned() } else { format!("{} of 16384", owned.len()) };
        let (shards, nodes) = (counted(self.owners().len(), "shard"), counted(self.nodes.len(), "node"));
        format!("{shards}, {nodes}, {slots} slots served")
    }
}

impl Seen<'_> {
    /// Where it runs.
    pub fn place(&self) -> Place {
        Place { host: self.member.host.clone(), zone: self.member.zone.clone() }
    }

    /// A command for it. `None` when its pod has lost its address since, so that nothing can be sent.
    pub fn say(&self, command: RedisCommand) -> Option<Operation> {
        let on = Target { pod: self.pod.clone(), ip: self.member.ip?, node: self.node.id.clone() };
        Some(Operation::Redis { on, command })
    }
}

/// The number of each shard, by its primary: the number that most of its members carry as a label; a shard without
/// one, or whose number another shard has with better right, takes the lowest free one, in the order of slots.
pub fn shard_numbers(observed: &Observed) -> BTreeMap<NodeId, ShardNumber> {
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    let mut unnumbered = Vec::new();
    for (primary, _) in owners(observed) {
        match carried_number(observed, primary).filter(|number| *number >= 0 && taken.insert(*number)) {
            Some(number) => drop(numbers.insert(primary.clone(), number)),
            None => unnumbered.push(primary.clone()),
        }
    }
    let mut free = (0..).filter(|number| !taken.contains(number));
    numbers.extend(unnumbered.into_iter().zip(&mut free));
    numbers
}

/// Nodes that own slots, with them, by their lowest slot. Of two that claim a slot, as before a failover has got round,
/// the one with the higher config epoch owns it: that is how Redis itself decides.
fn owners(observed: &Observed) -> Vec<(&NodeId, SlotSet)> {
    let mut claims: Vec<(u64, &NodeId, SlotSet)> =
        observed.nodes().map(|(_, _, node)| (node.config_epoch, &node.id, node.slots())).collect();
    claims.sort_by_key(|(epoch, id, _)| (std::cmp::Reverse(*epoch), *id));
    let mut owned = SlotSet::empty();
    let mut owners = Vec::new();
    for (_, id, claimed) in claims {
        let slots = claimed.difference(&owned);
        owned = owned.union(&claimed);
        if !slots.is_empty() {
            owners.push((id, slots));
        }
    }
    owners.sort_by_key(|(_, slots)| slots.first());
    owners
}

fn carried_number(observed: &Observed, primary: &NodeId) -> Option<ShardNumber> {
    let mut votes: BTreeMap<ShardNumber, usize> = BTreeMap::new();
    for (_, member, node) in observed.nodes() {
        let belongs = node.id == *primary || matches!(&node.role, Role::Replica { of, .. } if of == primary);
        if let (true, Some(number)) = (belongs, member.labels.shard) {
            *votes.entry(number).or_default() += 1;
        }
    }
    // The lowest of the most frequent.
    votes
        .into_iter()
        .min_by_key(|(number, count)| (std::cmp::Reverse(*count), *number))
        .map(|(number, _)| number)
}
