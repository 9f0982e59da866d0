//! Passwords that are replaced: when a new one is generated, and how long the one before stays valid.
//!
//! Nothing here is remembered but in Secret `<name>-system`: of each user the hashes of its present passwords by where
//! they come from, and of those that were replaced until when they are valid. A password is *replaced* when its entry is
//! still there and has another value; the entry that is removed from the list ends at once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::conditions::Reason;
use keyslot_api::v1alpha1::{RedisCluster, Rotation, SecretKeyRef, User};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Inputs, Problem, SystemMemory, passwords, system_rotation, users};
use crate::acl::PasswordHash;

/// Of one user: more replaced passwords than this are not kept, whatever their grace. Those that end first go first, but
/// never the one that the user's Secret tells.
const MOST_PREVIOUS: usize = 8;

/// Where a generated password comes from; other sources are `<secret>/<key>`.
const GENERATED: &str = "generated";

/// What has to be remembered of a user's passwords, besides a generated one itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PasswordHistory {
    /// Hash of each present password that can be replaced, by its source.
    present: BTreeMap<String, PasswordHash>,
    /// Passwords that were replaced and are still valid.
    previous: BTreeMap<PasswordHash, Replaced>,
    /// `rotation.trigger` as it was when the generated password was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    /// When the generated password was made, or seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Timestamp>,
}

/// A password that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Replaced {
    /// Where it came from: it ends with its entry.
    source: String,
    /// Since when it is replaced.
    #[serde(default)]
    since: Timestamp,
    /// Until when it is valid.
    until: Timestamp,
}

impl Replaced {
    /// A clock that was far ahead when it was written down must not hold it up. One that is a little behind now does not
    /// count, for it would make the grace shorter.
    fn begins_by(&mut self, now: Timestamp) {
        let lasts = self.until.duration_since(self.since);
        if self.since.duration_since(now) > lasts {
            self.until = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
            self.since = now;
        }
    }
}

impl PasswordHistory {
    /// What lets somebody in besides the passwords that can be read now: replaced ones, and what the entries had when they
    /// were stored here last. So nothing ends, and no grace is lost, before it is written down.
    pub(super) fn valid<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a PasswordHash> {
        let listed = listed(user);
        let is_listed = move |source: &String| listed.contains(source);
        let present = self.present.iter().filter(|(source, _)| *source != GENERATED);
        let replaced = self.previous.iter().map(|(hash, replaced)| (&replaced.source, hash));
        present.chain(replaced).filter(move |(source, _)| is_listed(source)).map(|(_, hash)| hash)
    }

    /// Whether it is remembered what an entry had.
    pub(super) fn knows(&self, at: &SecretKeyRef) -> bool {
        self.present.contains_key(&source(at))
    }

    /// Whether this is what an entry had when it was stored here last.
    pub(super) fn has(&self, at: &SecretKeyRef, hash: &PasswordHash) -> bool {
        self.present.get(&source(at)) == Some(hash)
    }

    /// Until when the last of them is valid.
    pub fn previous_until(&self) -> Option<Timestamp> {
        self.previous.values().map(|replaced| replaced.until).max()
    }

    /// When something ends or is made by the passing of time alone. What waits for the user's Secret, which tells `told`
    /// now, comes with the Secret and not with time.
    pub fn due(&self, user: &User, told: Option<&PasswordHash>) -> Option<Timestamp> {
        let ends = self.previous.values().map(|replaced| replaced.until).min().filter(|_| self.is_told(told));
        let made = self.next_rotation(user).filter(|_| user.enabled && self.is_generated_told(told));
        ends.into_iter().chain(made).min()
    }

    /// Whether the user's Secret tells a present password.
    fn is_told(&self, told: Option<&PasswordHash>) -> bool {
        told.is_some_and(|told| self.present.values().any(|present| present == told))
    }

    /// Whether it tells the generated one.
    fn is_generated_told(&self, told: Option<&PasswordHash>) -> bool {
        told.is_some() && told == self.present.get(GENERATED)
    }

