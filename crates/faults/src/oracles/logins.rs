//! Who must be let in, and the users that a node must have: no more, no less, as in the file that it starts from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::v1alpha1::{RedisCluster, User};
use keyslot_planner::system_users::RESERVED_PREFIX;
use kube::ResourceExt;

use super::rules::{as_a_server_reads, rules_of};
use crate::faults::given;
use crate::scene::NAME;

/// What Kubernetes' Secrets promise.
pub struct Logins {
    /// The operator's password.
    pub operator: String,
    /// Users and passwords that let somebody in.
    pub valid: Vec<(String, String)>,
}

impl Logins {
    /// Of all Secrets of the namespace.
    pub fn of(cluster: &RedisCluster, secrets: &[Secret]) -> Result<Self> {
        let text = |secret: &Secret, key: &str| {
            let value = secret.data.as_ref()?.get(key)?;
            String::from_utf8(value.0.clone()).ok()
        };
        let system = secrets.iter().find(|secret| secret.name_any() == format!("{NAME}-system"));
        let system = |key: &str| {
            let found = system.and_then(|secret| text(secret, key));
            found.with_context(|| format!("no {key} in the system Secret"))
        };
        let mut valid: Vec<(String, String)> = cluster
            .spec
            .users
            .iter()
            .filter(|user| user.enabled)
            .filter_map(|user| {
                let own = |secret: &&Secret| text(secret, "username").as_ref() == Some(&user.name);
                Some((user.name.clone(), text(secrets.iter().find(own)?, "password")?))
            })
            .collect();
        for user in ["probe", "replication"] {
            valid.push((format!("keyslot-{user}"), system(&format!("{user}-password"))?));
        }
        Ok(Self { operator: system("operator-password")?, valid })
    }
}

/// The file gives users what the resource gives them, no more and no less.
pub fn file_gives(file: &str, users: &[User]) -> Result<()> {
    let is_of_person = |name: &str| {
        !name.starts_with(RESERVED_PREFIX)
            && (name != "default" || users.iter().any(|user| user.name == name))
    };
    let lines = file.lines().filter_map(|line| line.strip_prefix("user ")?.split_once(' '));
    let permissions =
        |words: &str| words.split(' ').filter(|word| !word.starts_with('#')).collect::<Vec<_>>().join(" ");
    let found: BTreeMap<&str, String> = lines
        .filter(|(name, _)| is_of_person(name))
        .map(|(name, words)| (name, permissions(words)))
        .collect();
    let wanted = users.iter().filter_map(|user| Some((user.name.as_str(), given(users, &user.name)?)));
    let wanted = wanted.map(|(name, words)| (name, words.into_iter().skip(1).collect::<Vec<_>>().join(" ")));
    let wanted: BTreeMap<&str, String> = wanted.collect();
    ensure!(found == wanted, "the file gives {found:?}, and the resource {wanted:?}");
    Ok(())
}

/// A node has exactly the users of the file, with their passwords and with the rules that a server reads from it.
pub fn users_are(file: &str, list: &BTreeSet<String>) -> Result<()> {
    let lines = lines_of_users(file);
    let (wanted, found) = (passwords(&lines), passwords(list));
    ensure!(found == wanted, "they are {found:?}, and in the file {wanted:?}");
    let (wanted, found) = (as_a_server_reads(file)?, rules_of(list));
    let differ: Vec<&String> = found.symmetric_difference(&wanted).collect();
    ensure!(differ.is_empty(), "their rules are not those of the file: {differ:?}");
    Ok(())
}

/// Name, whether it is switched on, and hashes of each user.
fn passwords(lines: &BTreeSet<String>) -> BTreeSet<Vec<&str>> {
    let of = |line: &'_ str| -> bool { line.starts_with('#') || line == "on" };
    lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ').skip(1);
            let name = words.next().into_iter();
            name.chain(words.filter(|word| of(word))).collect()
        })
        .collect()
}

/// Lines that start with `user`, of a file or of an answer as on the wire, in an order that is always the same: Redis
/// shows passwords as they were set, and subcommands as its hash tables have them, which each process seeds by itself.
/// `sanitize-payload` is the default.
pub fn lines_of_users(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with("user "));
    let in_order = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').filter(|word| *word != "sanitize-payload").collect();
        // The first two are `user` and its name.
        words[2..].sort_unstable();
        words.join(" ")
    };
    lines.map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::ledger;

    const LIST: &str = "*2\r\n$20\r\nuser default off resetchannels -@all\r\n$9\r\nuser app on #2 #1 ~* resetchannels -@all +get\r\n";
    const FILE: &str = "user default off -@all\nuser app on #1 #2 ~* +get\n";

    #[test]
    fn users_that_are_missing_additional_or_different_are_seen() {
        let list = lines_of_users(LIST);
        users_are(FILE, &list).unwrap();
        for wrong in [
            FILE.replace("+get", "+set"),
            FILE.replace("#1 #2", "#1"),
            FILE.replace("user app on", "user app off"),
            FILE.replace("user default off -@all\n", ""),
            format!("{FILE}user more on #3\n"),
        ] {
            assert!(users_are(&wrong, &list).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_gives_what_the_resource_gives() {
        let app = User {
            name: "app".to_owned(),
            rules: vec!["~*".to_owned(), "+get".to_owned()],
            ..ledger::user()
        };
        let own = "user keyslot-probe on #9 +ping\n";
        file_gives(&format!("{FILE}{own}"), std::slice::from_ref(&app)).unwrap();
        let off = User { enabled: false, ..app.clone() };
        file_gives("user default off -@all\nuser app off\n", std::slice::from_ref(&off)).unwrap();
        assert!(file_gives(FILE, &[off]).is_err(), "still on");
        assert!(file_gives(FILE, &[]).is_err(), "removed");
        let more = User { name: "more".to_owned(), ..app.clone() };
        assert!(file_gives(FILE, &[app.clone(), more]).is_err(), "added");
        let other = User { rules: vec!["~*".to_owned(), "+set".to_owned()], ..app };
        assert!(file_gives(FILE, &[other]).is_err(), "changed");
    }
}
