//! What real servers of every version wrote, read by the parsers. `record_golden` writes the files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::PathBuf;

use keyslot_planner::acl::PasswordHash;
use keyslot_planner::observed::{NodeSettings, Peer, PeerHealth, RedisNode, Role};
use keyslot_planner::slots::SlotSet;
use keyslot_redis_admin::observe;

mod common;
use common::trials;

/// Calls `check` for every version, with the version's name.
fn for_every_version(check: impl Fn(&str)) {
    let versions = ["redis-7.0", "redis-8.0", "redis-8.6", "valkey-8.1", "valkey-9.1"];
    for version in versions {
        println!("{version}: {}", engine(version));
        check(version);
    }
}

fn file(version: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn engine(version: &str) -> String {
    String::from_utf8(file(version, "version.txt")).unwrap().trim().to_owned()
}

fn node(version: &str, state: &str) -> RedisNode {
    let replies = common::replies(&file(version, &format!("topology-{state}.txt")));
    observe::read_topology(replies).unwrap_or_else(|why| panic!("{version} {state}: {why:?}"))
}

fn settings(version: &str, protocol: u8) -> NodeSettings {
    let mut first = common::replies(&file(version, &format!("settings-resp{protocol}.txt")));
    let second = first.split_off(observe::settings_questions(&trials(), &[]).len());
    let half = observe::read_settings(first, &trials()).unwrap();
    half.read(second).unwrap()
}

fn peers(node: &RedisNode, wanted: impl Fn(&Peer) -> bool) -> Vec<&Peer> {
    node.peers.values().filter(|peer| wanted(peer)).collect()
}

#[test]
fn a_fresh_node() {
    for_every_version(|version| {
        let node = node(version, "fresh");
        assert_eq!(node.engine.to_string(), engine(version));
        assert!(node.is_fresh() && !node.cluster_ok);
        assert_eq!((node.config_epoch, node.current_epoch, node.maxmemory), (0, 0, 0));
        assert_eq!(node.run_id.as_str().len(), 40);
        assert!(node.memory_bytes > 500_000);
    });
}

#[test]
fn a_peer_in_a_handshake_has_no_role_yet() {
    for_every_version(|version| {
        let node = node(version, "handshake");
        let peer = node.peers.values().next().unwrap();
        assert!(peer.handshake && !peer.linked);
        assert_eq!(peer.primary, None);
        assert_eq!(peer.address.as_ref().unwrap().ip.to_string(), "127.0.0.9");
        assert!(!node.is_fresh());
    });
}

#[test]
fn a_formed_cluster_as_a_primary_sees_it() {
    for_every_version(|version| {
        let node = node(version, "primary");
        assert!(node.cluster_ok && node.slots_known().is_all());
        assert!(matches!(&node.role, Role::Primary { slots, migrating, importing, .. }
            if *slots == SlotSet::share(0, 3) && migrating.is_empty() && importing.is_empty()));
        assert_eq!((node.peers.len(), node.config_epoch, node.current_epoch), (5, 1, 6));
        assert!(node.peers.values().all(|peer| peer.linked && peer.health == PeerHealth::Fine));
        assert_eq!(peers(&node, |peer| peer.replicates.as_ref() == Some(&node.id)).len(), 1);
        assert_eq!(peers(&node, |peer| peer.primary == Some(true)).len(), 2);
        assert_eq!(peers(&node, |peer| peer.hostname.is_none()).len(), 1);
        assert_eq!(peers(&node, |peer| peer.hostname.as_deref() == Some("node-4.test")).len(), 1);
        let address =
            |peer: &Peer| peer.address.clone().is_some_and(|a| (a.port, a.bus_port) == (6379, 16379));
        assert!(node.peers.values().all(address));
    });
}

#[test]
fn a_formed_cluster_as_a_replica_sees_it() {
    for_every_version(|version| {
        let node = node(version, "replica");
        let Role::Replica { of, link_up: true, .. } = &node.role else { panic!("{:?}", node.role) };
        assert_eq!(node.peers[of].slots, SlotSet::share(0, 3));
        assert_eq!(node.config_epoch, node.peers[of].config_epoch);
        assert!(node.slots().is_empty() && node.slots_known().is_all());
    });
}

#[test]
fn open_slots_on_both_sides() {
    for_every_version(|version| {
        let (source, target) = (node(version, "migrating"), node(version, "importing"));
        let Role::Primary { migrating, importing, slots, .. } = &source.role else { panic!() };
        assert!(importing.is_empty() && slots.contains(5));
        let both = [5, 7].map(|slot| (slot, target.id.clone()));
        assert_eq!(*migrating, both.into());
        let Role::Primary { migrating, importing, slots, .. } = &target.role else { panic!() };
        assert!(migrating.is_empty() && !slots.contains(5));
        let both = [5, 7].map(|slot| (slot, source.id.clone()));
        assert_eq!(*importing, both.into());
        // Since Valkey 8.0 a replica shows its primary's marks.
        assert!(!node(version, "replica-of-migrating").is_primary());
    });
}

#[test]
fn a_failed_node_and_one_that_took_its_place() {
    for_every_version(|version| {
        let failed = node(version, "failed");
        let dead = peers(&failed, |peer| peer.health == PeerHealth::Failed);
        assert_eq!(dead.len(), 1);
        assert!(!dead[0].linked && dead[0].hostname.as_deref() == Some("node-5.test"));
        assert!(failed.cluster_ok);
        let replaced = node(version, "replaced");
        assert_eq!(replaced.peers.len(), 6);
        let gone = peers(&replaced, |peer| peer.health == PeerHealth::Failed || peer.address.is_none());
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].hostname.as_deref(), Some("node-5.test"));
        // The newcomer's host name has not come round yet.
        let newcomers = peers(&replaced, |peer| peer.primary == Some(true) && peer.slots.is_empty());
        assert_eq!(newcomers.len(), 1);
    });
}

#[test]
fn a_node_of_a_minority_suspects_the_others() {
    for_every_version(|version| {
        let node = node(version, "minority");
        assert!(!node.cluster_ok);
        assert!(matches!(node.role, Role::Replica { link_up: false, .. }));
        assert!(!peers(&node, |peer| peer.health == PeerHealth::Suspected).is_empty());
    });
}

#[test]
fn settings_are_the_same_in_both_protocols() {
    for_every_version(|version| {
        let seen = settings(version, 2);
        assert_eq!(seen, settings(version, 3));
        assert_eq!(seen.engine.to_string(), engine(version));
        assert!(!seen.users.keys().any(|name| name.contains("scratch")));
        assert!(!seen.users["default"].enabled && seen.users["app"].nopass);
        assert_eq!(seen.config["maxmemory"], "0");
        assert_eq!(seen.trials["plain"].as_ref().unwrap().permissions, seen.users["app"].permissions);
        let worker = &seen.users["worker"];
        assert_eq!(
            worker.passwords,
            [PasswordHash::of(&"one".into()), PasswordHash::of(&"two".into())].into()
        );
        assert_eq!(worker.permissions.len(), 2);
        assert_eq!(worker.permissions[0].keys, "%R~jobs:*");
        assert_eq!(
            (worker.permissions[1].keys.as_str(), worker.permissions[1].channels.as_str()),
            ("%W~log:*", "")
        );
        assert!(worker.permissions[1].commands.ends_with("+append"));
        assert_eq!(seen.users["app"].permissions[0].databases.is_empty(), version != "valkey-9.1");
    });
}
