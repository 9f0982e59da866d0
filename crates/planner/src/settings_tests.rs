//! Tables on the settings of one node.

use std::collections::BTreeMap;

use keyslot_api::v1alpha1::RedisCluster;
use serde_json::json;

use super::*;
use crate::Inputs;
use crate::acl::{PasswordHash, Permissions};
use crate::config::USERS_FILE;
use crate::desired::{SystemMemory, SystemPasswords};
use crate::ids::RunId;
use crate::observed::{Engine, EngineKind, FilesSeen};
use crate::plan::KubeOperation;

fn desired(users: &serde_json::Value) -> Desired {
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "demo", "namespace": "shop", "uid": "1"},
        "spec": {"image": "redis:8.0", "users": users,
                 "resources": {"limits": {"memory": "100Mi"}}, "maxMemoryPercent": 50},
    }))
    .unwrap();
    let system = SystemMemory {
        passwords: SystemPasswords {
            operator: Some("o".into()),
            replication: Some("r".into()),
            probe: Some("p".into()),
        },
        formed: true,
        ..SystemMemory::default()
    };
    Desired::from_spec(&cluster, &Inputs { system, ..Inputs::default() })
}

fn worker(rule: &str) -> serde_json::Value {
    let hash = PasswordHash::of(&"long-enough-for-anybody".into());
    json!([{"name": "worker", "rules": ["~app:*", rule], "passwords": [{"sha256": hash.as_str()}]}])
}

/// A password that only the nodes know is not taken from them, and no file without it is written.
#[test]
fn a_system_user_whose_password_was_lost_here_is_left_alone() {
    let mut desired = desired(&worker("+get"));
    let mut seen = node(&desired, "8.0.2");
    let replication = "keyslot-replication";
    let known = PasswordHash::of(&"r".into());
    seen.users.insert(replication.to_owned(), LiveUser { passwords: [known].into(), ..live("~old") });
    let said = |desired: &Desired| {
        let about = |command: &RedisCommand| match command {
            RedisCommand::SetUser { name, .. } | RedisCommand::DeleteUser(name) => name == replication,
            _ => false,
        };
        settings_for(desired, &seen, true).iter().any(about)
    };
    assert!(said(&desired), "its rules differ");
    desired.system.passwords.replication = None;
    desired.system_users = crate::system_users::system_users(&desired.system);
    assert!(!said(&desired));
    let file = FilesSeen { uid: crate::ids::Uid::new("u"), version: String::new(), files: BTreeMap::new() };
    assert_eq!(users_file(&desired, &file, &[seen], true), None);
}

/// A server whose normal form of a rule list is that list, and which refuses rules that contain `nosuch`.
fn node(desired: &Desired, version: &str) -> NodeSettings {
    let trials = trials(desired)
        .into_iter()
        .map(|(name, tokens)| {
            let text: Vec<&str> = tokens.iter().map(AclToken::as_str).collect();
            let text = text.join(" ");
            let words = "Error in ACL SETUSER modifier '+nosuch': Unknown command";
            (name, if text.contains("nosuch") { Err(words.to_owned()) } else { Ok(live(&text)) })
        })
        .collect();
    NodeSettings {
        id: "0".repeat(40).parse().unwrap(),
        run_id: RunId::new("r"),
        engine: Engine { kind: EngineKind::Redis, version: version.to_owned() },
        users: BTreeMap::new(),
        trials,
        config: BTreeMap::new(),
        replication_password: desired.system.passwords.replication.as_ref().map(PasswordHash::of),
    }
}

fn live(commands: &str) -> LiveUser {
    let root = Permissions { commands: commands.to_owned(), ..Permissions::default() };
    LiveUser { permissions: vec![root], ..LiveUser::default() }
}

/// What the node has after the commands were carried out.
fn obeyed(desired: &Desired, mut node: NodeSettings, commands: &[RedisCommand]) -> NodeSettings {
    for command in commands {
        match command {
            RedisCommand::SetUser { name, .. } => {
                let rules =
                    desired.system_users.get(name).cloned().or_else(|| match desired.users.get(name) {
                        Some(Part::Wanted(rules)) => Some(rules.clone()),
                        _ => None,
                    });
                let (rules, normal) = (rules.unwrap(), node.trials[name].clone().unwrap());
                let user = LiveUser { enabled: rules.enabled, passwords: rules.passwords, ..normal };
                node.users.insert(name.clone(), user);
            }
            RedisCommand::DeleteUser(name) => drop(node.users.remove(name)),
            RedisCommand::SetConfig(pairs) => node.config.extend(pairs.iter().cloned()),
            RedisCommand::SetReplicationPassword(Password(password)) => {
                node.replication_password = Some(PasswordHash::of(password));
            }
            other => panic!("settings sent {other:?}"),
        }
    }
    node
}

