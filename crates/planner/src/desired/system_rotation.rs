//! New passwords for Keyslot's own users. At no time does the operator, a probe or a replica use a password that some
//! node may not know:
//!
//! | stage | the second passwords are | it ends, a files' delay after … |
//! |---|---|---|
//! | announced | the next ones, used by nobody | every node and `users.acl` had both: they change places |
//! | in use | the previous ones | they changed places, when every replica logs in with the new one: the previous end |
//!
//! The delay is there because mounted files follow a change of their object late, and nobody can see when: until then a
//! container that starts again has the former ones.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use keyslot_api::labels::{ROTATE_ON_UPGRADE, ROTATE_SYSTEM};
use keyslot_api::v1alpha1::RedisCluster;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Inputs, SystemMemory, SystemPasswords};
use crate::acl::PasswordHash;

/// What has to be remembered of a rotation of Keyslot's own passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SystemRotation {
    /// What was asked for when the newest passwords were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// `None` while there is one password each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<Stage>,
}

/// How far a rotation has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The second passwords are the next ones; since when every node and the file have them.
    Announced(Option<Timestamp>),
    /// The second passwords are the previous ones, since then.
    InUse(Timestamp),
}

/// Hashes of Keyslot's own passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemHashes {
    valid: BTreeSet<PasswordHash>,
    /// What replicas log in with.
    replication: Option<PasswordHash>,
}

impl SystemPasswords {
    /// All three.
    pub fn all(&self) -> impl Iterator<Item = &SecretString> {
        [&self.operator, &self.replication, &self.probe].into_iter().flatten()
    }

    /// None is missing.
    pub fn is_complete(&self) -> bool {
        self.all().count() == 3
    }

    fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn complete(&mut self, mut generate: impl FnMut() -> SecretString) {
        for password in [&mut self.operator, &mut self.replication, &mut self.probe] {
            password.get_or_insert_with(&mut generate);
        }
    }
}

impl SystemMemory {
    /// What nodes and files are to have.
    pub fn system_hashes(&self) -> SystemHashes {
        let passwords = self.passwords.all().chain(self.second_passwords.all());
        SystemHashes {
            valid: passwords.map(PasswordHash::of).collect(),
            replication: self.passwords.replication.as_ref().map(PasswordHash::of),
        }
    }
}

impl SystemRotation {
    /// What people are told when it has come here from there.
    pub fn news(&self, from: &Self) -> Option<&'static str> {
        match (&from.stage, &self.stage) {
            (None, Some(Stage::Announced(_))) => Some(
                "new passwords of Keyslot's own users were made, and are set beside the present ones on every node",
            ),
            (Some(Stage::Announced(_)), Some(Stage::InUse(_))) => {
                Some("the new passwords of Keyslot's own users are in use; the previous ones are still valid")
            }
            (Some(Stage::InUse(_)), None) => Some("the previous passwords of Keyslot's own users have ended"),
            _ => None,
        }
    }

    /// When it goes on by the passing of time alone.
    pub(super) fn due(&self, delay: Duration) -> Option<Timestamp> {
        match self.stage.as_ref()? {
            Stage::Announced(since) => since.as_ref()?.checked_add(delay).ok(),
            Stage::InUse(since) => since.checked_add(delay).ok(),
        }
    }
}

/// Makes the passwords that are missing, and takes a rotation one stage further when it is time. Tells whether a
/// rotation has moved.
pub(super) fn advance(
    memory: &mut SystemMemory,
    cluster: &RedisCluster,
    inputs: &Inputs,
    now: Timestamp,
    mut generate: impl FnMut() -> SecretString,
) -> bool {
    let before = memory.system_rotation.clone();
    let request = request(cluster);
    if memory.passwords.is_empty() {
        // The first ones answer whatever was asked for before there were any.
        memory.system_rotation.request.clone_from(&request);
    }
    memory.passwords.complete(&mut generate);
    if let Some(Stage::Announced(Some(since)) | Stage::InUse(since)) = &mut memory.system_rotation.stage {
        // A clock that was far ahead must not hold it up; one that is a little behind now must not hasten it.
        let is_far_ahead = now.checked_add(inputs.files_delay).is_ok_and(|limit| *since > limit);
        *since = if is_far_ahead { now } else { *since };
    }
    let is_in_force = inputs.system_in_force.as_ref() == Some(&inputs.system.system_hashes());
    let is_due = is_in_force && memory.system_rotation.due(inputs.files_delay).is_some_and(|due| due <= now);
    let is_asked = memory.formed && request.is_some() && request != memory.system_rotation.request;
    match memory.system_rotation.stage {
        // The record was lost. The first passwords are valid everywhere in both stages.
        None if !memory.second_passwords.is_empty() => {
            memory.system_rotation.stage = Some(Stage::InUse(now));
        }
        None if is_asked => {
            memory.system_rotation = SystemRotation { request, stage: Some(Stage::Announced(None)) };
        }
        Some(Stage::Announced(None)) if is_in_force => {
            memory.system_rotation.stage = Some(Stage::Announced(Some(now)));
        }
        Some(Stage::Announced(Some(_))) if is_due && memory.second_passwords.is_complete() => {
            std::mem::swap(&mut memory.passwords, &mut memory.second_passwords);
            memory.system_rotation.stage = Some(Stage::InUse(now));
        }
        Some(Stage::InUse(_)) if is_due => {
            memory.second_passwords = SystemPasswords::default();
            memory.system_rotation.stage = None;
        }
        None | Some(Stage::Announced(_) | Stage::InUse(_)) => {}
    }
    if matches!(memory.system_rotation.stage, Some(Stage::Announced(_)))
        && !memory.second_passwords.is_complete()
    {
        memory.second_passwords.complete(&mut generate);
        memory.system_rotation.stage = Some(Stage::Announced(None));
    }
    memory.system_rotation != before
}

/// Annotation `keyslot.dev/rotate-system`, with the version of this operator where each is to make new passwords.
fn request(cluster: &RedisCluster) -> Option<String> {
    let asked = cluster.metadata.annotations.as_ref()?.get(ROTATE_SYSTEM)?;
    Some(if asked == ROTATE_ON_UPGRADE {
        format!("{ROTATE_ON_UPGRADE} {}", env!("CARGO_PKG_VERSION"))
    } else {
        asked.clone()
    })
}

#[cfg(test)]
#[path = "system_rotation_tests.rs"]
mod tests;
