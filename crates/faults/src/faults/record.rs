//! What the operator has requested in a run.

use std::collections::BTreeMap;

use super::Point;

/// How many requests a failure tells.
const LAST: usize = 8;

/// What was requested in a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// In the order in which it was asked for.
    pub requests: Vec<Point>,
    /// How often each object was made, by `resource/name`.
    pub created: BTreeMap<String, usize>,
    /// How often each object was deleted.
    pub deleted: BTreeMap<String, usize>,
    /// What must never be said, and was.
    pub forbidden: Vec<String>,
}

impl Record {
    /// The last requests, for whoever has to find out what went wrong.
    pub fn told(&self) -> String {
        let last = self.requests.iter().rev().take(LAST).rev().map(ToString::to_string);
        format!("{} requests, the last: {}", self.requests.len(), last.collect::<Vec<_>>().join(", "))
    }

    /// The API server has carried out a request of this class.
    pub(super) fn carried_out(&mut self, class: &str) {
        let Some((verb, object)) = class.split_once(' ') else { return };
        let counts = match verb {
            "create" => &mut self.created,
            "delete" => &mut self.deleted,
            _ => return,
        };
        *counts.entry(object.to_owned()).or_default() += 1;
    }
}
