//! Keyslot's own users, each with the least rules that its work needs.
//!
//! Their rules stand in `users.acl` before any server was asked, and a server refuses to start on a rule that it does
//! not know. So every rule here is known to **every** supported version (Redis 7.0 to 8.6, Valkey 7.2 to 9.1), and a
//! rule that only newer versions know can't be added here.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::acl::{AclToken, PasswordHash, UserRules};
use crate::desired::SystemMemory;

/// Prefix of the names that no user of the resource may have.
pub const RESERVED_PREFIX: &str = "keyslot-";
/// The operator logs in as this user.
pub const OPERATOR: &str = "keyslot-operator";
/// Replicas log in to their primary as this user.
pub const REPLICATION: &str = "keyslot-replication";
/// The probes of the pod log in as this user.
pub const PROBE: &str = "keyslot-probe";

/// What `keyslot-redis-admin` says and nothing else; a test there compares. Subcommands one by one: `+cluster` would also
/// grant RESET, FLUSHSLOTS and whatever later versions bring. Keys, channels and data commands: none. AUTH needs no rule.
/// A trial of rules by ACL SETUSER on a scratch user needs no more than this.
const OPERATOR_RULES: &[&str] = &[
    "-@all",
    "+ping",
    "+info",
    "+dbsize",
    "+cluster|info",
    "+cluster|myid",
    "+cluster|nodes",
    "+cluster|meet",
    "+cluster|addslotsrange",
    "+cluster|replicate",
    "+cluster|forget",
    "+cluster|failover",
    "+cluster|set-config-epoch",
    "+client|kill",
    "+multi",
    "+exec",
    "+acl|users",
    "+acl|getuser",
    "+acl|setuser",
    "+acl|deluser",
    "+config|get",
    "+config|set",
];

/// SYNC grants nothing that PSYNC does not; Valkey's dual-channel replication can't do without.
const REPLICATION_RULES: &[&str] = &["-@all", "+ping", "+replconf", "+psync", "+sync"];

/// What `ready.sh` and the start guard ask.
const PROBE_RULES: &[&str] = &["-@all", "+ping", "+info", "+cluster|myid"];

/// The system's users with the passwords that `memory` has. One whose password is not there can't log in.
pub fn system_users(memory: &SystemMemory) -> BTreeMap<String, UserRules> {
    let (first, second) = (&memory.passwords, &memory.second_passwords);
    [
        (OPERATOR, OPERATOR_RULES, &first.operator, &second.operator),
        (PROBE, PROBE_RULES, &first.probe, &second.probe),
        (REPLICATION, REPLICATION_RULES, &first.replication, &second.replication),
    ]
    .into_iter()
    .map(|(name, rules, first, second)| {
        (name.to_owned(), system_user(rules, first.as_ref(), second.as_ref()))
    })
    .collect()
}

/// Without its first password a user has none here: then nobody knows what the nodes know.
fn system_user(rules: &[&str], first: Option<&SecretString>, second: Option<&SecretString>) -> UserRules {
    UserRules {
        enabled: true,
        passwords: first
            .into_iter()
            .flat_map(|first| [Some(first), second])
            .flatten()
            .map(PasswordHash::of)
            .collect(),
        rules: rules.iter().filter_map(|rule| AclToken::parse(rule).ok()).collect(),
        selectors: Vec::new(),
    }
}

/// A user that can't log in and may do nothing. `default` too needs such a line: a file without one would give everybody
/// everything.
pub fn off() -> UserRules {
    UserRules { enabled: false, passwords: BTreeSet::new(), rules: Vec::new(), selectors: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_a_system_user_is_a_token() {
        let users = system_users(&SystemMemory::default());
        for (name, rules) in
            [(OPERATOR, OPERATOR_RULES), (PROBE, PROBE_RULES), (REPLICATION, REPLICATION_RULES)]
        {
            let parsed: Vec<&str> = users[name].rules.iter().map(AclToken::as_str).collect();
            assert_eq!(parsed, rules, "{name}");
        }
    }

    #[test]
    fn the_documentation_lists_the_rules() {
        let page = include_str!("../../../docs/users.md");
        for (name, rules) in
            [(OPERATOR, OPERATOR_RULES), (PROBE, PROBE_RULES), (REPLICATION, REPLICATION_RULES)]
        {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
            let listed: BTreeSet<String> = row
                .split('`')
                .filter(|word| word.starts_with(['+', '-']))
                .map(|word| word.replace("\\|", "|"))
                .collect();
            assert_eq!(listed, rules.iter().map(|rule| (*rule).to_owned()).collect(), "{name}");
        }
    }

    #[test]
    fn a_system_user_without_password_can_not_log_in() {
        for (name, user) in system_users(&SystemMemory::default()) {
            assert!(user.passwords.is_empty(), "{name}");
            assert!(!user.file_line(&name).contains("nopass"), "{name}");
        }
    }
}
