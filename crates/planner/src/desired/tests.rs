use keyslot_api::v1alpha1::{RedisCluster, Retention};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::acl::PasswordHash;
use crate::config;
use crate::manifests;

fn cluster(spec: Value) -> RedisCluster {
    let mut spec = spec;
    spec["image"] = spec.get("image").cloned().unwrap_or_else(|| json!("redis:8.0"));
    let metadata = json!({"name": "demo", "namespace": "shop", "uid": "0b5c", "generation": 3});
    serde_json::from_value(json!({
        "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster", "metadata": metadata, "spec": spec,
    }))
    .unwrap()
}

fn secret(allowed: bool, values: &[(&str, &str)]) -> PasswordSecret {
    PasswordSecret {
        allowed,
        values: values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect(),
    }
}

fn inputs() -> Inputs {
    Inputs {
        system: SystemMemory {
            user_passwords: [
                ("default".to_owned(), "generated".into()),
                ("a".to_owned(), "generated".into()),
            ]
            .into(),
            ..SystemMemory::default()
        },
        password_secrets: [
            (
                "good".to_owned(),
                secret(true, &[("password", "secret"), ("newline", "secret\r\n"), ("short", "x")]),
            ),
            (
                "bad".to_owned(),
                secret(true, &[("empty", ""), ("blank", "\n"), ("lines", "a\nb\n"), ("nul", "a\0")]),
            ),
            ("forbidden".to_owned(), secret(false, &[("password", "secret")])),
            ("long".to_owned(), secret(true, &[("password", &"x".repeat(16_001))])),
        ]
        .into(),
        cluster_domain: "cluster.local".to_owned(),
        ..Inputs::default()
    }
}

fn own_passwords() -> SystemMemory {
    SystemMemory {
        passwords: SystemPasswords {
            operator: Some("o".into()),
            replication: Some("r".into()),
            probe: Some("p".into()),
        },
        ..SystemMemory::default()
    }
}

fn with_users(users: &Value) -> Desired {
    Desired::from_spec(&cluster(json!({"users": users})), &inputs())
}

fn with_password(password: &Value) -> Part<UserRules> {
    with_users(&json!([{"name": "a", "passwords": [password]}])).users["a"].clone()
}

fn kept(part: &Part<UserRules>) -> &Problem {
    match part {
        Part::KeepLast(problem) => problem,
        Part::Wanted(rules) => panic!("accepted: {rules:?}"),
    }
}

#[test]
fn default_is_off_unless_it_is_listed() {
    let Part::Wanted(rules) = &with_users(&json!([])).users["default"] else { panic!("a problem") };
    assert_eq!(rules.file_line("default"), "user default off");
    let Part::Wanted(rules) = &with_users(&json!([{"name": "default", "rules": ["+@all"]}])).users["default"]
    else {
        panic!("a problem")
    };
    assert!(rules.enabled && rules.passwords.len() == 1, "{rules:?}");
}

#[test]
fn a_user_gets_its_rules_in_order_and_all_its_passwords() {
    let hash = PasswordHash::of(&"other".into());
    let desired = with_users(&json!([{
        "name": "a",
        "rules": ["~app:*", "+@all", "-@dangerous", "%R~x", "allchannels"],
        "selectors": [{"rules": ["~b", "+get"]}, {"rules": ["~c"]}],
        "passwords": [{"sha256": hash.as_str()}, {"secretKeyRef": {"name": "good", "key": "password"}}],
    }]));
    let Part::Wanted(rules) = &desired.users["a"] else { panic!("a problem") };
    let line = rules.file_line("a");
    assert!(line.ends_with(" ~app:* +@all -@dangerous %R~x allchannels (~b +get) (~c)"), "{line}");
    assert_eq!(rules.passwords, [hash, PasswordHash::of(&"secret".into())].into());
    assert_eq!(desired.user_passwords["a"].expose_secret(), "secret", "the first one whose text is known");
    assert_eq!(desired.user_secrets["a"], "demo-user-a");
}

#[test]
fn a_user_of_hashes_alone_has_no_secret() {
    let hash = PasswordHash::of(&"other".into());
    let desired = with_users(&json!([{"name": "a", "passwords": [{"sha256": hash.as_str()}]}]));
    assert!(desired.user_secrets.is_empty() && desired.user_passwords.is_empty());
}

