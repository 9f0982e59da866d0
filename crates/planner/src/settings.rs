//! The settings loop: users and live configuration of one node, independent of topology and of every other node.
//!
//! Order on each node: the wanted permissions are tried on a disabled scratch user; what the server accepts is set on
//! the real user when it differs; what the server refuses leaves the user as it was. A line gets into `users.acl` only
//! when a node of every running version has accepted it: a server refuses to start on a line that it does not know.

mod users_file;

use std::collections::{BTreeMap, BTreeSet};

use crate::acl::{AclToken, LiveUser, Password, PasswordHash, UserRules};
use crate::command::RedisCommand;
use crate::desired::{Desired, Part, SystemHashes};
use crate::ids::{PodName, RunId};
use crate::observed::{NodeSettings, Unreachable};
use crate::system_users::{OPERATOR, PROBE, REPLICATION};

pub use users_file::users_file;

/// Prefix of the disabled users on which rules are tried; they exist only during a trial.
pub const SCRATCH_PREFIX: &str = "keyslot-scratch-";

const NODE_TIMEOUT: &str = "cluster-node-timeout";
const MAXMEMORY: &str = "maxmemory";

/// The configuration that the operator keeps live, as `CONFIG GET` names it.
pub const LIVE_CONFIG: [&str; 2] = [NODE_TIMEOUT, MAXMEMORY];

/// All that the settings loop brings in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedSettings {
    users: BTreeMap<String, Part<UserRules>>,
    system: SystemHashes,
    config: BTreeMap<String, String>,
}

impl WantedSettings {
    /// What is wanted once the cluster has formed.
    pub fn of(desired: &Desired) -> Self {
        Self {
            users: desired.users.clone(),
            system: desired.system.system_hashes(),
            config: wanted_config(desired, true),
        }
    }
}

/// What the settings loop found and did, for status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsReport {
    /// What was brought in force. A change of anything else of the resource leaves the report true.
    pub wanted: WantedSettings,
    /// Every pod with its last look.
    pub nodes: BTreeMap<PodName, Result<NodeReport, Unreachable>>,
    /// Pods among them that gave no answer here although they answered the topology loop before.
    pub unread: BTreeSet<PodName>,
    /// Why `users.acl` is not what it should be; `None` when it is.
    pub file_problem: Option<String>,
    /// Why a Secret of a user is not what it should be; `None` when all are.
    pub secrets_problem: Option<String>,
}

impl SettingsReport {
    /// Whether it was this version of a user that was brought in force.
    pub fn is_about(&self, user: &str, desired: &Desired) -> bool {
        self.wanted.users.get(user) == desired.users.get(user)
    }

    /// Keyslot's own passwords, when every pod was looked at and has them all in force, and the file too.
    pub fn system_in_force(&self) -> Option<&SystemHashes> {
        let has_all = |node: &NodeReport| {
            [OPERATOR, PROBE, REPLICATION]
                .iter()
                .all(|user| node.users.get(*user) == Some(&UserState::Applied))
        };
        let everywhere = !self.nodes.is_empty() && self.nodes.values().all(|n| n.as_ref().is_ok_and(has_all));
        (everywhere && self.file_problem.is_none()).then_some(&self.wanted.system)
    }
}

/// What one node has in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The process that was looked at.
    pub run_id: RunId,
    /// For each wanted user, Keyslot's own among them: in force, or the server's words of refusal, or not yet.
    pub users: BTreeMap<String, UserState>,
    /// Users that are still there and that nobody wants: they could not be removed.
    pub strangers: Vec<String>,
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
    /// The server refuses the rules.
    Refused {
        /// In its words.
        words: String,
        /// Whether the user is there all the same, with the wanted passwords and no other.
        lets_in: bool,
    },
}

/// The permissions that each node is asked about before anything is set: tokens for a disabled scratch user, by the
/// name of the user that they are for.
pub fn trials(desired: &Desired) -> BTreeMap<String, Vec<AclToken>> {
    let users = wanted_users(desired).map(|(name, rules)| (name.to_owned(), rules.trial_tokens()));
    let system = desired.system_users.iter().map(|(name, rules)| (name.clone(), rules.trial_tokens()));
    users.chain(system).collect()
}

