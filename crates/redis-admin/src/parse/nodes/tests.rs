use super::*;
use keyslot_planner::ids::NodeId;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn id(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn read(text: &str) -> Result<NodesTable, String> {
    nodes_table(text).map_err(|malformed| malformed.to_string())
}

/// A table of a node without anything, and one peer.
fn peer(line: &str) -> Result<Peer, String> {
    let myself = format!("{} :6379@16379 myself,master - 0 0 0 connected", id('a'));
    read(&format!("{myself}\n{line}\n")).map(|table| table.peers.into_values().next().unwrap())
}

#[test]
fn every_measured_form_of_an_address_is_read() {
    for (place, flags, expected) in [
        ("10.0.0.1:6379@16379", "master", Some(("10.0.0.1", None))),
        ("10.0.0.1:6379@16379,", "master", Some(("10.0.0.1", None))),
        ("10.0.0.1:6379@16379,a.test", "master", Some(("10.0.0.1", Some("a.test")))),
        ("10.0.0.1:6379@16379,a.test,tls-port=0,shard-id=x", "master", Some(("10.0.0.1", Some("a.test")))),
        ("10.0.0.1:6379@16379,,tls-port=0", "master", Some(("10.0.0.1", None))),
        ("fd00::1:6379@16379,a.test", "master", Some(("fd00::1", Some("a.test")))),
        ("::ffff:10.0.0.1:6379@16379", "master", Some(("10.0.0.1", None))),
        (":0@0", "master,noaddr", None),
        (":0@0,a.test", "master,fail,noaddr", None),
        ("10.0.0.1:6379@16379", "master,noaddr", None),
    ] {
        let peer = peer(&format!("{} {place} {flags} - 0 0 1 disconnected", id('b'))).unwrap();
        let ip = peer.address.as_ref().map(|address| address.ip.to_string());
        assert_eq!(ip.as_deref(), expected.map(|(ip, _)| ip), "{place}");
        if let Some((_, hostname)) = expected {
            assert_eq!(peer.hostname.as_deref(), hostname, "{place}");
        }
    }
}

#[test]
fn flags_tell_role_and_health() {
    for (flags, primary, health, handshake) in [
        ("master", Some(true), PeerHealth::Fine, false),
        ("slave", Some(false), PeerHealth::Fine, false),
        ("master,fail?", Some(true), PeerHealth::Suspected, false),
        ("slave,fail", Some(false), PeerHealth::Failed, false),
        ("master,nofailover", Some(true), PeerHealth::Fine, false),
        ("handshake", None, PeerHealth::Fine, true),
        ("noflags", None, PeerHealth::Fine, false),
        ("master,of-a-later-version", Some(true), PeerHealth::Fine, false),
    ] {
        let peer = peer(&format!("{} 10.0.0.1:6379@16379 {flags} - 0 0 1 connected", id('b'))).unwrap();
        assert_eq!((peer.primary, peer.health, peer.handshake), (primary, health, handshake), "{flags}");
    }
}

#[test]
fn open_slots_are_read_on_both_sides() {
    let line = format!(
        "{} 10.0.0.1:6379@16379 myself,master - 0 0 7 connected 0-4 6 [5->-{}] [9-<-{}]",
        id('a'),
        id('b'),
        id('c')
    );
    let myself = read(&line).unwrap().myself;
    assert_eq!(myself.slots.to_string(), "0-4, 6");
    assert_eq!(myself.migrating, [(5, id('b').parse().unwrap())].into());
    assert_eq!(myself.importing, [(9, id('c').parse().unwrap())].into());
    assert_eq!(myself.config_epoch, 7);
}

#[test]
fn what_is_not_as_measured_is_refused() {
    let (a, b) = (id('a'), id('b'));
    let myself = format!("{a} 10.0.0.1:6379@16379 myself,master - 0 0 0 connected");
    for wrong in [
        String::new(),
        format!("{b} 10.0.0.1:6379@16379 master - 0 0 0 connected"),
        format!("{myself}\n{myself}"),
        format!("{myself}\n{a} 10.0.0.1:6379@16379 master - 0 0 0 connected"),
        "vars currentEpoch 6 lastVoteEpoch 0".to_owned(),
        format!("{a} 10.0.0.1:6379 myself,master - 0 0 0 connected"),
        format!("{a} 10.0.0.1:70000@16379 myself,master - 0 0 0 connected"),
        format!("{a} host.test:6379@16379 myself,master - 0 0 0 connected"),
        format!("{a} 10.0.0.1:6379@16379 myself,master - 0 0 0"),
        format!("{a} 10.0.0.1:6379@16379 myself,master - 0 0 x connected"),
        format!("{a} 10.0.0.1:6379@16379 myself,master - 0 0 0 unknown"),
        format!("{a} 10.0.0.1:6379@16379 myself,slave - 0 0 0 connected"),
        format!("{a} 10.0.0.1:6379@16379 myself,master {b} 0 0 0 connected"),
        format!("{myself} 16384"),
        format!("{myself} 7-5"),
        format!("{myself} x"),
        format!("{myself} [5->-{b}"),
        format!("{myself} [5->-short]"),
        format!("{myself} [5-{b}]"),
    ] {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn many_single_slots_are_read_quickly() {
    use std::fmt::Write;
    let mut line = format!("{} 10.0.0.1:6379@16379 myself,master - 0 0 0 connected", id('a'));
    (0..SLOT_COUNT).step_by(2).for_each(|slot| write!(line, " {slot}").unwrap());
    assert_eq!(read(&line).unwrap().myself.slots.len(), 8192);
}

fn any_id() -> impl Strategy<Value = NodeId> {
    "[0-9a-f]{40}".prop_map(|text| text.parse().unwrap())
}

fn any_address() -> impl Strategy<Value = Option<PeerAddress>> {
    let four = any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits)));
    let six = any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from(bits | 0xfd00 << 112)));
    let ip = prop_oneof![four, six];
    proptest::option::of((ip, any::<u16>(), any::<u16>()))
        .prop_map(|address| address.map(|(ip, port, bus_port)| PeerAddress { ip, port, bus_port }))
}

