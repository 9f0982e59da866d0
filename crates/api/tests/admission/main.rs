//! What the API server accepts and refuses, told without one: limits of the schema by `limits`, CEL rules
//! by kube's own evaluator, both on the published CRD.

mod limits;
mod table;

use std::sync::LazyLock;

use keyslot_api::v1alpha1::RedisCluster;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;
use table::{Attempt, Table};

const DEMO: &str = include_str!("../../../../docs/examples/demo.yaml");
const USERS: &str = include_str!("../../../../docs/examples/users.yaml");
const MINIMAL: &str = include_str!("../../../../docs/examples/minimal.yaml");

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(keyslot_api::crd()).expect("a CRD is JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&SCHEMA));

fn refusals(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = limits::violations(&SCHEMA, new);
    if let Err(errors) = Validator::new().validate_compiled(&RULES, new, old) {
        found.extend(errors.iter().map(ToString::to_string));
    }
    found
}

fn refusals_of(attempt: &Attempt) -> Vec<String> {
    match attempt {
        Attempt::Create(resource) => refusals(resource, None),
        Attempt::Update { old, new } => {
            assert_eq!(refusals(old, None), Vec::<String>::new(), "the resource before the update");
            refusals(new, Some(old))
        }
    }
}

#[test]
fn every_rule_compiles() {
    assert!(!RULES.has_errors(), "{:?}", RULES.compilation_errors());
}

#[test]
fn every_wrong_resource_gets_its_message() {
    let table = Table::load();
    assert!(table.refused.len() >= 45, "the table has {} wrong resources", table.refused.len());
    let mut failures = Vec::new();
    for row in table.refused.iter().filter(|row| !row.server_only && !row.strict) {
        let found = refusals_of(&row.attempt(&table.base));
        if row.message.is_empty() || !found.iter().any(|refusal| refusal.contains(&row.message)) {
            failures.push(format!("{}: wanted {:?}, got {found:#?}", row.name, row.message));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_good_resource_is_accepted_and_read_back_the_same() {
    let table = Table::load();
    for row in &table.accepted {
        let attempt = row.attempt(&table.base);
        assert_eq!(refusals_of(&attempt), Vec::<String>::new(), "{}", row.name);
        let (Attempt::Create(new) | Attempt::Update { new, .. }) = attempt;
        let read: RedisCluster = serde_json::from_value(new).expect(&row.name);
        let written = serde_json::to_string(&read.spec).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&written).unwrap(),
            serde_json::to_value(&read.spec).unwrap()
        );
        let again = serde_json::from_str(&written).expect(&row.name);
        assert_eq!(read.spec, again, "{}", row.name);
    }
}

#[test]
fn rows_have_different_names() {
    let table = Table::load();
    let mut names = table.accepted.iter().chain(&table.refused).map(|row| &row.name).collect::<Vec<_>>();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_examples_are_accepted() {
    for (name, example) in [("demo", DEMO), ("minimal", MINIMAL), ("users", USERS)] {
        let last = example.split("---\n").last().unwrap();
        let resource: Value = serde_saphyr::from_str(last).unwrap();
        assert_eq!(refusals(&resource, None), Vec::<String>::new(), "{name}");
        assert_eq!(resource["metadata"]["name"], name);
        let _: RedisCluster = serde_json::from_value(resource).unwrap();
    }
}

#[test]
fn more_users_than_the_limit_are_refused() {
    let table = Table::load();
    let mut resource = table.base;
    let users =
        |count: usize| (0..count).map(|n| serde_json::json!({ "name": format!("u{n}") })).collect::<Value>();
    resource["spec"]["users"] = users(200);
    assert_eq!(refusals(&resource, None), Vec::<String>::new());
    resource["spec"]["users"] = users(201);
    assert_eq!(refusals(&resource, None), ["spec.users: Too many: 201: must have at most 200 items"]);
}