/// What must be said to a node so that its users and live configuration are as wanted; empty when they are.
/// `let_in` is false until the cluster has formed: until then only the system's users are looked after, and the
/// node-timeout is forming's own business.
pub fn settings_for(desired: &Desired, node: &NodeSettings, let_in: bool) -> Vec<RedisCommand> {
    let mut commands = Vec::new();
    let mut set = |name: &str, rules: &UserRules| {
        let tokens = match (state(node, name, rules), node.trials.get(name)) {
            (UserState::Pending, Some(Ok(_))) => Some(rules.setuser_tokens()),
            (UserState::Refused { .. }, _) => passwords_only(node.users.get(name), rules),
            (UserState::Applied | UserState::Pending, _) => None,
        };
        let end_sessions = node.users.get(name).is_some_and(|live| takes_access_away(live, rules));
        let name = name.to_owned();
        if name == OPERATOR && end_sessions && tokens.is_some() {
            commands.extend(rights_first(node, rules));
        }
        commands.extend(tokens.map(|tokens| RedisCommand::SetUser { name, tokens, end_sessions }));
    };
    for (name, rules) in system_users(desired) {
        set(name, rules);
    }
    if let_in {
        for (name, rules) in wanted_users(desired) {
            set(name, rules);
        }
        commands.extend(strangers(desired, node).map(RedisCommand::DeleteUser));
    }
    let replication = desired.system.passwords.replication.clone();
    let replication = replication.filter(|_| replicates_otherwise(desired, node)).map(Password);
    commands.extend(replication.map(RedisCommand::SetReplicationPassword));
    let differences: Vec<(String, String)> = wanted_config(desired, let_in)
        .into_iter()
        .filter(|(name, value)| node.config.get(name) != Some(value))
        .collect();
    if !differences.is_empty() {
        commands.push(RedisCommand::SetConfig(differences));
    }
    commands
}

/// The operator may have lost the right to end sessions, or to speak in transactions, as its own password is to be put
/// right: only it can give these back to itself.
fn rights_first(node: &NodeSettings, rules: &UserRules) -> Option<RedisCommand> {
    let (live, normal) = (node.users.get(OPERATOR)?, node.trials.get(OPERATOR)?.as_ref().ok()?);
    let passwords = rules.passwords.union(&live.passwords).cloned().collect();
    let tokens = UserRules { passwords, ..rules.clone() }.setuser_tokens();
    let differ = live.permissions != normal.permissions;
    differ.then(|| RedisCommand::SetUser { name: OPERATOR.to_owned(), tokens, end_sessions: false })
}

/// Passwords do not wait for rules that the server refuses: one that was removed ends at once.
fn passwords_only(live: Option<&LiveUser>, wanted: &UserRules) -> Option<Vec<AclToken>> {
    let differ = live.is_some_and(|live| live.nopass || live.passwords != wanted.passwords);
    differ.then(|| wanted.password_tokens())
}

/// Whether somebody who could log in can't any more: switched off, or by a password that is no longer one. A server asks
/// for it at the login only, and leaves open sessions as they are.
fn takes_access_away(live: &LiveUser, wanted: &UserRules) -> bool {
    (live.enabled && !wanted.enabled) || live.nopass || !live.passwords.is_subset(&wanted.passwords)
}

/// What a node has in force, judged from an observation made after its commands.
pub fn node_report(desired: &Desired, node: &NodeSettings, let_in: bool) -> NodeReport {
    let users = system_users(desired).chain(wanted_users(desired));
    let users = users.map(|(name, rules)| match state(node, name, rules) {
        UserState::Applied if name == REPLICATION && replicates_otherwise(desired, node) => {
            (name.to_owned(), UserState::Pending)
        }
        state => (name.to_owned(), state),
    });
    let users = users.collect();
    let difference = |(name, wanted): (String, String)| {
        let has = node.config.get(&name).map_or("nothing", String::as_str);
        (has != wanted).then(|| format!("{name}: has {has}, wants {wanted}"))
    };
    let config_differences = wanted_config(desired, let_in).into_iter().filter_map(difference).collect();
    let strangers = if let_in { strangers(desired, node).collect() } else { Vec::new() };
    NodeReport { run_id: node.run_id.clone(), users, strangers, config_differences }
}

