//! A pod, its labels and its troubles.

use std::fmt;
use std::net::IpAddr;

use super::RedisNode;
use crate::ids::{HostName, ShardNumber, Uid, ZoneName};
use crate::words::counted;

/// A pod, and what its Redis node said.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The pod's unique id.
    pub uid: Uid,
    /// `status.podIP`.
    pub ip: Option<IpAddr>,
    /// The Kubernetes node it runs on.
    pub host: Option<HostName>,
    /// The zone of that node.
    pub zone: Option<ZoneName>,
    /// Condition `Ready` of the pod.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Label `controller-revision-hash`: the revision of the StatefulSet it was made from.
    pub revision: Option<String>,
    /// Labels `keyslot.dev/shard` and `keyslot.dev/role`.
    pub labels: MemberLabels,
    /// Why the pod does not run, in the words of Kubernetes.
    pub trouble: Option<PodTrouble>,
    /// What the Redis node in it said.
    pub redis: Result<RedisNode, Unreachable>,
}

/// The labels that the operator keeps on pods for budgets, selectors and people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberLabels {
    /// `keyslot.dev/shard`.
    pub shard: Option<ShardNumber>,
    /// `keyslot.dev/role`.
    pub role: Option<RoleLabel>,
}

/// The value of label `keyslot.dev/role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleLabel {
    /// The node is the primary of its shard.
    Primary,
    /// The node is a replica.
    Replica,
}

impl RoleLabel {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodTrouble {
    /// The scheduler found no place; its message.
    Unschedulable(String),
    /// The image can't be had; the kubelet's message.
    ImagePull(String),
    /// The container ends again and again; reason or exit code of the last end, and how often it was restarted.
    CrashLoop {
        /// Reason, exit code and message of the last end.
        last: String,
        /// Number of restarts.
        restarts: u32,
    },
    /// The server ends again and again because it refuses a line of its configuration.
    ConfigRefused {
        /// The directive with its value, as the server shows it.
        line: String,
        /// Why, in the server's words.
        why: String,
    },
    /// The container was not made (a missing mount, a bad security context): the kubelet's message.
    CannotStart(String),
}

impl fmt::Display for PodTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable(words) => write!(f, "no host can take the pod: {words}"),
            Self::ImagePull(words) => write!(f, "its image can't be had: {words}"),
            Self::CrashLoop { last, restarts } => {
                write!(f, "its container ended {}: {last}", counted(*restarts as usize, "time"))
            }
            Self::ConfigRefused { line, why } => {
                write!(f, "its server refuses to start with the setting {line}: {why}")
            }
            Self::CannotStart(words) => write!(f, "its container can't be started: {words}"),
        }
    }
}

/// Why nothing is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The pod has no address yet.
    NoAddress,
    /// The operator's own password is not there: nobody was asked.
    NoPassword,
    /// Nobody listens there.
    Refused,
    /// No answer within the deadline.
    TimedOut,
    /// It answers `LOADING`: it reads its data file.
    Loading,
    /// It refuses the operator's password.
    AuthenticationFailed,
    /// What it answers is longer than any answer may be: somebody gave its users rules without end.
    AnswerTooLong,
    /// Anything else, in words that carry no secret.
    Other(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("the pod has no address yet"),
            Self::NoPassword => f.write_str("the operator has no password to log in with"),
            Self::Refused => f.write_str("nothing listens on port 6379 yet"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Loading => f.write_str("it is loading its data file"),
            Self::AuthenticationFailed => f.write_str("it refuses the operator's password"),
            Self::AnswerTooLong => f.write_str("its answer is too long to be read"),
            Self::Other(words) => f.write_str(words),
        }
    }
}
