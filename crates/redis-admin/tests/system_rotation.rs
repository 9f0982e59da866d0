//! New passwords for Keyslot's own users on a primary with a replica, real servers of every version: the link between them
//! never needs a full synchronisation, and no password is left where others can read it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::acl::PasswordHash;
use keyslot_planner::desired::{SystemMemory, SystemPasswords};
use keyslot_planner::ids::PodName;
use keyslot_planner::observed::NodeSettings;
use keyslot_planner::settings::{
    NodeReport, SettingsReport, WantedSettings, node_report, settings_for, trials,
};
use keyslot_planner::{Desired, Inputs};
use keyslot_redis_admin::{Credentials, NodeClient, NodeConnections, SettingsLook};
use keyslot_testkit::redis_server::{ALL_VERSIONS, PATIENCE, RedisServer};
use secrecy::SecretString;
use serde_json::json;

mod common;
use common::{PASSWORD, REPLICATION_PASSWORD, TESTER, form, start, target, tester};

fn passwords(operator: &str, replication: &str) -> SystemPasswords {
    let text = |text: &str| Some(SecretString::from(text));
    SystemPasswords { operator: text(operator), replication: text(replication), probe: text("probe") }
}

/// With the user of the tests, which would be removed otherwise.
fn desired(passwords: SystemPasswords, second_passwords: SystemPasswords) -> Desired {
    let hash = PasswordHash::of(&TESTER.1.into());
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "demo", "namespace": "shop", "uid": "1"},
        "spec": {"image": "redis:8.0", "users": [
            {"name": TESTER.0, "rules": ["~*", "&*", "+@all"], "passwords": [{"sha256": hash.as_str()}]},
        ]},
    }))
    .unwrap();
    let system = SystemMemory { passwords, second_passwords, formed: true, ..SystemMemory::default() };
    Desired::from_spec(&cluster, &Inputs { system, ..Inputs::default() })
}

fn credentials(desired: &Desired) -> Credentials {
    let SystemMemory { passwords, second_passwords, .. } = &desired.system;
    let passwords = [&passwords.operator, &second_passwords.operator].into_iter().flatten().cloned();
    Credentials { username: "keyslot-operator".to_owned(), passwords: passwords.collect() }
}

/// Brings it in force on all servers, as the operator does.
async fn settle(servers: &[RedisServer], client: &NodeConnections, desired: &Desired) {
    let credentials = &credentials(desired);
    let look = SettingsLook { trials: trials(desired), config: vec!["cluster-node-timeout", "maxmemory"] };
    let see = async |server: &RedisServer| -> NodeSettings {
        client.observe_settings(server.ip(), credentials, &look, PATIENCE).await.unwrap()
    };
    let mut nodes = BTreeMap::new();
    for (number, server) in servers.iter().enumerate() {
        let seen = see(server).await;
        for command in settings_for(desired, &seen, true) {
            client.execute(&target(server, &seen.id), credentials, &command).await.unwrap();
        }
        let report: NodeReport = node_report(desired, &see(server).await, true);
        nodes.insert(PodName::new(format!("demo-{number}")), Ok(report));
    }
    let report = SettingsReport { wanted: WantedSettings::of(desired), nodes, ..SettingsReport::default() };
    assert_eq!(report.system_in_force(), Some(&desired.system.system_hashes()), "{report:?}");
}

fn info(server: &RedisServer, field: &str) -> String {
    let info = tester(server).ask(&["INFO", "all"]).unwrap();
    let line =
        info.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {field}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_stay_or_come_back_with_what_they_missed() {
    for version in ALL_VERSIONS {
        let servers = start(version, 6, &["slowlog-log-slower-than 0", "slowlog-max-len 1000"]);
        let client = NodeConnections::new();
        form(&client, &servers).await;
        let (old, new) =
            (passwords(PASSWORD, REPLICATION_PASSWORD), passwords("operator-2", "replication-2"));
        let full_syncs = || servers.iter().map(|server| info(server, "sync_full")).collect::<Vec<_>>();
        let before = full_syncs();

        settle(&servers, &client, &desired(old.clone(), new.clone())).await;
        settle(&servers, &client, &desired(new.clone(), old)).await;
        for replica in &servers[3..] {
            assert_eq!(info(replica, "master_link_status"), "up", "{version}: nothing was said to the links");
        }
        // The end of the previous password closes the links that it opened; they come back with the new one.
        settle(&servers, &client, &desired(new, SystemPasswords::default())).await;
        for replica in &servers[3..] {
            let begin = std::time::Instant::now();
            while info(replica, "master_link_status") != "up" {
                assert!(begin.elapsed() < PATIENCE, "{version}: the link is down");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        assert_eq!(full_syncs(), before, "{version}: a replica was copied anew");
        let refused = servers[0].connect(Some(("keyslot-operator", PASSWORD)));
        assert!(refused.is_err(), "{version}: the previous password has ended");

        for server in servers.iter() {
            let log = tester(server).ask(&["SLOWLOG", "GET", "1000"]).unwrap();
            assert!(log.contains("masterauth") && !log.contains("replication-2"), "{version}: {log}");
        }
    }
}

/// A server that started again from an older file has the former password only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_logs_in_with_whichever_password_the_server_has() {
    let servers = start(ALL_VERSIONS[0], 1, &[]);
    let (new, old) = (passwords("operator-2", "replication-2"), passwords(PASSWORD, REPLICATION_PASSWORD));
    settle(&servers[..1], &NodeConnections::new(), &desired(new, old)).await;
    assert!(servers[0].connect(Some(("keyslot-operator", "operator-2"))).is_ok());
}