/// Whether the node logs in to its primary with another password than the wanted one.
fn replicates_otherwise(desired: &Desired, node: &NodeSettings) -> bool {
    let wanted = desired.system.passwords.replication.as_ref().map(PasswordHash::of);
    wanted.is_some() && node.replication_password != wanted
}

/// Names of the users of a node that somebody changed there since `before`: the same process had them as the resource,
/// which is the same, wants them.
pub fn changed_by_hand(
    before: &SettingsReport,
    desired: &Desired,
    pod: &PodName,
    seen: &NodeSettings,
) -> Vec<String> {
    let Some(Ok(was)) = before.nodes.get(pod) else { return Vec::new() };
    if before.wanted != WantedSettings::of(desired) || was.run_id != seen.run_id {
        return Vec::new();
    }
    let is = node_report(desired, seen, true);
    let applied = |name: &String| was.users.get(name) == Some(&UserState::Applied);
    let changed = is.users.iter().filter(|(name, state)| **state == UserState::Pending && applied(name));
    let made = is.strangers.into_iter().filter(|name| !was.strangers.contains(name));
    let mut names: Vec<String> = changed.map(|(name, _)| name.clone()).chain(made).collect();
    names.sort_unstable();
    names
}

fn state(node: &NodeSettings, name: &str, rules: &UserRules) -> UserState {
    match node.trials.get(name) {
        Some(Err(words)) => {
            let lets_in = node.users.get(name).is_some_and(|live| lets_in_as_wanted(live, rules));
            UserState::Refused { words: words.clone(), lets_in }
        }
        Some(Ok(normal)) if node.users.get(name).is_some_and(|live| is_as_wanted(live, rules, normal)) => {
            UserState::Applied
        }
        Some(Ok(_)) | None => UserState::Pending,
    }
}

/// Compares with the server's own normal form of the wanted permissions: texts of other versions differ.
fn is_as_wanted(live: &LiveUser, rules: &UserRules, normal: &LiveUser) -> bool {
    lets_in_as_wanted(live, rules) && live.permissions == normal.permissions
}

fn lets_in_as_wanted(live: &LiveUser, rules: &UserRules) -> bool {
    live.enabled == rules.enabled && !live.nopass && live.passwords == rules.passwords
}

/// Keyslot's own. One whose password was lost here keeps what it has.
fn system_users(desired: &Desired) -> impl Iterator<Item = (&str, &UserRules)> {
    let known = desired.system_users.iter().filter(|(_, rules)| !rules.passwords.is_empty());
    known.map(|(name, rules)| (name.as_str(), rules))
}

fn wanted_users(desired: &Desired) -> impl Iterator<Item = (&str, &UserRules)> {
    desired.users.iter().filter_map(|(name, user)| match user {
        Part::Wanted(rules) => Some((name.as_str(), rules)),
        Part::KeepLast(_) => None,
    })
}

/// Users that nobody wants: removed from the resource, or made by hand.
fn strangers<'a>(desired: &'a Desired, node: &'a NodeSettings) -> impl Iterator<Item = String> + 'a {
    let known =
        |name: &&String| desired.users.contains_key(*name) || desired.system_users.contains_key(*name);
    node.users.keys().filter(move |name| !known(name) && name.as_str() != "default").cloned()
}

fn wanted_config(desired: &Desired, let_in: bool) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    if let_in {
        config.insert(NODE_TIMEOUT.to_owned(), desired.node_timeout.as_millis().to_string());
    }
    if let Some(bytes) = desired.maxmemory {
        config.insert(MAXMEMORY.to_owned(), bytes.to_string());
    }
    config
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