#[test]
fn one_line_break_at_the_end_is_not_part_of_a_password_and_no_length_is_too_short() {
    for (key, password) in [("newline", "secret"), ("password", "secret"), ("short", "x")] {
        let Part::Wanted(rules) = with_password(&json!({"secretKeyRef": {"name": "good", "key": key}}))
        else {
            panic!("{key}: a problem")
        };
        assert_eq!(rules.passwords, [PasswordHash::of(&password.into())].into(), "{key}");
    }
}

#[test]
fn a_password_that_can_not_be_used_keeps_the_user_as_it_is() {
    let reference = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
    for (password, reason, words) in [
        (
            reference("none", "password"),
            Reason::SecretNotFound,
            "Secret none, password of user a, does not exist",
        ),
        (
            reference("forbidden", "password"),
            Reason::SecretNotAllowed,
            "kubectl label secret forbidden keyslot.dev/user-password=true",
        ),
        (reference("good", "other"), Reason::SecretKeyMissing, "no text under the key other"),
        (reference("bad", "empty"), Reason::SecretUnusable, "is empty"),
        (reference("bad", "blank"), Reason::SecretUnusable, "is empty"),
        (reference("bad", "lines"), Reason::SecretUnusable, "control characters"),
        (reference("bad", "nul"), Reason::SecretUnusable, "control characters"),
        (reference("long", "password"), Reason::SecretUnusable, "longer than 16000"),
        (json!({"sha256": "ABC"}), Reason::FieldRefused, "64 lower case"),
        (json!({}), Reason::FieldRefused, "exactly one"),
    ] {
        let part = with_password(&password);
        let problem = kept(&part);
        assert_eq!(problem.reason, reason, "{password}");
        assert!(problem.message.contains(words), "{password}: {}", problem.message);
        assert!(problem.field.starts_with("spec.users[a].passwords[0]"), "{}", problem.field);
    }
}

#[test]
fn one_broken_user_changes_nothing_for_another() {
    let desired = with_users(&json!([
        {"name": "b", "passwords": [{"secretKeyRef": {"name": "none", "key": "password"}}]},
        {"name": "a", "rules": ["+get"]},
    ]));
    kept(&desired.users["b"]);
    assert!(matches!(desired.users["a"], Part::Wanted(_)));
    assert_eq!(desired.user_secrets["b"], "demo-user-b", "its Secret stays as it is");
    assert!(!desired.user_passwords.contains_key("b"));
    assert!(desired.problems.is_empty());
}

/// What got past admission: a problem, and in no file, no object and no message.
const NASTY_RULES: [&str; 23] = [
    "~a\nuser evil on nopass ~* +@all",
    "~evil on nopass",
    "~evil\r",
    "~evil\0",
    "~\"evil",
    "~'evil",
    "~evil\\",
    "(+get evil",
    "evil)",
    "~\u{e9}evil",
    ">evil",
    "<evil",
    "#evil",
    "!evil",
    "on",
    "OFF",
    "nopass",
    "NoPass",
    "reset",
    "resetpass",
    "RESETKEYS",
    "clearselectors",
    "",
];

#[test]
fn a_nasty_rule_is_a_problem_and_never_output() {
    for rule in NASTY_RULES {
        for user in [
            json!({"name": "a", "rules": ["+get", rule]}),
            json!({"name": "a", "selectors": [{"rules": ["+get"]}, {"rules": [rule]}]}),
        ] {
            let desired = with_users(&json!([user]));
            let problem = kept(&desired.users["a"]);
            assert_eq!(problem.reason, Reason::FieldRefused, "{rule:?}");
            assert!(!format!("{problem:?}").contains("evil"), "{rule:?}: {problem:?}");
        }
    }
}

#[test]
fn a_nasty_user_name_is_a_problem_and_never_a_key() {
    for name in ["x\nuser x on nopass", "a x", "Upper", "\u{e9}", "", "keyslot-operator", "keyslot-x", "a\"("]
    {
        let desired = with_users(&json!([{"name": name, "rules": ["+get"]}]));
        assert_eq!(desired.users.keys().collect::<Vec<_>>(), ["default"], "{name:?}");
        assert!(desired.user_secrets.is_empty(), "{name:?}");
        assert_eq!(desired.problems.len(), 1, "{name:?}");
        assert!(!desired.problems[0].message.contains(char::is_control), "{:?}", desired.problems);
    }
}

