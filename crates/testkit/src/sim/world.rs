//! The world: time passes, pods start and end, clients write, and nothing that was acknowledged may get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keyslot_api::v1alpha1::{RedisCluster, RedisClusterSpec};
use keyslot_planner::desired::Desired;
use keyslot_planner::ids::{HostName, PodName, ZoneName};
use keyslot_planner::slots::{SLOT_COUNT, Slot};

use super::bus::{Bus, Process};
use super::kubernetes::Kubernetes;
use super::node::{Keys, Millis, Node};
use super::random::Random;
use crate::builders::desired;

/// The smallest step of time.
pub(super) const TICK: Millis = 20;

/// What the world is like.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Seed of everything that is left to chance.
    pub seed: u64,
    /// Kubernetes nodes.
    pub hosts: usize,
    /// Zones, 0 for none.
    pub zones: usize,
    /// Longest time until a new pod's container starts.
    pub slowest_start: Millis,
    /// Longest time that a message on the bus needs.
    pub slowest_message: Millis,
}

impl Default for Layout {
    fn default() -> Self {
        Self { seed: 1, hosts: 3, zones: 0, slowest_start: 3000, slowest_message: 60 }
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// Time since the beginning.
    pub now: Millis,
    /// Everything that is left to chance.
    pub random: Random,
    /// The resource.
    pub resource: RedisCluster,
    /// Kubernetes objects.
    pub kubernetes: Kubernetes,
    /// Servers.
    pub bus: Bus,
    /// What is on the volumes of ordinals, `nodes.conf` and data; of a running server its last state before the start.
    pub volumes: BTreeMap<u32, Node>,
    /// `nodes.conf` in the `emptyDir` of pods without volumes.
    pub scratch: BTreeMap<PodName, Node>,
    /// Every key that was ever acknowledged.
    pub ledger: Keys,
    /// Lines of `users.acl` that a server has accepted.
    pub accepted_lines: BTreeSet<String>,
    written: u32,
    pub(super) operations: usize,
    /// It takes longer to make than everything else in a pass.
    last_desired: Option<(Inputs, Rc<Desired>)>,
}

/// What `Desired` is made from: the resource, what is in force, and the marker.
type Inputs = (RedisCluster, Option<RedisClusterSpec>, bool);

impl World {
    /// A world with an empty Kubernetes and the resource.
    pub fn new(resource: RedisCluster, layout: Layout) -> Self {
        let zone =
            |host: usize| (layout.zones > 0).then(|| ZoneName::new(format!("zone-{}", host % layout.zones)));
        let kubernetes = Kubernetes {
            name: resource.metadata.name.clone().unwrap_or_default(),
            hosts: (0..layout.hosts.max(1)).map(|h| (HostName::new(format!("host-{h}")), zone(h))).collect(),
            slowest_start: layout.slowest_start,
            persistent: resource.spec.storage.is_some(),
            ..Kubernetes::default()
        };
        let bus = Bus { slowest: layout.slowest_message, slowest_sync: 600, ..Bus::default() };
        Self {
            now: 0,
            random: Random::new(layout.seed),
            resource,
            kubernetes,
            bus,
            volumes: BTreeMap::new(),
            scratch: BTreeMap::new(),
            ledger: Keys::new(),
            accepted_lines: BTreeSet::new(),
            written: 0,
            operations: 0,
            last_desired: None,
        }
    }

    /// What is wanted at this moment.
    pub fn desired(&mut self) -> Rc<Desired> {
        let in_force = self.kubernetes.stateful_set.as_ref().and_then(|set| set.in_force.clone());
        let inputs = (self.resource.clone(), in_force, self.kubernetes.formed);
        match &self.last_desired {
            Some((of, last)) if *of == inputs => Rc::clone(last),
            Some(_) | None => {
                let new = Rc::new(desired(&inputs.0, inputs.1.clone(), inputs.2));
                self.last_desired = Some((inputs, Rc::clone(&new)));
                new
            }
        }
    }

    /// The pods that the StatefulSet makes.
    pub fn expected_pods(&self) -> Vec<PodName> {
        let replicas = self.kubernetes.stateful_set.as_ref().map_or(0, |set| set.replicas);
        (0..replicas).map(|ordinal| PodName::new(format!("{}-{ordinal}", self.kubernetes.name))).collect()
    }

    /// Every node that runs or could start again from what it left behind.
    pub fn everyone(&self) -> impl Iterator<Item = &Node> {
        let running = |ordinal: u32| self.bus.processes.keys().any(|pod| pod.ordinal() == Some(ordinal));
        let stopped =
            self.volumes.iter().filter(move |(ordinal, _)| !running(**ordinal)).map(|(_, node)| node);
        let restarting = self.scratch.iter().filter(|(pod, _)| !self.bus.processes.contains_key(*pod));
        let restarting = restarting.map(|(_, node)| node);
        self.bus.processes.values().map(|process| &process.node).chain(stopped).chain(restarting)
    }