#[test]
fn a_replica_is_to_log_in_with_the_password_in_use_and_counts_only_when_it_does() {
    let mut desired = desired(&json!([]));
    desired.system.second_passwords =
        SystemPasswords { replication: Some("next".into()), ..SystemPasswords::default() };
    desired.system_users = crate::system_users::system_users(&desired.system);
    let first = node(&desired, "8.0.2");
    let settled = obeyed(&desired, first.clone(), &settings_for(&desired, &first, true));
    let both = [PasswordHash::of(&"r".into()), PasswordHash::of(&"next".into())];
    assert_eq!(settled.users[REPLICATION].passwords, both.into());
    let in_force = |desired: &Desired, nodes| {
        let report =
            SettingsReport { wanted: WantedSettings::of(desired), nodes, ..SettingsReport::default() };
        report.system_in_force().cloned()
    };
    let everywhere = |desired: &Desired, nodes: [&NodeSettings; 2]| {
        let report = |node| Ok(node_report(desired, node, true));
        let nodes = nodes.map(report).into_iter().enumerate();
        let nodes: BTreeMap<_, _> =
            nodes.map(|(number, node)| (PodName::new(format!("demo-{number}")), node)).collect();
        in_force(desired, nodes)
    };
    assert_eq!(everywhere(&desired, [&settled, &settled]), Some(desired.system.system_hashes()));
    assert_eq!(everywhere(&desired, [&settled, &first]), None);
    let silent = [(PodName::new("demo-0"), Err(Unreachable::Refused))].into();
    assert_eq!((in_force(&desired, silent), in_force(&desired, BTreeMap::new())), (None, None));

    let mut swapped = desired.clone();
    swapped.system.passwords.replication = Some("next".into());
    swapped.system.second_passwords.replication = Some("r".into());
    let said = settings_for(&swapped, &settled, true);
    assert_eq!(said, [RedisCommand::SetReplicationPassword(Password("next".into()))]);
    assert!(!format!("{said:?}").contains("next"));
    assert_eq!(everywhere(&swapped, [&settled, &settled]), None);
    let after = obeyed(&swapped, settled.clone(), &said);
    assert_eq!(everywhere(&swapped, [&after, &settled]), None);
    assert_eq!(everywhere(&swapped, [&after, &after]), Some(swapped.system.system_hashes()));
    assert_ne!(swapped.system.system_hashes(), desired.system.system_hashes());
}

#[test]
fn what_is_sent_settles_a_node_and_nothing_is_sent_again() {
    let desired = desired(&worker("+get"));
    let first = node(&desired, "7.0.15");
    let commands = settings_for(&desired, &first, true);
    let mut after = obeyed(&desired, first, &commands);
    assert_eq!(settings_for(&desired, &after, true), vec![]);
    after.users.insert("removed".to_owned(), live("+@all"));
    assert_eq!(node_report(&desired, &after, true).strangers, ["removed"]);
    after.users.remove("removed");
    let report = node_report(&desired, &after, true);
    assert!(report.users.values().all(|state| *state == UserState::Applied), "{report:?}");
    assert!(report.config_differences.is_empty() && report.strangers.is_empty(), "{report:?}");
    assert_eq!(after.config["maxmemory"], (50 * 1024 * 1024).to_string());
    assert!(!after.users["default"].enabled);
}

#[test]
fn until_the_cluster_has_formed_only_the_system_is_looked_after() {
    let desired = desired(&worker("+get"));
    let mut seen = node(&desired, "7.0.15");
    seen.users.insert("stranger".to_owned(), live("+@all"));
    for command in settings_for(&desired, &seen, false) {
        match command {
            RedisCommand::SetUser { name, .. } => assert!(name.starts_with("keyslot-"), "{name}"),
            RedisCommand::SetConfig(pairs) => {
                assert!(pairs.iter().all(|(name, _)| name == "maxmemory"), "{pairs:?}");
            }
            other => panic!("sent {other:?}"),
        }
    }
}

#[test]
fn a_refused_rule_leaves_its_user_as_it_was_and_the_others_go_on() {
    let mut users = worker("+nosuch");
    users.as_array_mut().unwrap().push(json!({"name": "other", "rules": ["~*", "+get"]}));
    let desired = desired(&users);
    // `other` has no generated password yet, which is a problem of its own; `default` stands for the users that go on.
    let seen = node(&desired, "7.0.15");
    let commands = settings_for(&desired, &seen, true);
    let set =
        |user: &str| commands.iter().any(|c| matches!(c, RedisCommand::SetUser { name, .. } if name == user));
    assert!(!set("worker") && set("default"), "{commands:?}");
    let UserState::Refused { words, lets_in: false } = &node_report(&desired, &seen, true).users["worker"]
    else {
        panic!()
    };
    assert!(words.contains("+nosuch"));
}

