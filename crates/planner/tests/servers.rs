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
use serde_json::Value;
use server::{Server, Version, on_every_version};

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
            assert_eq!(values[..4], expected, "{}", version.name);
            assert_eq!(values[4..], [&server.host(), "canary-replication"], "{}", version.name);
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
        let may_not =
            ["GET x", "FLUSHALL", "CLUSTER RESET", "DEBUG SLEEP 0", "SHUTDOWN", "ACL LOAD", "CONFIG REWRITE"];
        assert_eq!(server.ask("ACL SETUSER tester on >tester +@all"), "OK");
        let dryrun = |user: &str, command: &str| {
            server.ask_as("tester", "tester", &format!("ACL DRYRUN {user} {command}"))
        };
        for command in ["PING", "INFO", "CLUSTER MYID"] {
            assert_eq!(dryrun("keyslot-probe", command), "OK", "{} {command}", version.name);
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
        // A server that loads answers after each 1024 bytes, so here after each key.
        assert_eq!(server.ask("CONFIG SET rdbcompression no"), "OK");
        let value = "v".repeat(1500);
        let sets: Vec<String> = (0..200).map(|key| format!("SET {key} {value}\n")).collect();
        assert!(server.ask_as("filler", "filler", &(sets.concat() + "SAVE")).ends_with("OK"));
        // 20 s, and not a moment longer than it takes to look.
        server.restart(version, "key-load-delay 100000\nloading-process-events-interval-bytes 1024\n");

        assert!(server.answers(), "{}", version.name);
        let said = String::from_utf8(server.ready().stdout).unwrap();
        assert_eq!(said, "not ready: loaded no, role primary, link down\n", "{}", version.name);
        assert_eq!(server.ask("CONFIG SET key-load-delay 0"), "OK", "{}", version.name);
        until(version.name, || server.ready().status.success());
    });
}

