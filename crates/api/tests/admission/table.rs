//! The table of `bad-input.yaml`. This file stands alone, so that the end-to-end tests can include it by
//! path and run the same rows against a real API server.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Resources that must be accepted or refused.
#[derive(Deserialize)]
pub struct Table {
    /// The good resource that every row changes.
    pub base: Value,
    /// Rows without `message`.
    pub accepted: Vec<Row>,
    /// Rows with `message`.
    pub refused: Vec<Row>,
}

/// One resource, or one update of a resource, as merge patches.
#[derive(Deserialize)]
pub struct Row {
    pub name: String,
    create: Option<Value>,
    before: Option<Value>,
    update: Option<Value>,
    /// A piece of what the API server must answer; only refused rows have one.
    #[serde(default)]
    pub message: String,
    /// Refused only with strict field validation.
    #[serde(default)]
    pub strict: bool,
    /// Can't be told without a real API server.
    #[serde(default)]
    pub server_only: bool,
}

/// What is sent to the API server.
pub enum Attempt {
    Create(Value),
    /// `old` is created first and must be accepted.
    Update {
        old: Value,
        new: Value,
    },
}

impl Table {
    pub fn load() -> Self {
        serde_saphyr::from_str(include_str!("../bad-input.yaml"))
            .expect("bad-input.yaml has the table's form")
    }
}

impl Row {
    pub fn attempt(&self, base: &Value) -> Attempt {
        let Some(update) = &self.update else {
            return Attempt::Create(merge(base, self.create.as_ref().expect("a row has create or update")));
        };
        let old = self.before.as_ref().map_or_else(|| base.clone(), |before| merge(base, before));
        let new = merge(&old, update);
        Attempt::Update { old, new }
    }
}

/// JSON merge patch (RFC 7386).
fn merge(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = target.as_object().cloned().unwrap_or_else(Map::new);
    for (key, change) in patch {
        if change.is_null() {
            merged.remove(key);
        } else {
            let old = merged.remove(key).unwrap_or(Value::Null);
            merged.insert(key.clone(), merge(&old, change));
        }
    }
    Value::Object(merged)
}
