//! From `spec.users` to rules that can be said to a server and written into a file.

use std::collections::{BTreeMap, BTreeSet};

use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::User;
use secrecy::SecretString;

use super::passwords::{self, Passwords};
use super::{Inputs, Part, Problem};
use crate::acl::{AclToken, UserRules};
use crate::manifests::names;
use crate::system_users;

/// All that follows from `spec.users`.
#[derive(Default)]
pub(super) struct Users {
    pub(super) parts: BTreeMap<String, Part<UserRules>>,
    pub(super) passwords: BTreeMap<String, SecretString>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) unread: Vec<Problem>,
    pub(super) problems: Vec<Problem>,
}

/// Every user on its own: what is wrong with one changes nothing for another.
pub(super) fn users(cluster: &str, specs: &[User], inputs: &Inputs) -> Users {
    let mut all = Users::default();
    for user in specs {
        // A name that can't be trusted must not become a key: keys are written into files and commands.
        if let Some(problem) = name_problem(&user.name) {
            all.problems.push(problem);
            continue;
        }
        if all.parts.contains_key(&user.name) {
            all.problems.push(Problem {
                reason: Reason::FieldRefused,
                field: field(user, "name"),
                message: format!(
                    "user {} is listed twice: the first one counts, remove the other",
                    user.name
                ),
            });
            continue;
        }
        let part = match part(user, inputs) {
            Ok((rules, passwords)) => {
                if let Some(plaintext) = passwords.plaintext {
                    all.passwords.insert(user.name.clone(), plaintext);
                }
                all.unread.extend(passwords.problem);
                Part::Wanted(UserRules { passwords: passwords.hashes, ..rules })
            }
            Err(problem) => Part::KeepLast(problem),
        };
        all.parts.insert(user.name.clone(), part);
        if user.passwords.is_empty()
            || user.passwords.iter().any(|password| password.secret_key_ref.is_some())
        {
            match secret_name(cluster, user, &all.secrets, inputs) {
                Ok(name) => drop(all.secrets.insert(user.name.clone(), name)),
                Err(problem) => all.problems.push(problem),
            }
        }
    }
    all.parts.entry("default".to_owned()).or_insert_with(|| Part::Wanted(system_users::off()));
    all
}

/// The rules of a user, and its passwords. Whoever is switched off keeps neither: it takes effect whatever else is wrong
/// with the user, and connections that stay may do nothing any more.
fn part(user: &User, inputs: &Inputs) -> Result<(UserRules, Passwords), Problem> {
    if !user.enabled {
        return Ok((system_users::off(), Passwords::default()));
    }
    Ok((rules(user)?, passwords::resolve(user, inputs)?))
}

/// What is wrong with a user's name. The text itself is shown escaped.
pub(super) fn name_problem(name: &str) -> Option<Problem> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let message = if name.is_empty() || name.len() > 63 || !name.bytes().all(allowed) {
        "is not the name of a user: use 1 to 63 lower case letters, digits, . _ and -"
    } else if name.starts_with(system_users::RESERVED_PREFIX) {
        "is the name of one of Keyslot's own users: choose another name"
    } else {
        return None;
    };
    let shown = name.escape_default();
    Some(Problem {
        reason: Reason::FieldRefused,
        field: format!("spec.users[{shown}].name"),
        message: format!("{shown} {message}"),
    })
}

/// Rules and selectors, without passwords. What can't be used is never repeated in the message: people put passwords
/// among the rules.
fn rules(user: &User) -> Result<UserRules, Problem> {
    let parsed = |texts: &[String], at: &str| {
        texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                rule(text).map_err(|why| Problem {
                    reason: Reason::FieldRefused,
                    field: field(user, &format!("{at}[{index}]")),
                    message: format!("rule {index} of {at} of user {} {why}", user.name),
                })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let selectors = user.selectors.iter().enumerate();
    Ok(UserRules {
        enabled: user.enabled,
        passwords: BTreeSet::new(),
        rules: parsed(&user.rules, "rules")?,
        selectors: selectors
            .map(|(index, selector)| parsed(&selector.rules, &format!("selectors[{index}].rules")))
            .collect::<Result<_, _>>()?,
    })
}

fn rule(text: &str) -> Result<AclToken, &'static str> {
    let word = text.to_ascii_lowercase();
    if word.starts_with(['>', '<', '#', '!']) || word == "nopass" {
        return Err(
            "is about passwords: use spec.users[].passwords; a user without password is not possible",
        );
    }
    if matches!(word.as_str(), "on" | "off") {
        return Err("is on or off: use spec.users[].enabled");
    }
    if word.starts_with("reset") || word == "clearselectors" {
        return Err("takes back other rules: remove it, a user starts with no permission at all");
    }
    AclToken::parse(text).map_err(|_| {
        "is not one rule: use printable ASCII without spaces, quotes, backslashes and parentheses, at most 512 \
         characters (for parentheses, spec.users[].selectors)"
    })
}

/// The name of a user's Secret, when no other object that we know of has it.
fn secret_name(
    cluster: &str,
    user: &User,
    taken: &BTreeMap<String, String>,
    inputs: &Inputs,
) -> Result<String, Problem> {
    let name = user.secret_name.clone().unwrap_or_else(|| names::user_secret(cluster, &user.name));
    let problem = |reason, message: String| Problem { reason, field: field(user, "secretName"), message };
    if !names::is_dns_subdomain(&name) {
        let shown = name.escape_default();
        return Err(problem(
            Reason::ResourceConflict,
            format!("{shown} can't be the name of a Secret for user {}: set another secretName", user.name),
        ));
    }
    if let Some((other, _)) = taken.iter().find(|(_, secret)| **secret == name) {
        return Err(problem(
            Reason::ResourceConflict,
            format!("Secret {name} is already user {other}'s: set another secretName for user {}", user.name),
        ));
    }
    let own = [names::system(cluster), names::acl(cluster)].contains(&name);
    if own || inputs.foreign_objects.contains(&format!("Secret/{name}")) {
        return Err(problem(
            Reason::ResourceConflict,
            format!(
                "Secret {name} for user {} exists and has another purpose; it is not touched: set another secretName",
                user.name
            ),
        ));
    }
    Ok(name)
}

fn field(user: &User, part: &str) -> String {
    format!("spec.users[{}].{part}", user.name)
}
