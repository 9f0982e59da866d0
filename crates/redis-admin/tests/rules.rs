//! What is rendered is what servers of every version read back, for random rules: by ACL SETUSER while they run, and
//! from `users.acl` when they start. A server does not start on a line that it does not know, so one wrong line here
//! would be a node that never comes back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use keyslot_api::v1alpha1::RedisCluster;
use keyslot_planner::acl::PasswordHash;
use keyslot_planner::desired::{SystemMemory, SystemPasswords};
use keyslot_planner::ids::Uid;
use keyslot_planner::observed::{FilesSeen, NodeSettings};
use keyslot_planner::plan::KubeOperation;
use keyslot_planner::settings::{LIVE_CONFIG, UserState, node_report, settings_for, trials, users_file};
use keyslot_planner::{Desired, Inputs, Manifest};
use keyslot_redis_admin::{NodeClient, NodeConnections, SettingsLook};
use keyslot_testkit::redis_server::{ALL_VERSIONS, PATIENCE, RedisServer, RedisServers, ServerOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

mod common;
use common::{PASSWORD, operator, start, target};

const ROUNDS: u8 = 5;
const USERS: usize = 60;

/// One rule: of keys, channels, commands and categories; some are known to newer versions only, or to none.
fn rule() -> impl Strategy<Value = String> {
    let pattern = "[a-z:*?{}\\[\\]|.^$-]{1,8}";
    let command = prop_oneof![
        Just("get"),
        Just("set"),
        Just("config|get"),
        Just("config|set"),
        Just("config"),
        Just("client|kill"),
        Just("client"),
        Just("cluster|slots"),
        Just("cluster"),
        Just("acl|whoami"),
        Just("eval"),
        Just("flushall"),
        Just("select"),
        Just("waitaof"),
        Just("client|setinfo"),
        Just("hexpire"),
        Just("cluster|migrateslots"),
        Just("nosuchcommand"),
    ];
    let category = prop_oneof![
        Just("all"),
        Just("read"),
        Just("write"),
        Just("dangerous"),
        Just("admin"),
        Just("pubsub"),
        Just("scripting"),
        Just("nosuchcategory"),
    ];
    let sign = prop_oneof![Just('+'), Just('-')];
    prop_oneof![
        3 => (prop_oneof![Just("~"), Just("%R~"), Just("%W~"), Just("%RW~")], pattern).prop_map(|(kind, keys)| format!("{kind}{keys}")),
        1 => pattern.prop_map(|channels| format!("&{channels}")),
        4 => (sign.clone(), command).prop_map(|(sign, command)| format!("{sign}{command}")),
        3 => (sign, category).prop_map(|(sign, category)| format!("{sign}@{category}")),
        1 => prop_oneof![Just("allkeys"), Just("allchannels"), Just("allcommands"), Just("nocommands")].prop_map(str::to_owned),
    ]
}

fn user() -> impl Strategy<Value = Value> {
    let rules = || proptest::collection::vec(rule(), 0..8);
    let passwords = proptest::collection::btree_set("[a-z]{4}", 1..4);
    let selectors = proptest::collection::vec(rules(), 0..3);
    (any::<bool>(), rules(), selectors, passwords).prop_map(|(enabled, rules, selectors, passwords)| {
        let hash =
            |password: &String| json!({"sha256": PasswordHash::of(&password.as_str().into()).as_str()});
        json!({
            "enabled": enabled,
            "rules": rules,
            "selectors": selectors.iter().map(|rules| json!({"rules": rules})).collect::<Vec<_>>(),
            "passwords": passwords.iter().map(hash).collect::<Vec<_>>(),
        })
    })
}

/// As many random users, and the system's with the passwords that the servers of these tests have.
fn desired(runner: &mut TestRunner) -> Desired {
    let users: Vec<Value> = (0..USERS)
        .map(|number| {
            let mut user = user().new_tree(runner).unwrap().current();
            user["name"] = json!(format!("user-{number}"));
            user
        })
        .collect();
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "demo", "namespace": "shop", "uid": "1"},
        "spec": {"image": "redis:8.0", "users": users},
    }))
    .unwrap();
    let system = SystemMemory {
        passwords: SystemPasswords {
            operator: Some(PASSWORD.into()),
            replication: Some("replication".into()),
            probe: Some("probe".into()),
        },
        formed: true,
        ..SystemMemory::default()
    };
    Desired::from_spec(&cluster, &Inputs { system, ..Inputs::default() })
}

async fn look(client: &NodeConnections, server: &RedisServer, desired: &Desired) -> NodeSettings {
    let look = SettingsLook { trials: trials(desired), config: LIVE_CONFIG.to_vec() };
    client.observe_settings(server.ip(), &operator(), &look, PATIENCE).await.unwrap()
}

fn file(desired: &Desired, seen: &NodeSettings) -> String {
    let empty = FilesSeen { uid: Uid::new("1"), version: String::new(), files: BTreeMap::new() };
    let operation = users_file(desired, &empty, std::slice::from_ref(seen), true);
    let Some(KubeOperation::Apply { manifest, .. }) = operation else { panic!("{operation:?}") };
    let Manifest::ConfigMap(map) = *manifest else { panic!("no ConfigMap") };
    map.data.unwrap().remove("users.acl").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_rules_are_read_back_as_they_are_wanted_live_and_from_the_file() {
    for version in ALL_VERSIONS {
        let (mut applied, mut refused) = (0, 0);
        for seed in 0..ROUNDS {
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
            let desired = desired(&mut TestRunner::new_with_rng(Config::default(), rng));
            let (servers, client) = (start(version, 1, &[]), NodeConnections::new());
            let seen = look(&client, &servers[0], &desired).await;
            for command in settings_for(&desired, &seen, true) {
                let said = client.execute(&target(&servers[0], &seen.id), &operator(), &command).await;
                said.unwrap_or_else(|error| panic!("{version}: {command:?}: {error}"));
            }
            let seen = look(&client, &servers[0], &desired).await;
            assert_eq!(settings_for(&desired, &seen, true), [], "{version}: nothing is left to say");

            let text = file(&desired, &seen);
            let acl: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            let again = RedisServers::start(
                version,
                1,
                &ServerOptions { acl: &acl, config: &["masterauth replication"] },
            );
            let again = again.unwrap_or_else(|error| panic!("{version} does not start: {error:#}\n{text}"));
            let started = look(&client, &again[0], &desired).await;
            let (live, from_file) =
                (node_report(&desired, &seen, true), node_report(&desired, &started, true));
            for (name, state) in &live.users {
                match state {
                    UserState::Applied => {
                        applied += 1;
                        assert_eq!(from_file.users[name], UserState::Applied, "{version}: {name} in\n{text}");
                    }
                    UserState::Refused { .. } => refused += 1,
                    UserState::Pending => {
                        panic!("{version}: {name} is not as it was set: {:?}", seen.users[name])
                    }
                }
            }
        }
        println!("{version}: {applied} in force, {refused} refused");
        assert!(applied > 100 && refused > 10, "{version}: {applied} applied, {refused} refused");
    }
}
