//! What is done to the users of a settled cluster, and how long it takes until the nodes have it.

use std::time::{Duration, Instant};

use anyhow::Result;
use keyslot_api::v1alpha1::User;
use tokio::time::sleep;

use crate::hang::Hanging;
use crate::look::{Wanted, until_in_force};
use crate::sessions::Sessions;
use crate::subject::{Subject, hash, hashed, user};

const EDITED: usize = 0;
const REVOKED: usize = 1;
/// Of the user that is revoked: the first is taken away, the second stays.
const PASSWORDS: [&str; 2] = ["goes-away", "stays"];
/// Between two edits of which the second meets what the operator does for the first.
const SOON: Duration = Duration::from_millis(100);
/// After many logins.
const REST: Duration = Duration::from_millis(500);

/// The users of the cluster: one that is edited, one that is revoked.
pub fn users() -> Vec<User> {
    let rules = ["~app:*", "+@read", "+@write", "+@connection"];
    vec![user("edited", &rules, &["password"]), user("revoked", &rules, &PASSWORDS)]
}

/// Seconds after the moment before the request.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The API server had answered.
    pub accepted: f64,
    pub first_node: f64,
    pub all_nodes: f64,
}

/// One change of one user: its keys and its password, in turn. The number makes it another one than all before.
pub async fn edit(subject: &mut Subject, hanging: Option<&Hanging>, number: usize) -> Result<Edit> {
    let wanted = next(&mut subject.users[EDITED], number);
    apply(subject, hanging, &[wanted]).await
}

/// One edit a moment after another.
pub async fn edit_after_another(
    subject: &mut Subject,
    hanging: Option<&Hanging>,
    number: usize,
) -> Result<Edit> {
    subject.users[EDITED].rules[0] = format!("~before-{number}:*");
    subject.cluster.set_users(&subject.users).await?;
    sleep(SOON).await;
    edit(subject, hanging, number).await
}

fn next(user: &mut User, number: usize) -> (String, Wanted) {
    let value = format!("edit-{number}");
    let wanted = if number.is_multiple_of(2) {
        let keys = format!("~{value}:*");
        user.rules[0].clone_from(&keys);
        Wanted::Keys(keys)
    } else {
        user.passwords = vec![hashed(&value)];
        Wanted::Password(hash(&value))
    };
    (user.name.clone(), wanted)
}

/// Brings the subject's users in force, and looks on until all nodes that answer have what is wanted.
pub async fn apply(
    subject: &Subject,
    hanging: Option<&Hanging>,
    wanted: &[(String, Wanted)],
) -> Result<Edit> {
    let nodes = subject.answering(hanging);
    let begin = Instant::now();
    let request = async {
        subject.cluster.set_users(&subject.users).await?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let (accepted, in_force) = tokio::try_join!(request, until_in_force(&nodes, wanted, begin))?;
    Ok(Edit { accepted, first_node: in_force.first, all_nodes: in_force.all })
}

/// Ways to end somebody's access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    RemovePassword,
    SwitchOff,
    RemoveUser,
}

impl Revocation {
    const ALL: [Self; 3] = [Self::RemovePassword, Self::SwitchOff, Self::RemoveUser];

    fn of(self, users: &[User]) -> Vec<User> {
        let mut users = users.to_vec();
        match self {
            Self::RemovePassword => users[REVOKED].passwords = vec![hashed(PASSWORDS[1])],
            Self::SwitchOff => users[REVOKED].enabled = false,
            Self::RemoveUser => drop(users.remove(REVOKED)),
        }
        users
    }
}

/// Seconds from the moment before the request until the servers have closed all sessions of the user, so many to each
/// node that answers. Afterwards the user is as it was. The number chooses the way.
pub async fn revoke(
    subject: &Subject,
    hanging: Option<&Hanging>,
    (each, number): (usize, usize),
) -> Result<f64> {
    let nodes = subject.answering(hanging);
    let login = (subject.users[REVOKED].name.as_str(), PASSWORDS[0]);
    let sessions = Sessions::open(&nodes, each, login).await?;
    sleep(REST).await;
    let users = Revocation::ALL[number % Revocation::ALL.len()].of(&subject.users);
    let begin = Instant::now();
    let request = async { subject.cluster.set_users(&users).await };
    let ((), closed) = tokio::try_join!(request, sessions.until_closed(begin))?;
    subject.cluster.set_users(&subject.users).await?;
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_keys_and_password_in_turn_and_never_to_what_was() {
        let mut user = users().remove(EDITED);
        let mut seen = vec![user.clone()];
        for number in 0..4 {
            next(&mut user, number);
            assert!(!seen.contains(&user), "{user:?}");
            seen.push(user.clone());
        }
        assert_eq!((user.rules[0].as_str(), &user.passwords), ("~edit-2:*", &vec![hashed("edit-3")]));
    }

    #[test]
    fn each_revocation_takes_the_first_password_from_its_user_and_nothing_from_the_other() {
        let before = users();
        for revocation in Revocation::ALL {
            let after = revocation.of(&before);
            assert_eq!(after[EDITED], before[EDITED]);
            let lets_in = |user: &User| {
                user.name == "revoked"
                    && user.enabled
                    && user.passwords.contains(&before[REVOKED].passwords[0])
            };
            assert!(!after.iter().any(lets_in), "{revocation:?}");
        }
    }
}
