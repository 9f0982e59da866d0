//! Replies to types. Total: no text makes these functions panic. Strict: what does not look as measured on real servers
//! is an error and never a guess, because slots, roles and users are decided from it.

mod acl;
mod config;
mod info;
mod nodes;

pub use acl::{live_user, user_names};
pub use config::{bytes, configuration, milliseconds};
pub use info::{Fields, engine};
pub use nodes::{Myself, NodesTable, OpenSlots, nodes_table};

/// A reply that is not what every known server version writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reply}: {problem}")]
pub struct Malformed {
    /// Which reply, e.g. `CLUSTER NODES`.
    pub reply: &'static str,
    /// What is wrong with it, in words that carry no secret.
    pub problem: String,
}

impl Malformed {
    pub(crate) fn new(reply: &'static str, problem: impl Into<String>) -> Self {
        Self { reply, problem: problem.into() }
    }
}

/// The beginning of a text that a server sent, fit for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_default).collect()
}