/// Who could log in and can't any more is thrown out; who only may do less stays.
#[test]
fn sessions_end_with_what_let_them_in() {
    let hash = |password: &str| PasswordHash::of(&password.into());
    let (old, new) = (hash("the-old-password-of-worker"), hash("the-new-password-of-worker"));
    let user = |enabled: bool, rule: &str, passwords: &[&PasswordHash]| {
        let passwords: Vec<_> = passwords.iter().map(|hash| json!({"sha256": hash.as_str()})).collect();
        desired(
            &json!([{"name": "worker", "enabled": enabled, "rules": ["~*", rule], "passwords": passwords}]),
        )
    };
    let before = user(true, "+@all", &[&old]);
    let first = node(&before, "7.0.15");
    let mut there = obeyed(&before, first.clone(), &settings_for(&before, &first, true));
    for (what, after, ends) in [
        ("another password besides", user(true, "+@all", &[&old, &new]), Some(false)),
        ("another password instead", user(true, "+@all", &[&new]), Some(true)),
        ("switched off", user(false, "+@all", &[&old]), Some(true)),
        ("less to do", user(true, "+get", &[&old]), Some(false)),
        ("refused rules", user(true, "+nosuch", &[&old]), None),
        ("refused rules and another password", user(true, "+nosuch", &[&new]), Some(true)),
    ] {
        there.trials = node(&after, "7.0.15").trials;
        let said = settings_for(&after, &there, true).into_iter().find_map(|command| match command {
            RedisCommand::SetUser { name, end_sessions, .. } if name == "worker" => Some(end_sessions),
            _ => None,
        });
        assert_eq!(said, ends, "{what}");
    }
}

#[test]
fn the_operator_gets_its_rights_back_before_it_needs_them() {
    let desired = desired(&json!([]));
    let first = node(&desired, "7.0.15");
    let mut there = obeyed(&desired, first.clone(), &settings_for(&desired, &first, true));
    let own = there.users.get_mut(OPERATOR).unwrap();
    let more = PasswordHash::of(&"somebody-elses".into());
    own.passwords.insert(more.clone());
    let said = |there: &NodeSettings| settings_for(&desired, there, true);
    assert_eq!(said(&there).len(), 1, "it has the right to end sessions");
    there.users.get_mut(OPERATOR).unwrap().permissions[0].commands.push_str(" -client|kill");
    let said = said(&there);
    let [
        RedisCommand::SetUser { tokens, end_sessions: false, .. },
        RedisCommand::SetUser { tokens: last, end_sessions: true, .. },
    ] = said.as_slice()
    else {
        panic!("{said:?}")
    };
    let keeps = |tokens: &[AclToken]| tokens.iter().any(|token| token.as_str().contains(more.as_str()));
    assert!(keeps(tokens), "taking a password away asks for the right to end sessions");
    assert!(!keeps(last));
}

type Change = fn(&mut NodeSettings);

#[test]
fn drift_made_by_hand_is_undone() {
    let desired = desired(&worker("+get"));
    let first = node(&desired, "7.0.15");
    let settled = obeyed(&desired, first.clone(), &settings_for(&desired, &first, true));
    let cases: [(&str, Change); 5] = [
        ("stranger", |n| drop(n.users.insert("stranger".to_owned(), live("+@all")))),
        ("nopass", |n| n.users.get_mut("worker").unwrap().nopass = true),
        ("off", |n| n.users.get_mut("worker").unwrap().enabled = false),
        ("password", |n| {
            n.users.get_mut("worker").unwrap().passwords.extend([PasswordHash::of(&"x".into())]);
        }),
        ("rules", |n| n.users.get_mut("worker").unwrap().permissions[0].commands.push_str(" +set")),
    ];
    for (what, change) in cases {
        let mut drifted = settled.clone();
        change(&mut drifted);
        let commands = settings_for(&desired, &drifted, true);
        assert_eq!(commands.len(), 1, "{what}: {commands:?}");
        assert_eq!(obeyed(&desired, drifted, &commands), settled, "{what}");
    }
}

