//! What real servers make of the files: redis.conf, users.acl, start.sh and ready.sh, on every version at hand.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "runs processes; the planner does not"
)]

mod common;
#[path = "common/server.rs"]
mod server;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{desired, ephemeral, full, minimal, valkey};
use server::{Server, on_every_version};

#[test]
fn every_version_starts_with_the_files_of_every_kind_of_cluster() {
    on_every_version(|version| {
        for spec in [minimal(), full(), ephemeral(), valkey()] {
            let server = Server::start(version, &desired(&spec));
            let asked = "CONFIG GET cluster-preferred-endpoint-type\nCONFIG GET save\nCONFIG GET appendonly\n\
                         CONFIG GET maxmemory\nCONFIG GET cluster-announce-hostname\nCONFIG GET masterauth";
            let said: Vec<String> = server.ask(asked).lines().map(str::to_owned).collect();
            let expected: [&str; 4] = if spec == full() {
                ["hostname", "900 1 300 10", "no", "644245094"]
            } else if spec == ephemeral() {
                ["ip", "", "no", "201326592"]
            } else if spec == valkey() {
                ["ip", "", "yes", "0"]
            } else {
                ["ip", "", "no", "0"]
            };
            let values: Vec<&str> = said.iter().skip(1).step_by(2).map(String::as_str).collect();
            let host = "demo-0.demo.shop.svc.cluster.local";
            assert_eq!(values[..4], expected, "{}", version.name);
            assert_eq!(values[4..], [host, "canary-replication"], "{}", version.name);
            assert!(!server.log().contains("canary"), "{}", server.log());
            assert!(!server.arguments().contains("canary"), "{}", server.arguments());
        }
    });
}

/// Nobody but the system's users gets in, and they can do what they are for and nothing else.
#[test]
fn the_systems_users_can_do_what_they_are_for() {
    on_every_version(|version| {
        let server = Server::start(version, &desired(&minimal()));
        assert_eq!(
            server.ask_as("default", "", "PING").lines().last(),
            Some("NOAUTH Authentication required.")
        );
        let operator_may = [
            "CLUSTER NODES",
            "CLUSTER INFO",
            "CLUSTER MYID",
            "CLUSTER MEET 127.0.0.1 1",
            "CLUSTER ADDSLOTSRANGE 0 1",
            "CLUSTER REPLICATE x",
            "CLUSTER FORGET x",
            "CLUSTER SET-CONFIG-EPOCH 1",
            "PING",
            "INFO",
            "HELLO",
            "ROLE",
            "DBSIZE",
            "CONFIG GET maxmemory",
            "CONFIG SET maxmemory 0",
            "ACL LIST",
            "ACL USERS",
            "ACL SETUSER x",
            "ACL GETUSER x",
            "ACL DELUSER x",
            "ACL WHOAMI",
            "CLIENT LIST",
            "CLIENT ID",
            "CLIENT KILL USER x",
            "CLIENT SETNAME x",
        ];
        let may_not =
            ["GET x", "FLUSHALL", "CLUSTER RESET", "DEBUG SLEEP 0", "SHUTDOWN", "ACL LOAD", "CONFIG REWRITE"];
        let dryrun = |user: &str, command: &str| server.ask(&format!("ACL DRYRUN {user} {command}"));
        for command in operator_may {
            assert_eq!(dryrun("keyslot-operator", command), "OK", "{} {command}", version.name);
        }
        for command in may_not {
            for user in ["keyslot-operator", "keyslot-probe", "keyslot-replication"] {
                assert_ne!(dryrun(user, command), "OK", "{} {user} {command}", version.name);
            }
        }
        for command in ["PSYNC ? -1", "REPLCONF listening-port 1", "SYNC"] {
            assert_eq!(dryrun("keyslot-replication", command), "OK", "{} {command}", version.name);
            assert_ne!(dryrun("keyslot-probe", command), "OK", "{} {command}", version.name);
        }
    });
}

/// A user's rules are tried on a disabled scratch user, by a call that needs nothing but SETUSER.
#[test]
fn the_operator_can_try_rules() {
    on_every_version(|version| {
        let server = Server::start(version, &desired(&minimal()));
        assert_eq!(
            server.ask("ACL SETUSER keyslot-scratch-a reset off ~app:* +@read"),
            "OK",
            "{}",
            version.name
        );
        let refused = server.ask("ACL SETUSER keyslot-scratch-a reset off +nosuchcommand");
        assert!(refused.starts_with("ERR Error in ACL SETUSER"), "{}: {refused}", version.name);
        assert_eq!(server.ask("ACL DELUSER keyslot-scratch-a"), "1", "{}", version.name);
    });
}

