//! From references to passwords.

use std::collections::BTreeSet;

use keyslot_api::conditions::Reason;
use keyslot_api::labels;
use keyslot_api::v1alpha1::{Password, SecretKeyRef, User};
use secrecy::{ExposeSecret, SecretString};

use super::{Inputs, Problem, rotation};
use crate::acl::PasswordHash;

/// A server reads no longer argument from a client that has not logged in, so a longer password could never be used.
const LONGEST_PASSWORD: usize = 16_000;

/// The valid passwords of a user.
#[derive(Default)]
pub(super) struct Passwords {
    /// Of all of them, replaced ones too.
    pub(super) hashes: BTreeSet<PasswordHash>,
    /// The first one that is no hash, unless it can't be read.
    pub(super) plaintext: Option<SecretString>,
    /// Why one can't be read: what it was stays valid.
    pub(super) problem: Option<Problem>,
}

/// Resolves all passwords of a user. One that can't be used, and that nobody remembers, makes the whole user keep what it
/// has: with the others alone, a password that clients use would end.
pub(super) fn resolve(user: &User, inputs: &Inputs) -> Result<Passwords, Problem> {
    if let Some(problem) = rotation::problem(user) {
        return Err(problem);
    }
    let history = inputs.system.histories.get(&user.name);
    let remembered = history.into_iter().flat_map(|history| history.valid(user));
    let mut found = Passwords { hashes: remembered.cloned().collect(), ..Passwords::default() };
    let mut first = None;
    if user.passwords.is_empty() {
        let generated = inputs.system.user_passwords.get(&user.name).ok_or_else(|| Problem {
            reason: Reason::AclNotApplied,
            field: format!("spec.users[{}].passwords", user.name),
            message: format!("the password of user {} has not been generated yet", user.name),
        })?;
        found.hashes.insert(PasswordHash::of(generated));
        found.plaintext = Some(generated.clone());
    }
    for (index, password) in user.passwords.iter().enumerate() {
        let field = format!("spec.users[{}].passwords[{index}]", user.name);
        match password {
            Password { secret_key_ref: Some(reference), sha256: None } => {
                let field = format!("{field}.secretKeyRef");
                let present = referenced(user, reference, &field, inputs)
                    .and_then(|found| stored(found, &field, (user, reference), inputs));
                let plaintext = match present {
                    Ok(plaintext) => Some(plaintext),
                    Err(problem) if history.is_some_and(|history| history.knows(reference)) => {
                        found.problem.get_or_insert(problem);
                        None
                    }
                    Err(problem) => return Err(problem),
                };
                found.hashes.extend(plaintext.as_ref().map(PasswordHash::of));
                first.get_or_insert(plaintext);
            }
            Password { secret_key_ref: None, sha256: Some(hash) } => {
                found.hashes.insert(PasswordHash::parse(hash).map_err(|_| Problem {
                    reason: Reason::FieldRefused,
                    field: format!("{field}.sha256"),
                    message: format!("of user {} is not 64 lower case hexadecimal digits", user.name),
                })?);
            }
            _ => {
                return Err(Problem {
                    reason: Reason::FieldRefused,
                    field,
                    message: format!(
                        "of user {} must have exactly one of secretKeyRef and sha256",
                        user.name
                    ),
                });
            }
        }
    }
    found.plaintext = found.plaintext.or(first.flatten());
    Ok(found)
}

/// A password, unless it replaces a known one and that can't be written down: the next one would end it without a grace.
/// What an entry has that is new itself is taken, for the entry may have replaced one that has leaked.
fn stored(
    password: SecretString,
    field: &str,
    (user, at): (&User, &SecretKeyRef),
    inputs: &Inputs,
) -> Result<SecretString, Problem> {
    let history = inputs.system.histories.get(&user.name);
    let hash = PasswordHash::of(&password);
    let is_replaced = history.is_some_and(|history| history.knows(at) && !history.has(at, &hash));
    let can_store = inputs.not_stored.is_none() && !super::is_system_secret_lost(inputs);
    if can_store || !is_replaced {
        return Ok(password);
    }
    Err(Problem {
        reason: Reason::AclNotApplied,
        field: field.to_owned(),
        message: format!(
            "the password of user {} in Secret {} is not in force: it can't be written down before (see condition Degraded)",
            user.name, at.name
        ),
    })
}

/// The password behind a reference, or what is wrong at `field`.
pub(super) fn referenced(
    user: &User,
    at: &SecretKeyRef,
    field: &str,
    inputs: &Inputs,
) -> Result<SecretString, Problem> {
    let SecretKeyRef { name, key } = at;
    let user = &user.name;
    let problem = |reason, message: String| Problem { reason, field: field.to_owned(), message };
    let secret = inputs.password_secrets.get(name).ok_or_else(|| {
        problem(
            Reason::SecretNotFound,
            format!("Secret {name}, password of user {user}, does not exist: create it"),
        )
    })?;
    if !secret.allowed {
        let consent = format!("{}={}", labels::USER_PASSWORD, labels::USER_PASSWORD_CONSENT);
        return Err(problem(
            Reason::SecretNotAllowed,
            format!(
                "Secret {name}, password of user {user}, lacks its owner's consent: kubectl label secret {name} {consent}"
            ),
        ));
    }
    let value = secret.values.get(key).ok_or_else(|| {
        problem(
            Reason::SecretKeyMissing,
            format!("Secret {name}, password of user {user}, has no text under the key {key}: add it"),
        )
    })?;
    let unusable = |what: &str| {
        problem(
            Reason::SecretUnusable,
            format!("key {key} of Secret {name}, password of user {user}, {what}"),
        )
    };
    let text = without_line_break(value.expose_secret());
    if text.is_empty() {
        return Err(unusable("is empty: store a password there"));
    }
    if text.len() > LONGEST_PASSWORD {
        return Err(unusable(
            "is longer than 16000 bytes, which no server takes at login: store a shorter one",
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(unusable("has control characters (more than one line?): store one line of text"));
    }
    Ok(SecretString::from(text))
}

/// One line break at the end is not part of a password: editors and `echo` put it there, and nobody can type it. There
/// is no least length: whoever moves here brings the passwords that clients have, and the Secret's owner answers for
/// them.
fn without_line_break(value: &str) -> &str {
    value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value)
}
