//! What is generated from the types is what is checked in, and says what it must say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_api::v1alpha1::{
    FREE_DIRECTIVES, OWNED_DIRECTIVES, RedisCluster, RedisClusterSpec, RedisClusterStatus, owned_directive,
};
use serde_json::{Value, json};

const CRD: &str = include_str!("../../../crds/redisclusters.yaml");
const REFERENCE: &str = include_str!("../../../docs/reference.md");
const CONDITIONS: &str = include_str!("../../../docs/conditions.md");

fn schema_of(part: &str) -> Value {
    let crd = serde_json::to_value(keyslot_api::crd()).expect("a CRD is JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

#[test]
fn the_published_crd_is_current() {
    let published: CustomResourceDefinition = serde_saphyr::from_str(CRD).unwrap();
    assert!(
        published == keyslot_api::crd(),
        "run: cargo run -p keyslot-api --bin crdgen > crds/redisclusters.yaml"
    );
}

#[test]
fn the_reference_is_current() {
    let current = REFERENCE == keyslot_api::reference();
    assert!(current, "run: cargo run -p keyslot-api --bin crdgen docs > docs/reference.md");
}

#[test]
fn the_page_on_conditions_is_current() {
    let current = CONDITIONS == keyslot_api::conditions_page();
    assert!(current, "run: cargo run -p keyslot-api --bin crdgen conditions > docs/conditions.md");
}

#[test]
fn every_field_of_the_spec_says_how_a_change_reaches_the_cluster() {
    for (name, field) in schema_of("spec")["properties"].as_object().unwrap() {
        let description = field["description"].as_str().unwrap_or_default();
        assert!(description.contains(" Change: "), "spec.{name}: {description}");
        let marks = ["Default: ", "Limits: ", "Change: "].map(|mark| description.find(mark));
        assert!(
            marks.iter().flatten().is_sorted(),
            "spec.{name} has its marks in another order: {description}"
        );
        if field.get("default").is_some() {
            assert!(description.contains(" Default: "), "spec.{name}: {description}");
        }
    }
}

#[test]
fn no_field_is_nullable_and_unknown_fields_are_dropped() {
    for forbidden in ["nullable:", "x-kubernetes-preserve-unknown-fields", "Auto-generated"] {
        assert!(!CRD.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn no_reference_to_a_secret_leaves_the_namespace() {
    let users = schema_of("spec")["properties"]["users"].to_string();
    assert!(users.contains("secretKeyRef") && !users.contains(r#""namespace""#));
}

#[test]
fn nothing_in_the_resource_gives_rights_on_hosts() {
    for forbidden in
        ["hostPath:", "hostNetwork:", "privileged:", "securityContext:", "serviceAccountName:", "volumes:"]
    {
        assert!(!CRD.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_spec_with_only_an_image_has_the_defaults_of_the_schema() {
    let spec: RedisClusterSpec = serde_json::from_value(json!({ "image": "redis:8.0" })).unwrap();
    assert_eq!(spec, RedisClusterSpec::with_image("redis:8.0"));
    for (name, value) in serde_json::to_value(&spec).unwrap().as_object().unwrap() {
        let default = &schema_of("spec")["properties"][name]["default"];
        assert!(name == "image" || default == value, "spec.{name}: {value} here, {default} in the schema");
    }
}

#[test]
fn a_resource_of_a_newer_version_can_still_be_read() {
    let newer = json!({
        "apiVersion": "keyslot.dev/v1alpha1",
        "kind": "RedisCluster",
        "metadata": { "name": "demo" },
        "spec": { "image": "redis:8.0", "tls": { "mode": "x" }, "users": [{ "name": "u", "rotation": {} }] },
        "status": { "later": 1, "shards": [{ "shard": 0 }] },
    });
    let read: RedisCluster = serde_json::from_value(newer).unwrap();
    assert_eq!(read.spec.users[0].name, "u");
}

#[test]
fn an_empty_status_writes_nothing() {
    assert_eq!(serde_json::to_value(RedisClusterStatus::default()).unwrap(), json!({}));
}

#[test]
fn conditions_are_one_per_type_for_server_side_apply() {
    let conditions = &schema_of("status")["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
    let ready = Condition {
        type_: ConditionType::Ready.to_string(),
        status: "True".to_owned(),
        reason: Reason::AllHealthy.to_string(),
        message: String::new(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: Some(1),
    };
    let written = serde_json::to_value(ready).unwrap();
    for required in conditions["items"]["required"].as_array().unwrap() {
        assert!(written.get(required.as_str().unwrap()).is_some(), "{required}");
    }
}

#[test]
fn words_fit_into_conditions_and_are_explained() {
    let words = ConditionType::ALL.iter().map(|word| (word.as_str(), word.meaning()));
    for (word, meaning) in words.chain(Reason::ALL.iter().map(|word| (word.as_str(), word.meaning()))) {
        assert!(word.chars().all(char::is_alphanumeric) && word.starts_with(char::is_uppercase), "{word}");
        assert!(meaning.ends_with('.') && meaning.len() > 10, "{word}: {meaning}");
    }
}

#[test]
fn owned_directives_are_found_in_any_spelling_and_free_ones_are_not() {
    for owned in OWNED_DIRECTIVES {
        for name in owned.names {
            assert_eq!(owned_directive(&name.to_uppercase()), Some(owned.instead), "{name}");
        }
        for prefix in owned.prefixes {
            assert!(owned_directive(&format!("{prefix}x")).is_some(), "{prefix}");
        }
    }
    for free in FREE_DIRECTIVES.iter().chain(&["maxmemory", "appendfsync", "io-threads", "save", "dirty"]) {
        assert_eq!(owned_directive(free), None, "{free}");
    }
}
