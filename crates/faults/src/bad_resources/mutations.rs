//! Wrong values for every field that the schema of the resource has.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

/// Longer than any limit of the schema.
const HUGE: usize = 20_000;

/// A wrong value for a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// JSON pointer below `spec`.
    pub field: String,
    /// What is put there; nothing takes the field away.
    pub value: Option<Value>,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => write!(f, "without spec{}", self.field),
            Some(Value::String(text)) if text.len() > 40 => {
                write!(f, "spec{}: {} letters", self.field, text.len())
            }
            Some(value) => write!(f, "spec{}: {value}", self.field),
        }
    }
}

impl Mutation {
    /// Changes a spec. What a field is in and the spec has not is made around it. `None` when that is impossible.
    pub fn put(&self, spec: &mut Value) -> Option<()> {
        let keys: Vec<String> = self.field.split('/').skip(1).map(unescaped).collect();
        let (last, parents) = keys.split_last()?;
        let mut at = spec;
        for key in parents {
            at = entry(at, key)?;
        }
        match (&self.value, at) {
            (Some(value), at) => *entry(at, last)? = value.clone(),
            (None, Value::Object(fields)) => drop(fields.remove(last)?),
            (None, Value::Array(items)) => drop(items.remove(last.parse().ok()?)),
            (None, _) => return None,
        }
        Some(())
    }

    /// Whether these words name the field, or what it is directly in, as rules over several fields do. Where more had to be
    /// made around it, that may be what is wrong.
    pub fn is_named(&self, words: &str, good: &Value) -> bool {
        let keys: Vec<&str> = self.field.split('/').skip(1).collect();
        let path = |length: usize| format!("/{}", keys[..length].join("/"));
        let is_made = |length: usize| good.pointer(&path(length)).is_none();
        let names = (1..=keys.len()).filter(|length| length + 2 > keys.len() || is_made(*length));
        let mut names = names.map(|length| unescaped(keys[length - 1]));
        names.any(|name| name.parse::<usize>().is_err() && words.contains(&name))
    }
}

/// The field of an object or the item of a list, made if it is not there; whether it is one or the other tells the key.
fn entry<'a>(at: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let number = key.parse::<usize>().ok();
    if at.is_null() {
        *at = if number.is_some() { json!([]) } else { json!({}) };
    }
    match (at, number) {
        (Value::Array(items), Some(number)) => {
            if items.len() == number {
                items.push(Value::Null);
            }
            items.get_mut(number)
        }
        (Value::Object(fields), _) => Some(fields.entry(key).or_insert(Value::Null)),
        _ => None,
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

/// All mutations of a good spec, in an order chosen by the seed.
pub fn all(good: &Value, seed: u64) -> Option<Vec<Mutation>> {
    let definition = keyslot_api::crd();
    let version = definition.spec.versions.first()?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?.properties.as_ref()?.get("spec")?;
    let mut all = Vec::new();
    fields("", schema, Some(good), &mut all);
    all.shuffle(&mut SmallRng::seed_from_u64(seed));
    Some(all)
}

fn fields(path: &str, schema: &JSONSchemaProps, good: Option<&Value>, all: &mut Vec<Mutation>) {
    if !path.is_empty() {
        let with = |value| Mutation { field: path.to_owned(), value };
        all.extend(good.map(|_| with(None)));
        let wrong = wrong_values(schema, good).into_iter().filter(|value| Some(value) != good);
        all.extend(wrong.map(|value| with(Some(value))));
    }
    for (key, below) in schema.properties.iter().flatten() {
        let good = good.and_then(|good| good.get(key));
        fields(&format!("{path}/{}", escaped(key)), below, good, all);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        fields(&format!("{path}/0"), item, good.and_then(|good| good.get(0)), all);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
        let there = good.and_then(Value::as_object).into_iter().flatten();
        let keys: Vec<&str> = there.map(|(key, _)| key.as_str()).chain(["not-there-before"]).collect();
        for key in keys {
            let good = good.and_then(|good| good.get(key));
            fields(&format!("{path}/{}", escaped(key)), value, good, all);
        }
    }
}

fn wrong_values(schema: &JSONSchemaProps, good: Option<&Value>) -> Vec<Value> {
    match schema.type_.as_deref() {
        Some("object") => vec![Value::Null, json!({}), json!("text"), json!([])],
        Some("array") => vec![Value::Null, json!([]), json!({}), json!([null])],
        Some("integer" | "number") => {
            vec![json!(null), json!(0), json!(-1), json!(i64::MAX), json!("3"), json!(1.5)]
        }
        Some("boolean") => {
            let other = !good.and_then(Value::as_bool).unwrap_or_default();
            vec![json!(null), json!(other), json!("true"), json!(1)]
        }
        // A string, or a quantity, which may be a number too.
        _ => vec![
            json!(null),
            json!(""),
            json!("nonsense-7"),
            json!("x".repeat(HUGE)),
            json!("two words\nand a line"),
            json!(7),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::every_field;

    #[test]
    fn every_field_of_the_schema_gets_wrong_values_and_each_changes_the_spec() {
        let good = serde_json::to_value(every_field().unwrap()).unwrap();
        let all = all(&good, 1).unwrap();
        let is_field = |one: &&Mutation| one.field.matches('/').count() == 1 && one.value.is_some();
        for field in all.iter().filter(is_field).map(|one| one.field.as_str()) {
            // The place of the pods is chosen by whoever applies it; pausing would make the rest wait.
            let there = good.pointer(field).is_some() || ["/nodeSelector", "/paused"].contains(&field);
            assert!(there, "{field} has no value in a cluster that should have every field");
        }
        for field in [
            "/shards",
            "/users",
            "/users/0",
            "/users/0/name",
            "/users/0/secretName",
            "/config/not-there-before",
            "/podAnnotations/example.com~1note",
            "/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey",
        ] {
            assert!(all.iter().any(|one| one.field == field && one.value.is_some()), "{field}");
        }
        for mutation in all {
            let mut changed = good.clone();
            mutation.put(&mut changed).unwrap();
            assert_ne!(changed, good, "{mutation:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_or_what_it_is_in() {
        let good = json!({ "users": [{ "name": "app", "rotation": { "interval": "1h" } }] });
        let named = |field: &str, words: &str| {
            Mutation { field: field.to_owned(), value: None }.is_named(words, &good)
        };
        assert!(named("/users/0/rotation/interval", "spec.users[0].rotation: wrong"));
        assert!(named("/users/0/name", "spec.users[0].name: wrong"));
        assert!(!named("/users/0/rotation/interval", "spec.users: wrong"), "which one?");
        assert!(named("/storage/data/size", "spec.storage.class: missing"), "made around it");
    }

    #[test]
    fn what_a_field_is_in_is_made_around_it() {
        let mut spec = json!({});
        let field = "/users/0/passwords/0/sha256".to_owned();
        Mutation { field, value: Some(json!(7)) }.put(&mut spec).unwrap();
        assert_eq!(spec, json!({ "users": [{ "passwords": [{ "sha256": 7 }] }] }));
    }
}
