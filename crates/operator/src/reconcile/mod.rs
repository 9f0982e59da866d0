//! The pipeline of a pass, one file per step that talks to the world. What is decided between them is the planner's.

pub mod absences;
pub mod base_objects;
pub mod dereference;
pub mod execute;
pub mod locked_out;
pub mod newest;
pub mod observe;
pub mod passwords;
pub mod report;
pub mod settle_nodes;
pub mod system_secret;
pub mod user_secrets;

use crate::objects;

/// Why a pass did not get to its end: trouble with the world, not with the resource.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The watch has not shown the newest version of the resource yet.
    #[error("the watch's copy of the resource is older than the API server's")]
    OldCopy,
    /// Reading what the resource refers to.
    #[error("reading what the resource refers to: {0}")]
    Dereference(#[source] objects::Error),
    /// Making passwords.
    #[error("making passwords: {0}")]
    Passwords(#[source] objects::Error),
    /// Looking at the cluster.
    #[error("looking at the cluster: {0}")]
    Observe(#[source] objects::Error),
    /// An operation of the plan.
    #[error("{operation}: {error}")]
    Operation {
        /// Which one, in words.
        operation: String,
        /// What came back, in words that carry no secret.
        error: String,
        /// A word of a closed list.
        reason: &'static str,
    },
    /// Writing the Secrets of users.
    #[error("writing the Secrets of users: {0}")]
    UserSecrets(#[source] objects::Error),
    /// Writing the status.
    #[error("writing the status: {0}")]
    Report(#[source] objects::Error),
    /// The pass took longer than a pass may.
    #[error("the pass took too long")]
    TimedOut,
    /// The leader's claim has ended.
    #[error("this process may not act any more")]
    NotLeader,
}

impl Error {
    /// A word of a closed list, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Dereference(source)
            | Self::Passwords(source)
            | Self::Observe(source)
            | Self::UserSecrets(source)
            | Self::Report(source) => source.reason(),
            Self::Operation { reason, .. } => reason,
            Self::OldCopy => "OldCopy",
            Self::TimedOut => "TimedOut",
            Self::NotLeader => "NotLeader",
        }
    }
}
