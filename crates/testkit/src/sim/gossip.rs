//! The cluster bus: pings, handshakes, and what nodes learn from each other's headers.

use std::net::IpAddr;

use keyslot_planner::ids::NodeId;
use keyslot_planner::slots::SlotSet;

use super::node::{Handshake, Millis, Node, NodeRole, PeerView, node_id};
use super::packet::{Body, Header, Packet, Rumour};
use super::random::Random;

/// How often a node's cron runs.
const CRON: Millis = 100;
/// A handshake that finds nobody is given up after the node-timeout, but not before this.
const LEAST_HANDSHAKE: Millis = 1000;

/// Who says something, and from where.
#[derive(Clone, Copy)]
struct Sender<'a> {
    header: &'a Header,
    from: IpAddr,
}

impl Node {
    /// What the node does ten times a second.
    pub(super) fn cron(&mut self, now: Millis, random: &mut Random) {
        if now < self.next_cron {
            return;
        }
        self.next_cron = now + CRON;
        self.handshakes.retain(|_, handshake| handshake.until > now);
        self.banned.retain(|_, until| *until > now);
        for (ip, meet) in self.handshakes.iter().map(|(ip, h)| (*ip, h.meet)).collect::<Vec<_>>() {
            let body = if meet { Body::Meet } else { Body::Ping(Vec::new(), None) };
            self.send(ip, body);
        }
        self.ping_peers(now, random);
        self.judge_peers(now);
        self.update_state(now);
        self.stand_for_election(now, random);
    }

    fn ping_peers(&mut self, now: Millis, random: &mut Random) {
        let mut due: Vec<NodeId> = Vec::new();
        if now >= self.next_random_ping {
            self.next_random_ping = now + 1000;
            let ids: Vec<&NodeId> = self.peers.keys().collect();
            let picks: Vec<&NodeId> = (0..ids.len().min(5)).map(|_| ids[random.index(ids.len())]).collect();
            due.extend(picks.into_iter().min_by_key(|id| self.peers[*id].last_pong).cloned());
        }
        let half = self.node_timeout / 2;
        for (id, peer) in &self.peers {
            let quiet = peer.ping_sent.is_none() && (peer.last_pong == 0 || now - peer.last_pong > half);
            let unanswered = peer.ping_sent.is_some() && (!peer.linked || now - peer.last_try > half);
            if quiet || unanswered {
                due.push(id.clone());
            }
        }
        due.sort();
        due.dedup();
        for id in due {
            let rumours = self.rumours(random);
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let Some(ip) = peer.ip else { continue };
            peer.ping_sent = peer.ping_sent.or(Some(now));
            peer.last_try = now;
            self.send(ip, Body::Ping(rumours, Some(id)));
        }
    }

    pub(super) fn send(&mut self, to: IpAddr, body: Body) {
        let packet = Packet { from: self.ip, to, header: self.header(), body };
        self.outbox.push(packet);
    }

    pub(super) fn broadcast(&mut self, body: &Body) {
        for ip in self.peers.values().filter_map(|peer| peer.ip).collect::<Vec<_>>() {
            self.send(ip, body.clone());
        }
    }

    fn header(&self) -> Header {
        let (slots, config_epoch) = match &self.role {
            NodeRole::Primary { slots } => (slots.clone(), self.config_epoch),
            NodeRole::Replica { of, .. } => self
                .peers
                .get(of)
                .map_or((SlotSet::empty(), 0), |peer| (peer.slots.clone(), peer.config_epoch)),
        };
        Header {
            id: self.id.clone(),
            hostname: self.hostname.clone(),
            of: self.primary().cloned(),
            slots,
            config_epoch,
            current_epoch: self.current_epoch,
        }
    }

    /// Three others at random, and everybody who seems to fail.
    fn rumours(&self, random: &mut Random) -> Vec<Rumour> {
        let mut ids: Vec<&NodeId> = self.peers.keys().collect();
        random.shuffle(&mut ids);
        let chosen = |(position, id): (usize, &&NodeId)| {
            let peer = &self.peers[*id];
            let failing = peer.suspected || peer.failed.is_some();
            (position < 3.max(self.peers.len() / 10) || failing).then(|| Rumour {
                id: (*id).clone(),
                ip: peer.ip,
                hostname: peer.hostname.clone(),
                failing,
            })
        };
        ids.iter().enumerate().filter_map(chosen).collect()
    }