/// A server that is told to use the other kind of file starts empty on kept volumes, and a cluster of such servers
/// would form as if it were new.
#[test]
fn a_volume_that_was_written_otherwise_is_not_started_empty() {
    let with = |persistence: &str| {
        let mut spec = minimal();
        spec["storage"] = serde_json::json!({"size": "1Gi", "persistence": persistence});
        desired(&spec)
    };
    on_every_version(|version| {
        for (written, told) in [("AOF", "RDB"), ("RDB", "AOF")] {
            let context = format!("{} {written}", version.name);
            let mut server = Server::start(version, &with(written));
            assert_eq!(server.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
            until(&context, || as_filler(&server, "SET a 1") == "OK");
            server.terminate();
            server.configure(&with(told));
            server.start_again();
            until(&context, || server.log().contains("not starting: "));
            let log = server.log();
            assert!(
                log.ends_with(&format!("would start empty; set it back to {written}\n")),
                "{context}: {log}"
            );
            assert!(!server.answers(), "{context}");
            server.configure(&with(written));
            server.start_again();
            until(&context, || server.answers());
            until(&context, || as_filler(&server, "GET a") == "1");
        }
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
        let (mut shard, _others) = three_shards(version);
        shard.primary.die();
        shard.primary.start_again();
        shard.primary_joins_as_a_replica();
        assert_eq!(shard.keys(), ["1", "1"], "{}", version.name);
        assert!(shard.primary.log().contains("has been promoted"), "{}", shard.primary.log());
    });
}

/// A replica that hangs may be the only copy there is.
#[test]
fn a_primary_that_restarts_empty_waits_for_a_replica_that_does_not_answer() {
    on_every_version(|version| {
        let (mut shard, _others) = three_shards(version);
        shard.replica.signal("STOP");
        shard.primary.die();
        shard.primary.start_again();
        shard.primary_is_held("does not answer");
        shard.replica.signal("CONT");
        shard.primary_joins_as_a_replica();
        assert_eq!(shard.keys(), ["1", "1"], "{}", version.name);
    });
}

/// What has the place of a replica but another id has never copied anything.
#[test]
fn a_fresh_node_in_the_place_of_a_replica_is_no_copy_and_no_successor() {
    on_every_version(|version| {
        let mut shard = one_shard(version, &with_short_timeout(minimal()));
        shard.set("a");
        shard.primary.die();
        shard.replica.die();
        shard.replica.lose_data();
        shard.replica.start_again();
        until(version.name, || shard.replica.ask("INFO replication").contains("role:master"));
        shard.primary.start_again();
        until(version.name, || shard.primary.answers());
        let log = shard.primary.log();
        assert!(log.contains("waiting: ") && !log.contains("promoted"), "{}: {log}", version.name);
        assert!(log.contains("starting: ") && log.contains("or is another node now"), "{log}");
    });
}

/// Nobody can elect in a cluster of one shard, so nothing but the guard keeps what came after the snapshot.
#[test]
fn a_primary_with_an_old_snapshot_waits_for_its_replica() {
    on_every_version(|version| {
        let mut shard = one_shard(version, &with_snapshots());
        shard.set("a");
        assert_eq!(as_filler(&shard.primary, "SAVE"), "OK", "{}", version.name);
        let saved = shard.position();
        shard.set("b");
        shard.primary.die();
        shard.primary.start_again();
        shard.primary_is_held("has more than this node");
        let log = shard.primary.log();
        assert!(log.contains(&format!("up to: {saved}\n")), "{}: {saved}: {log}", version.name);
        assert_eq!(shard.replica.ask("DBSIZE"), "2", "{}", version.name);
        assert_eq!(as_filler(&shard.replica, "CLUSTER FAILOVER TAKEOVER"), "OK");
        shard.primary_joins_as_a_replica();
        assert_eq!(shard.keys(), ["2", "2"], "{}", version.name);
    });
}

/// A server that is told to stop saves what its replicas have.
#[test]
fn a_primary_that_was_stopped_in_order_starts_from_its_snapshot_at_once() {
    on_every_version(|version| {
        let mut shard = one_shard(version, &with_snapshots());
        shard.set("a");
        shard.primary.terminate();
        let (role, saved) = (shard.replica.ask("INFO replication"), shard.position());
        assert!(role.contains("role:slave"), "{}: {role}", version.name);
        shard.primary.start_again();
        until(version.name, || shard.primary.answers());
        let log = shard.primary.log();
        assert!(log.contains(&format!("up to: {saved}\n")), "{}: {saved}: {log}", version.name);
        assert!(
            log.contains("starting: every replica answers, and none has more"),
            "{}: {log}",
            version.name
        );
        assert!(!log.contains("waiting"), "{}: {log}", version.name);
        until(version.name, || {
            shard.replica.ready().status.success() && shard.primary.ready().status.success()
        });
        assert_eq!(shard.keys(), ["1", "1"], "{}", version.name);
        assert!(shard.primary.ask("INFO replication").contains("role:master"), "{}", version.name);
    });
}

/// The offset is written in as few bytes as it needs.
#[test]
fn the_guard_reads_how_far_a_snapshot_goes() {
    on_every_version(|version| {
        let mut shard = one_shard(version, &with_snapshots());
        let mut sizes = Vec::new();
        for bytes in [1, 1000, 60_000] {
            shard.set(&"k".repeat(bytes));
            shard.primary.terminate();
            let saved = shard.position();
            shard.primary.start_again();
            until(version.name, || shard.primary.answers());
            let log = shard.primary.log();
            assert!(log.contains(&format!("up to: {saved}\n")), "{}: {saved}: {log}", version.name);
            until(version.name, || shard.replica.ready().status.success());
            sizes.push(saved.split_once(' ').unwrap().1.parse::<u32>().unwrap());
        }
        assert!(sizes[1] < 1 << 15 && sizes[2] >= 1 << 15, "{}: {sizes:?}", version.name);
    });
}

/// A primary and its replica.
struct Shard {
    version: &'static str,
    primary: Server,
    replica: Server,
}

impl Shard {
    /// Makes a replica of a fresh server, once it knows the primary and its slots, and waits until both are content.
    fn attach(version: &Version, primary: Server, replica: Server) -> Self {
        let (shard, version) = (Self { version: version.name, primary, replica }, version.name);
        let Self { primary, replica, .. } = &shard;
        let id = primary.ask("CLUSTER MYID");
        until(version, || replica.ask("CLUSTER NODES").contains(" 1 connected 0-"));
        until(version, || replica.ask(&format!("CLUSTER REPLICATE {id}")) == "OK");
        until(version, || {
            replica.ready().status.success() && replica.ask("INFO replication").contains("role:slave")
        });
        // What the guard will ask is who the primary knows; a cluster is opened to its users only then.
        until(version, || {
            primary
                .ask("CLUSTER NODES")
                .lines()
                .any(|line| line.contains(&replica.host()) && line.contains(&format!("slave {id}")))
        });
        shard
    }

    /// Writes a key and waits until the replica has it.
    fn set(&self, key: &str) {
        let set = format!("SET {key} 1");
        until(self.version, || as_filler(&self.primary, &set) == "OK");
        until(self.version, || self.keys()[0] == self.keys()[1]);
    }

    /// How many keys the replica and the primary have.
    fn keys(&self) -> [String; 2] {
        [&self.replica, &self.primary].map(|node| node.ask("DBSIZE"))
    }

    /// Where the replica stands: the stream and its offset.
    fn position(&self) -> String {
        let info = self.replica.ask("INFO replication");
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        format!("{} {}", field("master_replid:"), field("slave_repl_offset:"))
    }

    /// For longer than the guard's patience, which is 16 s with a node timeout of 2 s.
    fn primary_is_held(&self, why: &str) {
        let start = Instant::now();
        until(self.version, || {
            self.primary.log().contains(&format!("waiting: {} {why}", self.replica.host()))
        });
        while start.elapsed() < Duration::from_secs(20) {
            assert!(!self.primary.answers(), "{}: {}", self.version, self.primary.log());
            sleep(Duration::from_millis(500));
        }
    }

    fn primary_joins_as_a_replica(&self) {
        until(self.version, || self.replica.ask("INFO replication").contains("role:master"));
        until(self.version, || self.primary.ask("INFO replication").contains("role:slave"));
        until(self.version, || self.primary.ready().status.success());
    }
}

/// A cluster that can elect, in memory only: one shard with a replica and the key `b`, and two more primaries.
fn three_shards(version: &Version) -> (Shard, Vec<Server>) {
    let desired = desired(&with_short_timeout(minimal()));
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
            meet(primary, other);
        }
    }
    let shard = Shard::attach(version, primaries.remove(0), replica);
    // `b` is in slot 3300.
    shard.set("b");
    (shard, primaries)
}