fn any_slots() -> impl Strategy<Value = SlotSet> {
    proptest::collection::vec(0..SLOT_COUNT, 0..40).prop_map(|slots| slots.into_iter().collect())
}

fn any_peer() -> impl Strategy<Value = Peer> {
    let health = prop_oneof![Just(PeerHealth::Fine), Just(PeerHealth::Suspected), Just(PeerHealth::Failed)];
    let names = proptest::option::of("[a-z.-]{1,20}");
    let role = (proptest::option::of(any::<bool>()), proptest::option::of(any_id()));
    (any_address(), names, role, any_slots(), any::<u64>(), any::<(bool, bool)>(), health).prop_map(
        |(address, hostname, (primary, replicates), slots, config_epoch, (linked, handshake), health)| Peer {
            address,
            hostname,
            primary,
            replicates,
            slots,
            config_epoch,
            linked,
            handshake,
            health,
        },
    )
}

fn print(id: &NodeId, peer: &Peer) -> String {
    let place = match &peer.address {
        Some(PeerAddress { ip, port, bus_port }) => format!("{ip}:{port}@{bus_port}"),
        None => ":0@0".to_owned(),
    };
    let hostname = peer.hostname.as_ref().map(|name| format!(",{name}")).unwrap_or_default();
    let flags = [
        peer.primary.map_or("noflags", |primary| if primary { "master" } else { "slave" }),
        if peer.handshake { "handshake" } else { "nofailover" },
        match peer.health {
            PeerHealth::Fine => "noflags",
            PeerHealth::Suspected => "fail?",
            PeerHealth::Failed => "fail",
        },
    ]
    .join(",");
    let primary = peer.replicates.as_ref().map_or("-".to_owned(), ToString::to_string);
    let link = if peer.linked { "connected" } else { "disconnected" };
    let slots = peer.slots.to_string().replace(", ", " ");
    format!("{id} {place}{hostname} {flags} {primary} 0 17 {} {link} {slots}", peer.config_epoch)
}

proptest! {
    #[test]
    fn what_is_printed_is_read(peers in proptest::collection::btree_map(any_id(), any_peer(), 0..6), slots in any_slots()) {
        let me: NodeId = "a".repeat(40).parse().unwrap();
        prop_assume!(!peers.contains_key(&me));
        let mut lines: Vec<String> = peers.iter().map(|(id, peer)| print(id, peer)).collect();
        lines.insert(lines.len() / 2, format!("{me} :0@0 myself,master - 0 0 3 connected {}", slots.to_string().replace(", ", " ")));
        let table = nodes_table(&lines.join("\n")).unwrap();
        prop_assert_eq!(table.peers, peers);
        prop_assert_eq!(table.myself.slots, slots);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = nodes_table(&text);
    }

    #[test]
    fn no_damage_makes_it_panic(cut in 0usize..200, with in "[ @:,\\[\\]<>0-9a-f-]{0,4}") {
        let line = format!("{} fd00::1:6379@16379,a.test myself,master - 0 0 0 connected 0-5 [5->-{}]", id('a'), id('b'));
        let cut = cut.min(line.len());
        let _ = nodes_table(&format!("{}{with}{}", &line[..cut], &line[cut..]));
        let _ = nodes_table(&format!("{}{with}", &line[..cut]));
    }
}