    /// Lets time pass.
    pub fn pass_time(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.kubernetes.tick(self.now, &mut self.random);
            self.run_pods();
            self.bus.tick(self.now, &mut self.random);
        }
        self.check_ledger();
    }

    fn run_pods(&mut self) {
        for name in self.kubernetes.pods.keys().cloned().collect::<Vec<_>>() {
            let Some(pod) = self.kubernetes.pods.get(&name) else { continue };
            if pod.gone.is_some_and(|gone| gone <= self.now) {
                self.stop(&name);
                self.scratch.remove(&name);
                self.kubernetes.pods.remove(&name);
            } else if pod.starts <= self.now
                && pod.trouble.is_none()
                && !self.bus.processes.contains_key(&name)
            {
                self.start(&name);
            }
        }
    }

    fn start(&mut self, name: &PodName) {
        let ip = self.kubernetes.pods.get(name).and_then(|pod| pod.ip);
        let ip = ip.unwrap_or_else(|| self.kubernetes.new_address());
        let Some(pod) = self.kubernetes.pods.get_mut(name) else { return };
        pod.ip = Some(ip);
        let timeout = u64::try_from(self.desired().node_timeout.as_millis()).unwrap_or(u64::MAX);
        let now = self.now;
        let left = if self.kubernetes.persistent {
            name.ordinal().and_then(|ordinal| self.volumes.get(&ordinal))
        } else {
            self.scratch.get(name)
        };
        let node = if let Some(left) = left {
            left.restarted(ip, timeout, now, &mut self.random)
        } else {
            let hostname = format!("{name}.{}.test.svc.cluster.local", self.kubernetes.name);
            Node::fresh(ip, hostname, timeout, now, &mut self.random)
        };
        let loading = if node.key_count() > 0 { self.random.between(50, 800) } else { 0 };
        let process = Process { node, loading_until: now + loading, hung_until: 0 };
        self.bus.processes.insert(name.clone(), process);
    }

    /// Ends a process. `nodes.conf` stays as long as its volume; data stays only with persistence.
    pub fn stop(&mut self, name: &PodName) {
        let Some(Process { mut node, .. }) = self.bus.processes.remove(name) else { return };
        if !self.kubernetes.persistent {
            node.keys.clear();
            self.scratch.insert(name.clone(), node);
        } else if let Some(ordinal) = name.ordinal() {
            self.volumes.insert(ordinal, node);
        }
    }

    /// A container dies and is started again in the same pod.
    pub fn kill(&mut self, name: &PodName) {
        self.stop(name);
        let again = self.now + self.random.between(200, 1500);
        if let Some(pod) = self.kubernetes.pods.get_mut(name) {
            pod.starts = again;
        }
    }

    /// A pod is gone at once; the StatefulSet makes a new one with a new address.
    pub fn evict(&mut self, name: &PodName) {
        if let Some(pod) = self.kubernetes.pods.get_mut(name) {
            pod.gone = Some(self.now);
        }
        self.pass_time(TICK);
    }

    /// The resource is deleted with everything but the volumes.
    pub fn delete_cluster(&mut self) {
        for name in self.kubernetes.pods.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name);
        }
        self.scratch.clear();
        self.kubernetes.delete_all();
    }

    /// Clients write keys: acknowledged by a primary that serves, and copied to its replicas shortly after.
    pub fn write(&mut self, count: u32) {
        for _ in 0..count {
            let slot: Slot = u16::try_from(self.random.between(0, u64::from(SLOT_COUNT) - 1)).unwrap_or(0);
            let now = self.now;
            let serves =
                |p: &&mut Process| p.is_awake(now) && p.node.cluster_ok && p.node.slots().contains(slot);
            if let Some(Process { node, .. }) = self.bus.processes.values_mut().find(serves) {
                node.keys.entry(slot).or_default().insert(self.written);
                node.offset += 50;
                self.ledger.entry(slot).or_default().insert(self.written);
                self.written += 1;
            }
        }
        self.pass_time(200);
    }

    /// The keys that no node that serves their slot has.
    pub fn missing_keys(&self) -> Vec<u32> {
        self.missing(|node, slot| node.cluster_ok && node.slots().contains(slot))
    }

    fn check_ledger(&self) {
        let lost = self.missing(|_, _| true);
        assert!(lost.is_empty(), "data-loss: nobody has keys {lost:?} at {} ms\n{}", self.now, self.dump());
    }

    fn missing(&self, counts: impl Fn(&Node, Slot) -> bool) -> Vec<u32> {
        let held = |slot: Slot, key: u32| {
            let has = |node: &Node| node.keys.get(&slot).is_some_and(|keys| keys.contains(&key));
            self.everyone().any(|node| has(node) && counts(node, slot))
        };
        let all = self.ledger.iter().flat_map(|(slot, keys)| keys.iter().map(|key| (*slot, *key)));
        all.filter(|(slot, key)| !held(*slot, *key)).map(|(_, key)| key).collect()
    }
}