#[test]
fn what_was_changed_by_hand_is_told_and_nothing_else() {
    let wanted = desired(&worker("+get"));
    let first = node(&wanted, "7.0.15");
    let settled = obeyed(&wanted, first.clone(), &settings_for(&wanted, &first, true));
    let pod = PodName::new("demo-0");
    let report = |node: &NodeSettings| SettingsReport {
        wanted: WantedSettings::of(&wanted),
        nodes: [(pod.clone(), Ok(node_report(&wanted, node, true)))].into(),
        ..SettingsReport::default()
    };
    let mut drifted = settled.clone();
    drifted.users.get_mut("worker").unwrap().nopass = true;
    drifted.users.insert("intruder".to_owned(), live("+@all"));
    let told = |before: &SettingsReport, desired: &Desired, seen: &NodeSettings| {
        changed_by_hand(before, desired, &pod, seen)
    };
    assert_eq!(told(&report(&settled), &wanted, &drifted), ["intruder", "worker"]);
    assert!(told(&report(&settled), &wanted, &settled).is_empty());
    assert!(told(&report(&first), &wanted, &first).is_empty(), "it was not in force before");
    assert!(
        told(&report(&drifted), &wanted, &drifted).is_empty(),
        "that could not be undone, and is told elsewhere"
    );
    assert!(
        told(&report(&settled), &desired(&worker("+set")), &drifted).is_empty(),
        "the resource has changed"
    );
    assert!(told(&SettingsReport::default(), &wanted, &drifted).is_empty(), "nobody knows what was before");
    let mut probe = settled.clone();
    probe.users.get_mut("keyslot-probe").unwrap().permissions[0].commands.push_str(" +@all");
    assert_eq!(told(&report(&settled), &wanted, &probe), ["keyslot-probe"]);
    let mut replicates = settled.clone();
    replicates.replication_password = Some(PasswordHash::of(&"somebody's".into()));
    assert_eq!(told(&report(&settled), &wanted, &replicates), [REPLICATION]);
    let mut rotated = wanted.clone();
    rotated.system.second_passwords.probe = Some("next".into());
    rotated.system_users = crate::system_users::system_users(&rotated.system);
    assert!(told(&report(&settled), &rotated, &settled).is_empty(), "Keyslot's own passwords are rotated");
    drifted.run_id = RunId::new("another");
    assert!(told(&report(&settled), &wanted, &drifted).is_empty(), "it started again, from an older file");
}

fn file(text: &str) -> FilesSeen {
    FilesSeen {
        uid: crate::ids::Uid::new("u"),
        version: "7".to_owned(),
        files: [(USERS_FILE.to_owned(), text.to_owned())].into(),
    }
}

#[test]
fn only_lines_that_every_running_version_accepts_reach_the_file() {
    let wanted = desired(&worker("+nosuch"));
    let mut newer = node(&wanted, "9.0.0");
    newer.trials.insert("worker".to_owned(), Ok(live("+nosuch")));
    let older = node(&wanted, "7.0.15");
    let text = |nodes: &[NodeSettings], present: &str| users_file::users_text(&wanted, present, nodes);
    assert!(text(std::slice::from_ref(&newer), "").contains("user worker"), "the only version accepts it");
    assert!(
        !text(&[newer.clone(), older.clone()], "").contains("user worker"),
        "one of two versions refuses it"
    );
    let kept = text(&[newer, older], "user worker on ~old:* +get\n");
    assert!(kept.contains("user worker on ~old:* +get"), "what was accepted before stays: {kept}");
    let older = node(&wanted, "7.0.15");
    let old = "0".repeat(64);
    let kept = text(&[older], &format!("user worker on #{old} ~old:* +get (~more:* +get)\n"));
    let new = PasswordHash::of(&"long-enough-for-anybody".into());
    let line = format!("user worker on #{} ~old:* +get (~more:* +get)", new.as_str());
    assert!(kept.contains(&line), "but its passwords: {kept}");
}

#[test]
fn the_file_begins_with_default_and_settles() {
    let desired = desired(&worker("+get"));
    let nodes = [node(&desired, "7.0.15")];
    let text = users_file::users_text(&desired, "", &nodes);
    assert!(text.starts_with("user default off"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("user ")).count(), 5, "{text}");
    assert_eq!(users_file(&desired, &file(&text), &nodes, true), None);
    assert!(users_file(&desired, &file(""), &nodes, true).is_some());
    assert_eq!(
        users_file(&desired, &file(""), &nodes, false),
        None,
        "nobody is let in before the cluster has formed"
    );
}

#[test]
fn lines_that_stay_are_those_of_the_very_file_that_was_seen() {
    let version = |rule: &str| {
        let desired = desired(&worker(rule));
        let nodes = [node(&desired, "7.0.15")];
        let operation = users_file(&desired, &file("user worker on #0 +@all\n"), &nodes, true);
        let Some(KubeOperation::Apply { version, .. }) = operation else { panic!("{operation:?}") };
        version
    };
    assert_eq!(version("+nosuch").as_deref(), Some("7"), "an older copy has a line that was taken away");
    assert_eq!(version("+get"), None, "all of it follows from the resource");
}