    /// A message has arrived.
    pub(super) fn receive(&mut self, packet: Packet, now: Millis, random: &mut Random) {
        let Packet { from, header, body, .. } = packet;
        let sender = Sender { header: &header, from };
        if header.id == self.id {
            self.handshakes.remove(&from);
            return;
        }
        if self.peers.contains_key(&header.id) {
            self.current_epoch = self.current_epoch.max(header.current_epoch);
        }
        match body {
            Body::Meet => {
                if !self.peers.contains_key(&header.id) {
                    self.shake_hands(from, false, now, random);
                }
                self.hear(sender, &[], now, random);
                self.send(from, Body::Pong(self.rumours(random), None));
            }
            Body::Ping(rumours, asked) => {
                self.hear(sender, &rumours, now, random);
                self.send(from, Body::Pong(self.rumours(random), asked));
            }
            Body::Pong(rumours, asked) => self.answered(sender, (&rumours, asked), now, random),
            Body::Fail(id) if self.peers.contains_key(&header.id) => self.mark_failed(&id, now),
            Body::Update(id, epoch, slots) if self.peers.contains_key(&header.id) => {
                self.corrected(&id, epoch, &slots);
            }
            Body::VoteRequest => self.vote(&header, from, now),
            Body::Vote(epoch) => self.count_vote(&header, epoch),
            Body::Fail(_) | Body::Update(..) => {}
        }
    }

    /// Begins a handshake unless one with that address is under way.
    pub(super) fn shake_hands(&mut self, ip: IpAddr, meet: bool, now: Millis, random: &mut Random) {
        let until = now + self.node_timeout.max(LEAST_HANDSHAKE);
        let handshake = self.handshakes.entry(ip).or_insert_with(|| Handshake {
            placeholder: node_id(random),
            until,
            meet,
        });
        handshake.meet |= meet;
    }

    fn answered(
        &mut self,
        sender: Sender<'_>,
        (rumours, asked): (&[Rumour], Option<NodeId>),
        now: Millis,
        random: &mut Random,
    ) {
        let Sender { header, from } = sender;
        if self.handshakes.remove(&from).is_some() {
            // Whoever was known already has only moved.
            let peer = self.peers.entry(header.id.clone());
            peer.or_insert_with(|| PeerView::at(from, header.hostname.clone()));
            self.moved(&header.id, from);
        }
        if let Some(asked) = asked.filter(|asked| *asked != header.id) {
            // Another node lives at that address now.
            if let Some(peer) = self.peers.get_mut(&asked) {
                peer.ip = None;
            }
            return;
        }
        let timeout = self.node_timeout;
        if let Some(peer) = self.peers.get_mut(&header.id) {
            (peer.ping_sent, peer.last_pong, peer.suspected) = (None, now, false);
            let undone =
                |failed: Millis| peer.slots.is_empty() || !peer.primary || now - failed > 2 * timeout;
            if peer.failed.is_some_and(undone) {
                peer.failed = None;
            }
        }
        self.hear(sender, rumours, now, random);
    }

    /// A node is heard from at an address, and its replica follows it there.
    pub(super) fn moved(&mut self, id: &NodeId, ip: IpAddr) {
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.ip != Some(ip)) else { return };
        (peer.ip, peer.ping_sent, peer.last_pong) = (Some(ip), None, 0);
        if let NodeRole::Replica { of, link } = &mut self.role
            && of == id
        {
            *link = super::node::Link { target: Some(ip), ..link.clone() };
        }
    }

    /// What a ping or pong of a known node teaches.
    fn hear(&mut self, sender: Sender<'_>, rumours: &[Rumour], now: Millis, random: &mut Random) {
        let Sender { header, from } = sender;
        if !self.peers.contains_key(&header.id) {
            return;
        }
        self.moved(&header.id, from);
        if let Some(peer) = self.peers.get_mut(&header.id) {
            peer.hostname.clone_from(&header.hostname);
        }
        self.learn_role(header);
        self.learn_claims(header, from);
        for rumour in rumours {
            self.listen(header, rumour, now, random);
        }
    }

    fn listen(&mut self, teller: &Header, rumour: &Rumour, now: Millis, random: &mut Random) {
        if rumour.id == self.id {
            return;
        }
        let credible = self.is_voter(&teller.id);
        let Some(peer) = self.peers.get_mut(&rumour.id) else {
            if let (Some(ip), false) = (rumour.ip, self.banned.contains_key(&rumour.id)) {
                self.shake_hands(ip, false, now, random);
            }
            return;
        };
        if credible {
            if rumour.failing {
                peer.reports.insert(teller.id.clone(), now);
            } else {
                peer.reports.remove(&teller.id);
            }
        }
        // Somebody still reaches it, at another address than we know. The replication link stays where it was: the
        // reason why replicas hang at dead addresses after all have changed.
        let lost = peer.ip.is_none() || peer.suspected || peer.failed.is_some();
        if lost && !rumour.failing && rumour.ip.is_some() && rumour.ip != peer.ip {
            peer.ip = rumour.ip;
            peer.hostname.clone_from(&rumour.hostname);
            (peer.ping_sent, peer.last_pong) = (None, 0);
        }
    }
}
