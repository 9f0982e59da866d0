//! docs/reference.md: the manual of the resource, made from the same schema that the API server has, so
//! that the two can't differ.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::conditions::{ConditionType, Reason};
use crate::v1alpha1::{FREE_DIRECTIVES, OWNED_DIRECTIVES};

const INTRODUCTION: &str = "\
# RedisCluster reference

<!-- Made by `crdgen docs` from the types in crates/api. Do not edit. -->

API version `keyslot.dev/v1alpha1`, kind `RedisCluster`, short name `rcl`, namespaced. `kubectl explain
rcl.spec` shows the same texts. The API server itself refuses a wrong resource; what only a running server
can judge is told by a condition, and the part in question stays as it was.

`metadata.name` has at most 40 lower case letters, digits and `-`, starts with a letter, and does not end in
`-client`, `-config`, `-acl`, `-system` or `-connection`.

A change of a field is meant to reach a running cluster in one of these ways: **live** changes the nodes in
place, **roll** restarts the pods one by one, **immutable** is refused. This version carries out changes of
`spec.users` and `spec.paused`. Every other accepted change of a formed cluster waits: the condition
`UpdatePending` names its fields, and nothing of it reaches a pod. [conditions.md](conditions.md) has the
conditions and their reasons.
";

const CONDITIONS: &str = "\
# Conditions

<!-- Made by `crdgen conditions` from crates/api/src/conditions.rs. Do not edit. -->

Every condition has the generation that it was judged for, a reason from the closed list below, and a message that
names the object, the field and the next step. `Ready`, `SlotsCovered`, `AclApplied` and `ConfigApplied` are False
when something is missing; `Progressing`, `UpdatePending`, `Degraded`, `ConsentNeeded` and `Paused` are True when there
is something to tell, and none of these makes `Ready` False. `Unknown` means that no node answers the operator.

A script waits like this:

```sh
kubectl wait rcl/demo --for=condition=Ready --timeout=2m
```
";

/// Types of Kubernetes itself, which its own reference describes.
const UPSTREAM: &[(&str, &str)] = &[
    ("affinity", "Affinity of Kubernetes"),
    ("conditions", "list of Condition of Kubernetes"),
    ("tolerations", "list of Toleration of Kubernetes"),
    ("topologySpreadConstraints", "list of TopologySpreadConstraint of Kubernetes"),
];

/// The text of docs/reference.md.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let crd = crate::crd();
    let schema =
        crd.spec.versions.iter().find_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let part = |name| schema.and_then(|schema| schema.properties.as_ref()?.get(name));
    if let Some(spec) = part("spec") {
        text.push_str("\n## spec\n");
        write_refusals(&mut text, spec);
        write_fields(&mut text, spec, "spec");
    }
    write_directives(&mut text);
    if let Some(status) = part("status") {
        text.push_str("\n## status\n\n| Field | Type | Meaning |\n|---|---|---|\n");
        write_status(&mut text, status, "status");
    }
    text
}

/// The text of docs/conditions.md.
pub fn conditions_page() -> String {
    let mut text = CONDITIONS.to_owned();
    write_vocabulary(&mut text);
    text
}

/// One section per field, parts of a field after the field itself.
fn write_fields(text: &mut String, object: &JSONSchemaProps, path: &str) {
    let required = object.required.as_deref().unwrap_or_default();
    for (name, field) in object.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let words = Words::of(field.description.as_deref().unwrap_or_default());
        let default = match &field.default {
            _ if required.contains(name) => "required".to_owned(),
            Some(default) if !default.0.is_object() => {
                format!("`{}`", default.0.to_string().trim_matches('"'))
            }
            _ => words.default.unwrap_or("none").to_owned(),
        };
        let _ = write!(
            text,
            "\n### {path}\n\n{}\n\n| Type | Default | Limits | Change |\n|---|---|---|---|\n| {} | {} | {} | {} |\n",
            words.meaning,
            type_of(name, field),
            cell(&default),
            cell(words.limits.unwrap_or("")),
            cell(words.change.unwrap_or("")),
        );
        write_refusals(text, field);
        if let Some(parts) = parts_of(name, field) {
            write_fields(text, parts, &if is_list(field) { format!("{path}[]") } else { path });
        }
    }
}

