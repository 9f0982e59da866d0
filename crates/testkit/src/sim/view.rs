//! What an observation of the world shows: only what real servers and the real API would tell.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use keyslot_planner::command::{BUS_PORT, REDIS_PORT};
use keyslot_planner::observed::{
    Engine, EngineKind, Member, Observed, Peer, PeerAddress, PeerHealth, RedisNode, Role, Unreachable,
};
use keyslot_planner::slots::SlotSet;

use super::kubernetes::Pod;
use super::node::{LinkState, Millis, Node, NodeRole, PeerView};
use super::world::World;

impl World {
    /// One look at everything.
    pub fn observe(&self) -> Observed {
        let kubernetes = &self.kubernetes;
        let pods = kubernetes.pods.iter().map(|(name, pod)| {
            let redis = self.ask(pod);
            let linked = |node: &RedisNode| !matches!(node.role, Role::Replica { link_up: false, .. });
            let member = Member {
                uid: pod.uid.clone(),
                ip: pod.ip,
                host: Some(pod.host.clone()),
                zone: pod.zone.clone(),
                ready: redis.as_ref().is_ok_and(linked),
                terminating: pod.gone.is_some(),
                revision: pod.revision.clone(),
                labels: pod.labels.clone(),
                trouble: pod.trouble.clone(),
                redis,
            };
            (name.clone(), member)
        });
        Observed {
            absent: [].into(),
            locked_out: BTreeSet::new(),
            pods: pods.collect(),
            stateful_set: kubernetes.stateful_set.clone(),
            config: kubernetes.config.clone(),
            acl: kubernetes.acl.clone(),
            formed: kubernetes.formed,
            foreign_volumes: BTreeSet::new(),
            volumes: kubernetes.claims.clone(),
        }
    }

    fn ask(&self, pod: &Pod) -> Result<RedisNode, Unreachable> {
        let ip = pod.ip.ok_or(Unreachable::NoAddress)?;
        let process = self.bus.at(ip).ok_or(Unreachable::Refused)?;
        if self.now < process.hung_until {
            return Err(Unreachable::TimedOut);
        }
        if self.now < process.loading_until {
            return Err(Unreachable::Loading);
        }
        Ok(describe(&process.node, self.now))
    }
}

fn describe(node: &Node, now: Millis) -> RedisNode {
    let role = match &node.role {
        NodeRole::Primary { slots } => Role::Primary {
            slots: slots.clone(),
            migrating: [].into(),
            importing: [].into(),
            offset: node.offset,
        },
        NodeRole::Replica { of, link } => Role::Replica {
            of: of.clone(),
            offset: node.offset,
            link_up: matches!(link.state, LinkState::Up { .. }),
            source: link.target,
        },
    };
    let known = node.peers.iter().map(|(id, peer)| (id.clone(), seen(peer)));
    let shaking = node.handshakes.iter().filter(|(_, handshake)| handshake.until > now);
    let shaking = shaking.map(|(ip, handshake)| {
        let stranger = PeerView::at(*ip, String::new());
        (
            handshake.placeholder.clone(),
            Peer { primary: None, handshake: true, linked: false, ..seen(&stranger) },
        )
    });
    let keys = node.key_count() as u64;
    RedisNode {
        id: node.id.clone(),
        run_id: node.run_id.clone(),
        engine: Engine { kind: EngineKind::Redis, version: "7.0.15".to_owned() },
        role,
        config_epoch: node.config_epoch,
        current_epoch: node.current_epoch,
        cluster_ok: node.cluster_ok,
        keys,
        libraries: 0,
        memory_bytes: 1_000_000 + 100 * keys,
        node_timeout: Duration::from_millis(node.node_timeout),
        maxmemory: node.maxmemory,
        peers: known.chain(shaking).collect(),
    }
}

/// Some addresses of pods that are gone answer nothing at all, not even with a refusal: a node that dials them shows its
/// link as connected all the while.
const fn swallows(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[3] % 2 == 1,
        IpAddr::V6(_) => false,
    }
}

fn seen(peer: &PeerView) -> Peer {
    Peer {
        address: peer.ip.map(|ip| PeerAddress { ip, port: REDIS_PORT, bus_port: BUS_PORT }),
        hostname: (!peer.hostname.is_empty()).then(|| peer.hostname.clone()),
        primary: Some(peer.primary),
        replicates: peer.of.clone(),
        slots: if peer.primary { peer.slots.clone() } else { SlotSet::empty() },
        config_epoch: peer.config_epoch,
        linked: peer.linked || peer.ip.is_some_and(swallows),
        handshake: false,
        health: match (peer.failed, peer.suspected) {
            (Some(_), _) => PeerHealth::Failed,
            (None, true) => PeerHealth::Suspected,
            (None, false) => PeerHealth::Fine,
        },
    }
}
