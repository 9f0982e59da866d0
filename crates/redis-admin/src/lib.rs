//! How to talk to single Redis nodes.
//!
//! Owns: connections, the arguments of commands, the parsing of replies, what an error reply means. Never decides what
//! should be said: a [`RedisCommand`] comes in, an answer goes out. The only crate that knows the `redis` crate.
//!
//! The operator talks to nodes through one seam, [`NodeClient`], implemented by [`NodeConnections`] and, in tests, by
//! pretend nodes and by layers that inject faults. All of it is plain data.
//!
//! What is said here is all that the operator's user is allowed ([`keyslot_planner::system_users`]); a test compares. No
//! keys, no channels, no HELLO, no `CLIENT SETINFO`.
#![deny(missing_docs)]

use std::net::IpAddr;
use std::time::Duration;

use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::observed::{NodeSettings, RedisNode, Unreachable};

mod client;
pub mod command;
mod connect;
mod error;
pub mod execute;
mod limited;
pub mod observe;
pub mod parse;
pub mod reply;
#[cfg(test)]
mod rights;
mod watch;

pub use client::NodeConnections;
pub use connect::Credentials;
pub use error::{CommandError, Refusal, unreachable_reason};
pub use observe::Trials;
pub use watch::{NodeEvent, Watch};

/// Everything the operator does with Redis nodes. Nodes are reached at the pinned port 6379 of an address.
///
/// Metrics need no hook: commands have [`RedisCommand::kind`], failures [`CommandError::reason`] and
/// [`unreachable_reason`].
pub trait NodeClient: Send + Sync + 'static {
    /// Looks at the topology as one node sees it, in one round trip. Ends within `limit`.
    fn observe(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        limit: Duration,
    ) -> impl Future<Output = Result<RedisNode, Unreachable>> + Send;

    /// Looks at the users and the live settings `config` of one node, and tries `look.trials` there, in two round
    /// trips. Ends within `limit`.
    fn observe_settings(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
        look: &SettingsLook,
        limit: Duration,
    ) -> impl Future<Output = Result<NodeSettings, Unreachable>> + Send;

    /// Says one command to the node `on`, once it is known that this very node answers there.
    fn execute(
        &self,
        on: &Target,
        credentials: &Credentials,
        command: &RedisCommand,
    ) -> impl Future<Output = Result<(), CommandError>> + Send;

    /// Begins to watch the process behind an address.
    fn watch(&self, ip: IpAddr, credentials: &Credentials) -> Watch;
}

/// What a look at the settings of a node asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsLook {
    /// Rules that the node is asked about on disabled scratch users.
    pub trials: Trials,
    /// Names for `CONFIG GET`.
    pub config: Vec<&'static str>,
}
