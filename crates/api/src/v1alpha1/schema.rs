//! Schemas that attributes on fields can't express: limits and rules on the elements of lists and maps.

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::directives::{FREE_DIRECTIVES, OWNED_DIRECTIVES, OwnedDirectives};
use super::rules::{self, Rule};

/// `spec.config`.
pub fn config(_: &mut SchemaGenerator) -> Schema {
    let mut checks = checks(&[rules::CONFIG_NAMES, rules::CONFIG_VALUES]);
    checks.extend(OWNED_DIRECTIVES.iter().map(refuse_owned));
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "x-kubernetes-validations": checks,
    })
}

/// `spec.users[].rules`.
pub fn acl_rules(_: &mut SchemaGenerator) -> Schema {
    acl_rule_list(128)
}

/// `spec.users[].selectors[].rules`.
pub fn selector_rules(_: &mut SchemaGenerator) -> Schema {
    acl_rule_list(16)
}

/// `spec.resources.requests`.
pub fn requests(_: &mut SchemaGenerator) -> Schema {
    quantities(&[rules::RESOURCE_NAMES, rules::RESOURCE_QUANTITIES])
}

/// `spec.resources.limits`.
pub fn limits(_: &mut SchemaGenerator) -> Schema {
    quantities(&[rules::RESOURCE_NAMES, rules::RESOURCE_QUANTITIES, rules::MEMORY_MINIMUM])
}

/// `spec.nodeSelector`.
pub fn node_labels(_: &mut SchemaGenerator) -> Schema {
    string_map(63, &[rules::LABEL_KEYS, rules::LABEL_VALUES])
}

/// `spec.podLabels`.
pub fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    string_map(63, &[rules::LABEL_KEYS, rules::LABEL_VALUES, rules::OWN_LABELS])
}

/// `spec.podAnnotations`.
pub fn pod_annotations(_: &mut SchemaGenerator) -> Schema {
    string_map(4096, &[rules::LABEL_KEYS, rules::OWN_LABELS, rules::ANNOTATIONS_SIZE])
}

/// `spec.tolerations`: as in Kubernetes, but wrong words are refused here, not when a pod is made.
pub fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let mut items = generator.subschema_for::<Toleration>();
    limit(&mut items, "operator", "enum", json!(["Equal", "Exists"]));
    limit(&mut items, "effect", "enum", json!(["NoExecute", "NoSchedule", "PreferNoSchedule"]));
    json_schema!({ "type": "array", "maxItems": 32, "items": items })
}

/// `spec.topologySpreadConstraints`: as in Kubernetes, with the same refusals.
pub fn topology_spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    let mut items = generator.subschema_for::<TopologySpreadConstraint>();
    limit(&mut items, "whenUnsatisfiable", "enum", json!(["DoNotSchedule", "ScheduleAnyway"]));
    limit(&mut items, "maxSkew", "minimum", json!(1));
    limit(&mut items, "topologyKey", "minLength", json!(1));
    json_schema!({ "type": "array", "maxItems": 8, "items": items })
}

/// `spec.imagePullSecrets`.
pub fn image_pull_secrets(_: &mut SchemaGenerator) -> Schema {
    let name = json!({
        "description": "Name of the Secret.",
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": checks(&[rules::DNS_SUBDOMAIN]),
    });
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": { "type": "object", "required": ["name"], "properties": { "name": name } },
    })
}

fn acl_rule_list(max_items: u32) -> Schema {
    let mut checks = checks(&[rules::ACL_RULE_CHARACTERS]);
    checks.push(json!({
        "rule": rules::ACL_RULE_SHAPE,
        "message": rules::ACL_RULE_MESSAGE,
        "messageExpression": format!("{} : '{}'", rules::ACL_RULE_WORDS, rules::ACL_RULE_MESSAGE),
    }));
    json_schema!({
        "type": "array",
        "maxItems": max_items,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "x-kubernetes-validations": checks,
        },
    })
}

/// One key more than the known ones may be given, so that a rule can say what is wrong with it.
fn quantities(rules: &[Rule]) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 3,
        "additionalProperties": { "x-kubernetes-int-or-string": true },
        "x-kubernetes-validations": checks(rules),
    })
}

fn string_map(max_length: u32, rules: &[Rule]) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": max_length },
        "x-kubernetes-validations": checks(rules),
    })
}

fn checks(rules: &[Rule]) -> Vec<Value> {
    rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect()
}

/// The rule that refuses one group of Keyslot's own directives. Its message names the one that was found.
fn refuse_owned(group: &OwnedDirectives) -> Value {
    let owned = owned_expression(group);
    let instead = group.instead;
    json!({
        "rule": format!("!self.exists(k, {owned})"),
        "message": "spec.config may not have a directive that Keyslot sets itself: remove it; the reference lists them",
        "messageExpression": format!(
            r#"'spec.config.' + self.filter(k, {owned})[0] + " is set by Keyslot itself: {instead}""#
        ),
    })
}

/// CEL expression that is true when the key `k` belongs to the group.
fn owned_expression(group: &OwnedDirectives) -> String {
    let names = (!group.names.is_empty()).then(|| format!("k in {}", list(group.names.iter().copied())));
    let prefixes = group.prefixes.iter().map(|prefix| format!("k.startsWith('{prefix}')"));
    let owned = names.into_iter().chain(prefixes).collect::<Vec<_>>().join(" || ");
    let exempt = FREE_DIRECTIVES
        .iter()
        .chain(OWNED_DIRECTIVES.iter().flat_map(|other| other.names))
        .copied()
        .filter(|name| group.prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .collect::<Vec<_>>();
    if exempt.is_empty() { owned } else { format!("({owned}) && !(k in {})", list(exempt)) }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = words.into_iter().map(|word| format!("'{word}'")).collect::<Vec<_>>();
    format!("[{}]", quoted.join(", "))
}

/// Adds one limit to a property of an upstream schema.
fn limit(schema: &mut Schema, property: &str, keyword: &str, value: Value) {
    if let Some(property) =
        schema.pointer_mut(&format!("/properties/{property}")).and_then(Value::as_object_mut)
    {
        property.insert(keyword.to_owned(), value);
    }
}
