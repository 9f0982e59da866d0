//! All processes and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keyslot_planner::ids::{PodName, RunId};

use super::node::{Keys, LinkState, Millis, Node, NodeRole};
use super::packet::Packet;
use super::random::Random;

/// A process in its pod.
#[derive(Clone, Debug)]
pub struct Process {
    /// The server.
    pub node: Node,
    /// Until when it reads its data file and answers `LOADING`.
    pub loading_until: Millis,
    /// Until when it answers nobody.
    pub hung_until: Millis,
}

impl Process {
    /// Whether it takes part.
    pub const fn is_awake(&self, now: Millis) -> bool {
        now >= self.loading_until && now >= self.hung_until
    }
}

/// All processes and the network between them.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    /// Running processes by pod.
    pub processes: BTreeMap<PodName, Process>,
    /// Pairs of addresses between which nothing passes, in both directions.
    pub cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Longest time that a message needs.
    pub slowest: Millis,
    /// Longest time that a full sync needs.
    pub slowest_sync: Millis,
    pub(super) packets: BTreeMap<(Millis, u64), Packet>,
    pub(super) sent: u64,
}

/// What a replica sees of the server at its primary's address.
struct Source {
    run_id: RunId,
    keys: Keys,
    offset: u64,
    serves: bool,
}

impl Bus {
    /// Lets everything happen that is due.
    pub fn tick(&mut self, now: Millis, random: &mut Random) {
        self.connect(now);
        let due = self.packets.split_off(&(now + 1, 0));
        for (_, packet) in std::mem::replace(&mut self.packets, due) {
            if let Some(process) = self.reachable_mut(packet.from, packet.to, now) {
                process.node.receive(packet, now, random);
            }
        }
        for process in self.processes.values_mut().filter(|process| process.is_awake(now)) {
            process.node.cron(now, random);
        }
        self.replicate(now, random);
        let slowest = self.slowest;
        for process in self.processes.values_mut() {
            for packet in std::mem::take(&mut process.node.outbox) {
                self.sent += 1;
                self.packets.insert((now + random.between(1, slowest.max(1)), self.sent), packet);
            }
        }
    }

    /// The process with this address, awake or not.
    pub fn at(&self, ip: IpAddr) -> Option<&Process> {
        self.processes.values().find(|process| process.node.ip == ip)
    }

    fn passes(&self, from: IpAddr, to: IpAddr) -> bool {
        !self.cut.contains(&(from, to)) && !self.cut.contains(&(to, from))
    }

    fn reachable_mut(&mut self, from: IpAddr, to: IpAddr, now: Millis) -> Option<&mut Process> {
        if !self.passes(from, to) {
            return None;
        }
        self.processes.values_mut().find(|process| process.node.ip == to && process.is_awake(now))
    }

    /// A TCP connection ends at once when the process at its other end does; a hung process keeps it.
    fn connect(&mut self, now: Millis) {
        let alive: BTreeSet<IpAddr> =
            self.processes.values().filter(|p| now >= p.loading_until).map(|p| p.node.ip).collect();
        let cut = self.cut.clone();
        for Process { node, .. } in self.processes.values_mut() {
            let own = node.ip;
            for peer in node.peers.values_mut() {
                let passes = |ip: &IpAddr| !cut.contains(&(own, *ip)) && !cut.contains(&(*ip, own));
                peer.linked = peer.ip.as_ref().is_some_and(|ip| alive.contains(ip) && passes(ip));
            }
        }
    }

    /// Replicas copy whoever answers at their primary's address.
    fn replicate(&mut self, now: Millis, random: &mut Random) {
        let names: Vec<PodName> = self.processes.keys().cloned().collect();
        for name in names {
            let Some(process) = self.processes.get(&name).filter(|process| process.is_awake(now)) else {
                continue;
            };
            let NodeRole::Replica { link, .. } = &process.node.role else { continue };
            let source = link.target.and_then(|target| self.source(process.node.ip, target, now));
            let sync = now + random.between(50, self.slowest_sync.max(50));
            if let Some(process) = self.processes.get_mut(&name) {
                process.node.copy(source, now, sync);
            }
        }
    }

    fn source(&self, replica: IpAddr, target: IpAddr, now: Millis) -> Option<Source> {
        let process = self.at(target).filter(|process| process.is_awake(now) && target != replica)?;
        let node = &process.node;
        let serves = match &node.role {
            NodeRole::Primary { .. } => true,
            NodeRole::Replica { link, .. } => matches!(link.state, LinkState::Up { .. }),
        };
        self.passes(replica, target).then(|| Source {
            run_id: node.run_id.clone(),
            keys: node.keys.clone(),
            offset: node.offset,
            serves,
        })
    }
}

impl Node {
    fn copy(&mut self, source: Option<Source>, now: Millis, sync_ends: Millis) {
        let NodeRole::Replica { link, .. } = &mut self.role else { return };
        let Some(source) = source.filter(|source| source.serves) else {
            if matches!(link.state, LinkState::Up { .. }) {
                link.down_since = Some(now);
            }
            link.state = LinkState::Down;
            return;
        };
        match &link.state {
            LinkState::Up { from } if *from == source.run_id => {
                (self.keys, self.offset) = (source.keys, source.offset);
            }
            LinkState::Syncing { from, until } if *from == source.run_id => {
                if now >= *until {
                    (self.keys, self.offset) = (source.keys, source.offset);
                    link.state = LinkState::Up { from: source.run_id };
                    link.down_since = None;
                }
            }
            LinkState::Up { .. } | LinkState::Syncing { .. } | LinkState::Down => {
                if matches!(link.state, LinkState::Up { .. }) {
                    link.down_since = Some(now);
                }
                link.state = LinkState::Syncing { until: sync_ends, from: source.run_id };
            }
        }
    }
}