const NASTY_DIRECTIVES: [(&str, &str); 17] = [
    ("maxmemory-policy", "evil\nloadmodule /tmp/a.so"),
    ("maxmemory-policy", "evil\r"),
    ("maxmemory-policy", "\"evil"),
    ("maxmemory-policy", "evil\\"),
    ("maxmemory-policy", "\u{e9}evil"),
    ("evil\nport", "1"),
    ("evil port", "1"),
    ("Evil", "1"),
    ("", "evil"),
    ("include", "/evil"),
    ("loadmodule", "/evil"),
    ("masterauth", "evil"),
    ("aclfile", "/evil"),
    ("user", "evil on nopass"),
    ("cluster-announce-ip", "evil"),
    ("tls-port", "1"),
    ("save", "1 1"),
];

#[test]
fn a_nasty_directive_is_a_problem_and_never_output() {
    let harmless = with_users(&json!([]));
    for (name, value) in NASTY_DIRECTIVES {
        let mut spec = json!({"config": {}});
        spec["config"][name] = json!(value);
        let desired = Desired::from_spec(&cluster(spec), &inputs());
        assert_eq!(desired.problems.len(), 1, "{name:?} {value:?}");
        assert_eq!(desired.problems[0].reason, Reason::DirectiveRefused);
        assert!(!desired.problems[0].field.contains(char::is_control), "{:?}", desired.problems);
        assert!(!desired.problems[0].message.contains(value), "{:?}", desired.problems);
        assert_eq!(
            manifests::config_files(&desired),
            manifests::config_files(&harmless),
            "{name:?} {value:?}"
        );
        assert_eq!(
            manifests::stateful_set(&desired, 6),
            manifests::stateful_set(&harmless, 6),
            "{name:?} {value:?}"
        );
    }
}

/// Also what pods of an earlier version carry is not trusted.
#[test]
fn a_nasty_directive_in_force_is_not_written() {
    for (name, value) in NASTY_DIRECTIVES {
        let mut inputs = inputs();
        inputs.system.formed = true;
        let mut spec = json!({"config": {}});
        spec["config"][name] = json!(value);
        inputs.in_force = Some(cluster(spec).spec);
        let desired = Desired::from_spec(&cluster(json!({})), &inputs);
        assert_eq!(
            config::redis_conf(&desired.in_force),
            config::redis_conf(&cluster(json!({})).spec),
            "{name:?} {value:?}"
        );
    }
}

#[test]
fn names_of_secrets_do_not_clash() {
    let clash = |users: Value, foreign: &str| {
        let inputs = Inputs { foreign_objects: [foreign.to_owned()].into(), ..inputs() };
        let desired = Desired::from_spec(&cluster(json!({"users": users})), &inputs);
        let problems: Vec<String> = desired.problems.into_iter().map(|problem| problem.field).collect();
        (desired.user_secrets.into_values().collect::<Vec<_>>(), problems)
    };
    let one = |field: &str| vec![field.to_owned()];
    assert_eq!(
        clash(json!([{"name": "a_b"}, {"name": "a-b"}]), "-/-"),
        (one("demo-user-a-b"), vec!["spec.users[a-b].secretName".to_owned(), "metadata.name".to_owned()])
    );
    for name in ["demo-system", "demo-acl", "Not a name", "a..b", "-a"] {
        let (names, problems) = clash(json!([{"name": "a", "secretName": name}]), "Secret/x");
        assert_eq!((names, problems), (vec![], one("spec.users[a].secretName")), "{name}");
    }
    assert_eq!(
        clash(json!([{"name": "a", "secretName": "mine"}]), "Secret/mine"),
        (vec![], one("spec.users[a].secretName"))
    );
    assert_eq!(clash(json!([{"name": "a.b_c"}]), "Secret/x"), (one("demo-user-a.b-c"), vec![]));
}