/// The messages of a field's rules and of the rules of its elements, so that a refusal can be looked up.
fn write_refusals(text: &mut String, field: &JSONSchemaProps) {
    let elements = items_of(field).filter(|items| items.properties.is_none());
    let rules = [Some(field), elements]
        .into_iter()
        .flatten()
        .flat_map(|schema| schema.x_kubernetes_validations.iter());
    let mut messages = rules.flatten().filter_map(|rule| rule.message.as_deref()).collect::<Vec<_>>();
    messages.dedup();
    if !messages.is_empty() {
        text.push_str("\nRefused with:\n\n");
    }
    for message in messages {
        let _ = writeln!(text, "- {message}");
    }
}

fn write_status(text: &mut String, object: &JSONSchemaProps, path: &str) {
    for (name, field) in object.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let meaning = cell(field.description.as_deref().unwrap_or_default());
        let _ = writeln!(text, "| `{path}` | {} | {meaning} |", type_of(name, field));
        if let Some(parts) = parts_of(name, field) {
            write_status(text, parts, &if is_list(field) { format!("{path}[]") } else { path });
        }
    }
}

fn write_directives(text: &mut String) {
    text.push_str("\n## Directives that Keyslot sets itself\n\nThey are refused in `spec.config`.\n");
    text.push_str("\n| Directives | Instead |\n|---|---|\n");
    for owned in OWNED_DIRECTIVES {
        let names = owned.names.iter().map(|name| format!("`{name}`"));
        let prefixes = owned.prefixes.iter().map(|prefix| format!("`{prefix}*`"));
        let directives = names.chain(prefixes).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "| {directives} | {} |", owned.instead);
    }
    let free = FREE_DIRECTIVES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\nNot among them, so free to set: {free}.");
}

fn write_vocabulary(text: &mut String) {
    text.push_str("\n## Types\n\n| Type | Meaning when True |\n|---|---|\n");
    for condition in ConditionType::ALL {
        let _ = writeln!(text, "| `{condition}` | {} |", cell(condition.meaning()));
    }
    text.push_str("\n## Reasons\n\n| Reason | Meaning, and what to do |\n|---|---|\n");
    for reason in Reason::ALL {
        let _ = writeln!(text, "| `{reason}` | {} |", cell(reason.meaning()));
    }
}

/// The pieces of a description, which always come in this order.
struct Words<'a> {
    meaning: &'a str,
    default: Option<&'a str>,
    limits: Option<&'a str>,
    change: Option<&'a str>,
}

impl<'a> Words<'a> {
    fn of(description: &'a str) -> Self {
        let (rest, change) = split(description, "Change: ");
        let (rest, limits) = split(rest, "Limits: ");
        let (meaning, default) = split(rest, "Default: ");
        Self { meaning: meaning.trim_end(), default, limits, change }
    }
}

fn split<'a>(text: &'a str, mark: &str) -> (&'a str, Option<&'a str>) {
    text.split_once(mark)
        .map_or((text, None), |(before, after)| (before, Some(after.trim_end().trim_end_matches('.'))))
}

fn type_of(name: &str, field: &JSONSchemaProps) -> String {
    if let Some((_, upstream)) = UPSTREAM.iter().find(|(upstream, _)| *upstream == name) {
        return (*upstream).to_owned();
    }
    if let Some(words) = &field.enum_ {
        return words
            .iter()
            .map(|word| format!("`{}`", word.0.to_string().trim_matches('"')))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    if let Some(items) = items_of(field) {
        return format!("list of {}", type_of("", items));
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &field.additional_properties {
        return format!("map of {}", type_of("", values));
    }
    if field.x_kubernetes_int_or_string == Some(true) {
        return "quantity".to_owned();
    }
    field.type_.clone().unwrap_or_default()
}

fn is_list(field: &JSONSchemaProps) -> bool {
    field.items.is_some()
}

fn items_of(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

/// The object whose properties are described after `field`.
fn parts_of<'a>(name: &str, field: &'a JSONSchemaProps) -> Option<&'a JSONSchemaProps> {
    let own = UPSTREAM.iter().all(|(upstream, _)| *upstream != name);
    let object = items_of(field).unwrap_or(field);
    (own && object.properties.is_some()).then_some(object)
}

/// Text that can stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