    fn next_rotation(&self, user: &User) -> Option<Timestamp> {
        let interval = duration(user.rotation.as_ref()?.interval.as_deref()?)?;
        self.made?.checked_add(interval).ok()
    }

    /// Whether a new password is to be generated. A trigger that is taken away asks for nothing; a password that the
    /// user's Secret does not tell is not replaced by the next one, or in the end the one that was told last would not be
    /// valid.
    fn is_rotation_due(&self, user: &User, told: Option<&PasswordHash>, now: Timestamp) -> bool {
        let Some(rotation) = &user.rotation else { return false };
        let triggered = rotation.trigger.is_some() && rotation.trigger != self.trigger;
        let is_time = triggered || self.next_rotation(user).is_some_and(|due| due <= now);
        is_time && self.made.is_some() && self.is_generated_told(told)
    }

    /// A password was generated at this time, or is seen for the first time.
    fn generated(&mut self, user: &User, now: Timestamp) {
        self.made = Some(now);
        self.trigger = user.rotation.as_ref().and_then(|rotation| rotation.trigger.clone());
    }

    /// Somebody took the generated password away, for example because it has leaked, or one before it has: they are not
    /// replaced, they end.
    fn forget_generated(&mut self) {
        self.present.remove(GENERATED);
        self.previous.retain(|_, replaced| replaced.source != GENERATED);
    }

    /// Moves what was replaced to the previous ones, and takes away what has ended. What can't be read is as it was. `told`
    /// is what the user's Secret tells: it has to be the new password before the old one ends. A user that keeps what it
    /// has loses only entries that are listed no more.
    fn advance(
        &mut self,
        user: &User,
        (sources, keeps): (Sources, bool),
        told: Option<&PasswordHash>,
        now: Timestamp,
    ) {
        self.made = self.made.map(|made| if is_far_ahead(made, user, now) { now } else { made });
        self.previous.values_mut().for_each(|replaced| replaced.begins_by(now));
        // Nothing of somebody who is switched off is valid, so what comes next replaces nothing.
        let is_kept = |found: &Option<PasswordHash>| user.enabled || found.is_some();
        self.present
            .retain(|source, _| sources.iter().any(|(listed, found)| listed == source && is_kept(found)));
        self.previous.retain(|_, replaced| sources.iter().any(|(listed, _)| *listed == replaced.source));
        if keeps {
            // The nodes have what they had: a new password is valid nowhere, and a grace begins when it is.
            return;
        }
        let until = now.checked_add(grace(user)).unwrap_or(Timestamp::MAX);
        for (source, hash) in sources.into_iter().filter_map(|(source, found)| Some((source, found?))) {
            let replaced = self.present.insert(source.clone(), hash.clone()).filter(|before| *before != hash);
            self.previous.extend(replaced.map(|before| (before, Replaced { source, since: now, until })));
        }
        let is_told = self.is_told(told);
        let present = &self.present;
        self.previous.retain(|hash, replaced| {
            let lasts = user.enabled && (replaced.until > now || !is_told);
            lasts && !present.values().any(|valid| valid == hash)
        });
        while self.previous.len() > MOST_PREVIOUS {
            let ended = self.previous.iter().filter(|(hash, _)| Some(*hash) != told);
            let first = ended.min_by_key(|(_, replaced)| replaced.until).map(|(hash, _)| hash.clone());
            first.and_then(|hash| self.previous.remove(&hash));
        }
    }
}