/// The pods' spec, and with each change of it the fields that are told.
fn changes() -> (Value, Vec<(Value, &'static [&'static str])>) {
    let before = json!({
        "config": {"maxmemory-policy": "allkeys-lru"}, "storage": {"size": "1Gi"},
        "resources": {"limits": {"memory": "1Gi"}},
    });
    let changes: Vec<(Value, &'static [&'static str])> = vec![
        (json!({}), &[]),
        (json!({"paused": true, "users": [{"name": "a"}]}), &[]),
        (json!({"image": "redis:8.6"}), &["spec.image"]),
        (json!({"shards": 4, "replicasPerShard": 0}), &["spec.replicasPerShard", "spec.shards"]),
        (
            json!({"storage": {"size": "2Gi", "persistence": "RDB"}}),
            &["spec.storage.persistence", "spec.storage.size"],
        ),
        (json!({"config": {}}), &["spec.config.maxmemory-policy"]),
        (
            json!({"config": {"maxmemory-policy": "noeviction", "hz": "20"}}),
            &["spec.config.hz", "spec.config.maxmemory-policy"],
        ),
        (json!({"resources": null}), &["spec.resources.limits.memory"]),
        (
            json!({"resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "1"}}}),
            &["spec.resources.limits.memory", "spec.resources.requests.cpu"],
        ),
        (json!({"tolerations": [{"operator": "Exists"}]}), &["spec.tolerations"]),
        // Refused: what is in force stays wanted, so nothing waits.
        (json!({"config": {"maxmemory-policy": "a\nb"}}), &[]),
        (json!({"clusterNodeTimeout": "1h", "podLabels": {"keyslot.dev/role": "primary"}}), &[]),
    ];
    (before, changes)
}

#[test]
fn what_is_not_in_force_is_pending_by_name() {
    let (before, changes) = changes();
    let in_force = usable::of_pods(&cluster(before.clone()).spec);
    for (change, expected) in changes {
        let mut spec = before.clone();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let mut inputs = Inputs { in_force: Some(in_force.clone()), ..inputs() };
        inputs.system.formed = true;
        let desired = Desired::from_spec(&cluster(spec), &inputs);
        assert_eq!(desired.pending, expected, "{change}");
        assert_eq!(desired.in_force, in_force, "{change}");
    }
}

#[test]
fn before_the_first_pod_everything_is_in_force_at_once() {
    let desired = Desired::from_spec(&cluster(json!({"shards": 7, "paused": true})), &inputs());
    assert_eq!((desired.in_force.shards, desired.pending.len(), desired.paused), (7, 0, true));
    assert_eq!(desired.in_force, desired.wanted);
    assert_eq!((desired.name.as_str(), desired.namespace.as_str(), desired.generation), ("demo", "shop", 3));
    assert_eq!(desired.pod_count(), 14);
}

#[test]
fn until_the_cluster_has_formed_a_correction_is_in_force_at_once_but_for_volumes() {
    let carried = cluster(json!({"image": "redis:nonsense", "storage": {"size": "1Gi"}})).spec;
    let inputs = Inputs { in_force: Some(carried.clone()), system: own_passwords(), ..inputs() };
    let desired = Desired::from_spec(&cluster(json!({"storage": {"size": "2Gi"}})), &inputs);
    assert_eq!(desired.in_force.image, "redis:8.0");
    assert_eq!(desired.in_force.storage, carried.storage);
    assert_eq!(desired.pending, ["spec.storage.size"]);
}

/// On kept volumes servers do not start with another persistence than they were written with.
#[test]
fn until_the_cluster_has_formed_persistence_can_be_corrected() {
    let with = |size: &str, persistence: &str| {
        cluster(json!({"storage": {"size": size, "persistence": persistence}}))
    };
    let mut inputs = Inputs { in_force: Some(with("1Gi", "RDB").spec), system: own_passwords(), ..inputs() };
    let desired = Desired::from_spec(&with("2Gi", "AOF"), &inputs);
    assert_eq!(desired.in_force.storage, with("1Gi", "AOF").spec.storage);
    assert_eq!(desired.pending, ["spec.storage.size"]);
    inputs.system.formed = true;
    let desired = Desired::from_spec(&with("1Gi", "AOF"), &inputs);
    assert_eq!(desired.in_force.storage, with("1Gi", "RDB").spec.storage);
    assert_eq!(desired.pending, ["spec.storage.persistence"]);
}

#[test]
fn memory_and_time_out_are_numbers() {
    for (spec, maxmemory) in [
        (json!({}), None),
        (json!({"resources": {"limits": {"memory": "1Gi"}}}), Some(805_306_368)),
        (json!({"resources": {"limits": {"memory": "1000M"}}, "maxMemoryPercent": 50}), Some(500_000_000)),
        (json!({"resources": {"requests": {"memory": "1Gi"}}}), None),
        (json!({"resources": {"limits": {"memory": "1Gi"}}, "config": {"maxmemory": "100mb"}}), None),
        (json!({"resources": {"limits": {"memory": "much"}}}), None),
    ] {
        let desired = Desired::from_spec(&cluster(spec.clone()), &inputs());
        assert_eq!(desired.maxmemory, maxmemory, "{spec}");
        assert_eq!(desired.problems.len(), usize::from(spec.to_string().contains("much")), "{spec}");
    }
    for (text, milliseconds, problems) in [
        ("5s", 5000, 0),
        ("2500ms", 2500, 0),
        ("30s", 30_000, 0),
        ("31s", 5000, 1),
        ("1s", 5000, 1),
        ("1999ms", 5000, 1),
        ("+5s", 5000, 1),
        ("5", 5000, 1),
        ("s", 5000, 1),
        ("99999999999999999999s", 5000, 1),
        ("5s\nport 1", 5000, 1),
    ] {
        let desired = Desired::from_spec(&cluster(json!({"clusterNodeTimeout": text})), &inputs());
        assert_eq!(desired.node_timeout.as_millis(), milliseconds, "{text}");
        assert_eq!(desired.problems.len(), problems, "{text}");
        assert!(
            config::redis_conf(&desired.in_force).contains(&format!("cluster-node-timeout {milliseconds}\n"))
        );
    }
}

#[test]
fn every_shard_that_is_or_will_be_has_a_budget() {
    let shards = |replicas: i32, seen: &[i32]| {
        let inputs = Inputs { shards_seen: seen.iter().copied().collect(), ..inputs() };
        let spec = json!({"shards": 2, "replicasPerShard": replicas});
        Desired::from_spec(&cluster(spec), &inputs).budget_shards.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(shards(1, &[]), [0, 1]);
    assert_eq!(shards(1, &[1, 5]), [0, 1, 5]);
    assert_eq!(shards(0, &[1, 5]), [0; 0], "it would only make drains hang");
}

#[test]
fn a_lost_system_secret_is_a_problem_and_keeps_what_is_in_force() {
    let wanted = cluster(json!({"image": "redis:8.6"}));
    let carried = cluster(json!({"image": "redis:8.0"})).spec;
    let inputs = Inputs { in_force: Some(carried), ..Inputs::default() };
    let desired = Desired::from_spec(&wanted, &inputs);
    assert_eq!(desired.problems[0].reason, Reason::SystemSecretLost);
    assert!(desired.system.formed, "nobody knows that it is empty");
    assert!(desired.problems[0].message.contains("copy it away"), "{}", desired.problems[0].message);
    assert_eq!(desired.in_force.image, "redis:8.0");
    let mut system = own_passwords();
    let lost =
        |system: &SystemMemory| is_system_secret_lost(&Inputs { system: system.clone(), ..inputs.clone() });
    assert!(!lost(&system));
    system.passwords.replication = None;
    assert!(lost(&system), "a new one would keep replicas from their primaries");
    let first = Desired::from_spec(&wanted, &Inputs::default());
    assert!(first.problems.is_empty(), "before the first pod there is nothing to lose");
}

#[test]
fn what_becomes_of_volumes_never_waits() {
    let spec = |on_delete: &str| {
        let storage = json!({"size": "1Gi", "retentionPolicy": {"onDelete": on_delete}});
        cluster(json!({"image": "redis:8.0", "storage": storage}))
    };
    let mut inputs = Inputs { in_force: Some(spec("Delete").spec), ..inputs() };
    inputs.system.formed = true;
    let desired = Desired::from_spec(&spec("Retain"), &inputs);
    assert_eq!(desired.pending, Vec::<String>::new());
    assert_eq!(desired.retention.on_delete, Retention::Retain);
}

#[test]
fn switching_a_user_off_needs_no_password() {
    let missing = json!([{"secretKeyRef": {"name": "nowhere", "key": "password"}}]);
    let user = |enabled: bool| {
        cluster(json!({"image": "redis:8.0", "users": [
            {"name": "app", "enabled": enabled, "rules": ["+get"], "passwords": missing}
        ]}))
    };
    let part = |enabled| Desired::from_spec(&user(enabled), &Inputs::default()).users["app"].clone();
    assert!(matches!(part(true), Part::KeepLast(_)));
    assert_eq!(part(false), Part::Wanted(crate::system_users::off()));
    let wrong =
        json!({"image": "redis:8.0", "users": [{"name": "app", "enabled": false, "rules": ["+a\nb"]}]});
    let desired = Desired::from_spec(&cluster(wrong), &Inputs::default());
    assert_eq!(desired.users["app"], Part::Wanted(crate::system_users::off()), "nor usable rules");
}
