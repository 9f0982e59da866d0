//! What a server makes of the rules in `users.acl`. A node that took the same rules by ACL SETUSER lists them alike,
//! whatever text they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use keyslot_testkit::redis_server::{RedisServers, ServerOptions};

use super::logins::lines_of_users;

/// The version of the servers of all flows.
const VERSION: &str = "redis-7.0";
/// Asks the server, and is in no file.
const ASKER: &str = "asks";

/// What was read before, by the lines that were read: most runs end with the same ones.
static READ: Mutex<BTreeMap<Vec<String>, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// The users of a file as a server that started from it lists them, without their passwords.
pub fn as_a_server_reads(file: &str) -> Result<BTreeSet<String>> {
    let lines: Vec<String> =
        file.lines().filter(|line| line.starts_with("user ")).map(without_passwords).collect();
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = read.get(&lines) {
        return Ok(known.clone());
    }
    let mut acl = lines.clone();
    acl.push(format!("user {ASKER} on nopass +acl|list"));
    let servers = RedisServers::start(VERSION, 1, &ServerOptions { acl: &acl, ..Default::default() })?;
    let list = servers[0].connect(Some((ASKER, "any")))?.ask(&["ACL", "LIST"])?;
    let mut users = rules_of(&lines_of_users(&list));
    users.retain(|line| !line.starts_with(&format!("user {ASKER} ")));
    read.insert(lines, users.clone());
    Ok(users)
}

/// The same lines without the hashes of passwords.
pub fn rules_of(lines: &BTreeSet<String>) -> BTreeSet<String> {
    lines.iter().map(|line| without_passwords(line)).collect()
}

fn without_passwords(line: &str) -> String {
    line.split(' ').filter(|word| !word.starts_with('#')).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_rules_as_what_they_mean() {
        let hash = "a".repeat(64);
        let read =
            |rules: &str| as_a_server_reads(&format!("user default off\nuser app on #{hash} {rules}\n"));
        let one = read("resetkeys ~app:* resetchannels -@all +get").unwrap();
        assert_eq!(one, read("~app:* +get").unwrap());
        assert_ne!(one, read("~app:* +set").unwrap());
        assert_eq!(one.len(), 2, "{one:?}");
    }
}