#[test]
fn a_node_without_cluster_is_ready_and_a_loading_one_is_alive_but_not_ready() {
    on_every_version(|version| {
        let mut server = Server::start(version, &desired(&minimal()));
        let ready = server.ready();
        assert!(ready.status.success() && ready.stdout.is_empty(), "{}: {ready:?}", version.name);

        assert_eq!(server.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
        assert_eq!(server.ask("ACL SETUSER filler on >filler ~* +@all"), "OK");
        until(version.name, || server.ask_as("filler", "filler", "SET x 1") == "OK");
        let value = "v".repeat(1500);
        let sets: Vec<String> = (0..200).map(|key| format!("SET {key} {value}\n")).collect();
        assert!(server.ask_as("filler", "filler", &(sets.concat() + "SAVE")).ends_with("OK"));
        server.restart(version, "key-load-delay 20000\nloading-process-events-interval-bytes 1024\n");

        assert!(server.answers(), "{}", version.name);
        let said = String::from_utf8(server.ready().stdout).unwrap();
        assert_eq!(said, "not ready: loaded no, role primary, link down\n", "{}", version.name);
        until(version.name, || server.ready().status.success());
    });
}

/// What a budget counts: a replica without its primary is not a copy that keeps up.
#[test]
fn a_replica_is_ready_only_while_its_link_is_up() {
    on_every_version(|version| {
        let desired = desired(&minimal());
        let primary = Server::start(version, &desired);
        let replica = Server::start(version, &desired);
        let id = primary.ask("CLUSTER MYID");
        assert_eq!(primary.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
        let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", primary.port, primary.bus_port);
        assert_eq!(replica.ask(&meet), "OK");
        until(version.name, || replica.ask(&format!("CLUSTER REPLICATE {id}")) == "OK");
        until(version.name, || replica.ask("INFO replication").contains("role:slave"));
        until(version.name, || replica.ready().status.success());
        drop(primary);
        until(version.name, || !replica.ready().status.success());
        let said = String::from_utf8(replica.ready().stdout).unwrap();
        assert_eq!(said, "not ready: loaded yes, role replica, link down\n", "{}", version.name);
        assert!(replica.answers(), "{}: alive all the same", version.name);
    });
}

/// The start guard: without files of its own, a primary that restarts at its address would be copied, emptiness and all.
#[test]
fn a_primary_that_restarts_empty_waits_until_its_replica_has_taken_over() {
    on_every_version(|version| {
        let mut spec = minimal();
        spec["clusterNodeTimeout"] = "2s".into();
        let desired = desired(&spec);
        let mut primaries: Vec<Server> = (0..3).map(|_| Server::start(version, &desired)).collect();
        let replica = Server::start(version, &desired);
        for (primary, (epoch, slots)) in
            primaries.iter().zip([(1, "0 5460"), (2, "5461 10922"), (3, "10923 16383")])
        {
            // An epoch that changes just before a death can keep the replica from being elected for ever.
            assert_eq!(primary.ask(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")), "OK");
            assert_eq!(primary.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "OK");
        }
        for primary in &primaries {
            for other in primaries.iter().chain([&replica]) {
                let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", other.port, other.bus_port);
                assert_eq!(primary.ask(&meet), "OK");
            }
        }
        let id = primaries[0].ask("CLUSTER MYID");
        until(version.name, || replica.ask("CLUSTER NODES").contains(" 1 connected 0-5460"));
        until(version.name, || replica.ask(&format!("CLUSTER REPLICATE {id}")) == "OK");
        until(version.name, || {
            replica.ready().status.success() && replica.ask("INFO replication").contains("role:slave")
        });
        assert_eq!(primaries[0].ask("ACL SETUSER filler on >filler ~* +@all"), "OK");
        // `b` is in slot 3300.
        until(version.name, || primaries[0].ask_as("filler", "filler", "SET b 1") == "OK");
        until(version.name, || replica.ask("DBSIZE") == "1");
        // What the guard will ask is who the primary knows; a cluster is opened to its users only then.
        until(version.name, || primaries[0].ask("CLUSTER NODES").contains(&format!("slave {id}")));

        primaries[0].die_and_start();

        until(version.name, || replica.ask("INFO replication").contains("role:master"));
        until(version.name, || primaries[0].ask("INFO replication").contains("role:slave"));
        until(version.name, || primaries[0].ready().status.success());
        assert_eq!([&replica, &primaries[0]].map(|node| node.ask("DBSIZE")), ["1", "1"], "{}", version.name);
        assert!(primaries[0].log().contains("start guard"), "{}", primaries[0].log());
    });
}

#[track_caller]
fn until(version: &str, condition: impl Fn() -> bool) {
    let (deadline, caller) = (Instant::now() + Duration::from_mins(1), std::panic::Location::caller());
    while !condition() {
        assert!(Instant::now() < deadline, "{version}: not within a minute: line {}", caller.line());
        sleep(Duration::from_millis(50));
    }
}