fn one_shard(version: &Version, spec: &Value) -> Shard {
    let desired = desired(spec);
    let (primary, replica) = (Server::start(version, &desired), Server::start(version, &desired));
    assert_eq!(primary.ask("CLUSTER SET-CONFIG-EPOCH 1"), "OK");
    assert_eq!(primary.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    meet(&primary, &replica);
    Shard::attach(version, primary, replica)
}

/// Asks as somebody who may do everything, and who is made anew since a restart forgets them.
fn as_filler(server: &Server, commands: &str) -> String {
    assert_eq!(server.ask("ACL SETUSER filler on >filler ~* +@all"), "OK");
    server.ask_as("filler", "filler", commands)
}

fn meet(one: &Server, other: &Server) {
    assert_eq!(one.ask(&format!("CLUSTER MEET 127.0.0.1 {} {}", other.port, other.bus_port)), "OK");
}

fn with_short_timeout(mut spec: Value) -> Value {
    spec["clusterNodeTimeout"] = "2s".into();
    spec
}

fn with_snapshots() -> Value {
    let mut spec = with_short_timeout(minimal());
    spec["storage"] = serde_json::json!({"size": "1Gi", "persistence": "RDB"});
    spec
}

#[track_caller]
fn until(version: &str, condition: impl Fn() -> bool) {
    let (deadline, caller) = (Instant::now() + Duration::from_mins(1), std::panic::Location::caller());
    while !condition() {
        assert!(Instant::now() < deadline, "{version}: not within a minute: line {}", caller.line());
        sleep(Duration::from_millis(50));
    }
}