/// The memory as it has to be before anything is brought in force: with every password that is needed, with new ones
/// for those that are to be rotated, and without what has ended. `None` when it is so already. `generate` makes a
/// password.
pub fn next_memory(
    cluster: &RedisCluster,
    inputs: &Inputs,
    now: Timestamp,
    mut generate: impl FnMut() -> SecretString,
) -> Option<SystemMemory> {
    let mut memory = SystemMemory { histories: BTreeMap::new(), ..inputs.system.clone() };
    let mut is_new = false;
    let mut generate = || {
        is_new = true;
        generate()
    };
    let is_rotated = system_rotation::advance(&mut memory, cluster, inputs, now, &mut generate);
    for user in cluster.spec.users.iter().filter(|user| users::name_problem(&user.name).is_none()) {
        if memory.histories.contains_key(&user.name) {
            // Listed twice: the first one counts.
            continue;
        }
        let mut history = inputs.system.histories.get(&user.name).cloned().unwrap_or_default();
        let told = inputs.told.get(&user.name);
        if user.passwords.is_empty() {
            let is_missing = !memory.user_passwords.contains_key(&user.name);
            if is_missing {
                history.forget_generated();
            }
            let is_due = is_missing || history.is_rotation_due(user, told, now);
            if is_due {
                memory.user_passwords.insert(user.name.clone(), generate());
            }
            if is_due || history.made.is_none() {
                history.generated(user, now);
            }
        }
        let generated = memory.user_passwords.get(&user.name).map(PasswordHash::of);
        let keeps = user.enabled && !user.passwords.is_empty() && passwords::resolve(user, inputs).is_err();
        history.advance(user, (sources(user, generated, inputs), keeps), told, now);
        memory.histories.insert(user.name.clone(), history);
    }
    memory.histories.retain(|_, history| *history != PasswordHistory::default());
    (is_new || is_rotated || memory.histories != inputs.system.histories).then_some(memory)
}

/// A user's passwords that can be replaced: each source, with the hash if it can be read.
type Sources = Vec<(String, Option<PasswordHash>)>;

fn sources(user: &User, generated: Option<PasswordHash>, inputs: &Inputs) -> Sources {
    if user.passwords.is_empty() {
        return vec![(GENERATED.to_owned(), generated)];
    }
    references(user)
        .map(|at| {
            let found = passwords::referenced(user, at, "", inputs).ok();
            (source(at), found.as_ref().map(PasswordHash::of))
        })
        .collect()
}

fn references(user: &User) -> impl Iterator<Item = &SecretKeyRef> {
    user.passwords.iter().filter_map(|password| password.secret_key_ref.as_ref())
}

/// The sources of a user's passwords that can be replaced.
fn listed(user: &User) -> Vec<String> {
    if user.passwords.is_empty() {
        vec![GENERATED.to_owned()]
    } else {
        references(user).map(source).collect()
    }
}

fn source(at: &SecretKeyRef) -> String {
    format!("{}/{}", at.name, at.key)
}

/// A clock that was far ahead when a password was made must not hold the next one up.
fn is_far_ahead(made: Timestamp, user: &User, now: Timestamp) -> bool {
    let interval = user.rotation.as_ref().and_then(|rotation| duration(rotation.interval.as_deref()?));
    interval.and_then(|interval| now.checked_add(interval).ok()).is_some_and(|limit| made > limit)
}

/// How long a replaced password of the user stays valid.
fn grace(user: &User) -> Duration {
    let period = |rotation: &Rotation| duration(&rotation.grace_period);
    user.rotation.as_ref().and_then(period).or_else(|| period(&Rotation::default())).unwrap_or_default()
}

/// `30s`, `90m` or `720h`.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = !digits.is_empty() && digits.len() <= 7 && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok())??;
    match unit {
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(60 * number)),
        "h" => Some(Duration::from_secs(3600 * number)),
        _ => None,
    }
}

/// What is wrong with `rotation`, if admission let it pass.
pub(super) fn problem(user: &User) -> Option<Problem> {
    let Rotation { interval, grace_period, .. } = user.rotation.as_ref()?;
    let wrong = |text: &String| duration(text).is_none();
    let field = match (interval.as_ref().is_some_and(wrong), wrong(grace_period)) {
        (true, _) => "interval",
        (false, true) => "gracePeriod",
        (false, false) => return None,
    };
    Some(Problem {
        reason: Reason::FieldRefused,
        field: format!("spec.users[{}].rotation.{field}", user.name),
        message: format!("of user {} is no time such as 30s, 90m or 720h: correct it", user.name),
    })
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
