//! The settings loop: users and live configuration of one node, independent of topology and of every other node.

use std::collections::BTreeMap;

use crate::acl::{AclToken, UserRules};
use crate::command::RedisCommand;
use crate::desired::Desired;
use crate::ids::PodName;
use crate::observed::{FilesSeen, NodeSettings, Unreachable};
use crate::plan::KubeOperation;

/// Prefix of the disabled users on which rules are tried; they exist only during a trial.
pub const SCRATCH_PREFIX: &str = "keyslot-scratch-";

/// The configuration that the operator keeps live, as `CONFIG GET` names.
pub const LIVE_CONFIG: [&str; 2] = ["cluster-node-timeout", "maxmemory"];

/// What the settings loop found and did, for status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsReport {
    /// Every pod with its last look.
    pub nodes: BTreeMap<PodName, Result<NodeReport, Unreachable>>,
    /// Why `users.acl` is not what it should be; `None` when it is.
    pub file_problem: Option<String>,
}

/// What one node has in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// For each wanted user: in force, or the server's words of refusal, or not yet.
    pub users: BTreeMap<String, UserState>,
    /// Live settings that differ, as `name: has x, wants y`.
    pub config_differences: Vec<String>,
}

/// How far a user has come on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserState {
    /// Rules and passwords read back as wanted.
    Applied,
    /// Not yet as wanted.
    Pending,
    /// The server refuses the rules, in its words.
    Refused(String),
}

/// The permissions that each node is asked about before anything is set: tokens for a disabled scratch user.
pub fn trials(_desired: &Desired) -> BTreeMap<String, Vec<AclToken>> {
    BTreeMap::new()
}

/// What must be said to a node so that its users and live configuration are as wanted; empty when they are.
/// `let_in` is false until the cluster has formed: until then only the system's users exist and the node-timeout is
/// forming's own business.
pub fn settings_for(_desired: &Desired, _node: &NodeSettings, _let_in: bool) -> Vec<RedisCommand> {
    Vec::new()
}

/// What a node has in force, judged from an observation made after its commands.
pub fn node_report(_desired: &Desired, _node: &NodeSettings, _let_in: bool) -> NodeReport {
    NodeReport::default()
}

/// The operation that brings `users.acl` up to date, if it is not. Only lines that a node of every running version has
/// accepted get in; for others the text that the file has stays.
pub fn users_file(_desired: &Desired, _file: &FilesSeen, _nodes: &[NodeSettings], _let_in: bool) -> Option<KubeOperation> {
    None
}

/// Keeps the type in use until the bodies are written.
pub type WantedUsers = BTreeMap<String, UserRules>;
