//! Writes `tests/golden/<version>/`: what real servers answer to our questions, as it comes over the wire.
//! `cargo test -p keyslot-redis-admin --test record_golden -- --ignored`, after a new server version was added.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use keyslot_planner::observed::{PeerHealth, Role};
use keyslot_redis_admin::reply::{Arguments, Reply};
use keyslot_redis_admin::{NodeConnections, observe};
use keyslot_testkit::redis_server::{ALL_VERSIONS, RawConnection, RedisServer};

mod common;
use common::{form, observe_until, start, tester, trials};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the files that the golden tests read"]
async fn record() {
    for version in ALL_VERSIONS {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version);
        fs::create_dir_all(&folder).unwrap();
        alone(version, &folder).await;
        cluster(version, &folder).await;
    }
}

async fn alone(version: &str, folder: &Path) {
    let servers = start(version, 1, &[]);
    let client = NodeConnections::new();
    let node = observe_until(&client, &servers[0], "an answer", |_| true).await;
    fs::write(folder.join("version.txt"), format!("{}\n", node.engine)).unwrap();
    record_topology(&servers[0], folder, "fresh");
    record_settings(&servers[0], folder, 2);
    record_settings(&servers[0], folder, 3);
    tester(&servers[0]).ask(&["CLUSTER", "MEET", "127.0.0.9", "6379"]).unwrap();
    observe_until(&client, &servers[0], "a handshake", |node| !node.peers.is_empty()).await;
    record_topology(&servers[0], folder, "handshake");
}

async fn cluster(version: &str, folder: &Path) {
    let mut servers = start(version, 6, &[]);
    let client = NodeConnections::new();
    let ids = form(&client, &servers).await;
    tester(&servers[2]).ask(&["CONFIG", "SET", "cluster-announce-hostname", ""]).unwrap();
    let nameless = |node: &keyslot_planner::observed::RedisNode| node.peers[&ids[2]].hostname.is_none();
    observe_until(&client, &servers[0], "a node without host name", nameless).await;
    record_topology(&servers[0], folder, "primary");
    record_topology(&servers[3], folder, "replica");

    let (from, to) = (ids[0].as_str(), ids[1].as_str());
    for slot in ["5", "7"] {
        tester(&servers[1]).ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", from]).unwrap();
        tester(&servers[0]).ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", to]).unwrap();
    }
    record_topology(&servers[0], folder, "migrating");
    record_topology(&servers[1], folder, "importing");
    record_topology(&servers[3], folder, "replica-of-migrating");
    for server in &servers[..2] {
        for slot in ["5", "7"] {
            tester(server).ask(&["CLUSTER", "SETSLOT", slot, "STABLE"]).unwrap();
        }
    }

    for server in servers.iter() {
        tester(server).ask(&["CONFIG", "SET", "cluster-node-timeout", "1000"]).unwrap();
    }
    servers[5].kill().unwrap();
    let failed =
        |node: &keyslot_planner::observed::RedisNode| node.peers[&ids[5]].health == PeerHealth::Failed;
    observe_until(&client, &servers[0], "a failed node", failed).await;
    record_topology(&servers[0], folder, "failed");

    // The address of a node whose place was taken by another one is lost.
    fs::remove_file(servers[5].folder().join("nodes.conf")).unwrap();
    servers[5].restart().unwrap();
    tester(&servers[0]).ask(&["CLUSTER", "MEET", &servers[5].ip().to_string(), "6379"]).unwrap();
    let arrived = |node: &keyslot_planner::observed::RedisNode| {
        node.peers.len() == 6 && node.peers.values().all(|peer| !peer.handshake)
    };
    observe_until(&client, &servers[0], "the newcomer", arrived).await;
    record_topology(&servers[0], folder, "replaced");

    servers[1].kill().unwrap();
    servers[2].kill().unwrap();
    let cut_off = |node: &keyslot_planner::observed::RedisNode| {
        !matches!(&node.role, Role::Replica { link_up: true, .. })
    };
    observe_until(&client, &servers[4], "a replica without primary", cut_off).await;
    let suspected = |node: &keyslot_planner::observed::RedisNode| {
        node.peers[&ids[1]].health == PeerHealth::Suspected && !node.cluster_ok
    };
    observe_until(&client, &servers[4], "a suspected primary", suspected).await;
    record_topology(&servers[4], folder, "minority");
}

fn record_topology(server: &RedisServer, folder: &Path, state: &str) {
    let mut connection = tester(server);
    let recorded: Vec<u8> =
        observe::topology_questions().iter().flat_map(|question| ask(&mut connection, question)).collect();
    fs::write(folder.join(format!("topology-{state}.txt")), recorded).unwrap();
}

fn record_settings(server: &RedisServer, folder: &Path, protocol: u8) {
    let mut connection = tester(server);
    connection.ask_raw(&["HELLO", &protocol.to_string()]).unwrap();
    let app = ["ACL", "SETUSER", "app", "reset", "on", "nopass", "~app:*", "&news", "+@all", "-@admin"];
    connection.ask_raw(&app).unwrap();
    let worker = [
        "ACL",
        "SETUSER",
        "worker",
        "reset",
        "on",
        ">one",
        ">two",
        "%R~jobs:*",
        "+@read",
        "(%W~log:* +append)",
    ];
    connection.ask_raw(&worker).unwrap();
    connection.ask_raw(&["ACL", "SETUSER", "keyslot-scratch-old", "reset"]).unwrap();
    let mut recorded = Vec::new();
    for question in observe::settings_questions(&trials(), &["maxmemory", "cluster-node-timeout", "save"]) {
        recorded.extend(ask(&mut connection, &question));
    }
    let half = observe::read_settings(common::replies(&recorded), &trials()).unwrap();
    for question in half.questions() {
        recorded.extend(ask(&mut connection, &question));
    }
    fs::write(folder.join(format!("settings-resp{protocol}.txt")), recorded).unwrap();
}

/// The reply without what only tells about the machine that it was recorded on.
fn ask(connection: &mut RawConnection, question: &Arguments) -> Vec<u8> {
    let words: Vec<String> =
        question.words().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let raw = connection.ask_raw(&words).unwrap();
    if words[0] != "INFO" {
        return raw;
    }
    let text = Reply::from_wire(&raw).unwrap().text().unwrap().into_owned();
    let of_machine =
        ["executable:", "config_file:", "os:", "gcc_version:", "process_id:", "total_system_memory"];
    let kept: Vec<&str> =
        text.split("\r\n").filter(|line| !of_machine.iter().any(|name| line.starts_with(name))).collect();
    let kept = kept.join("\r\n");
    format!("${}\r\n{kept}\r\n", kept.len()).into_bytes()
}
