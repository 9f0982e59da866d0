//! When a change is in force, by what each node says when it is asked again and again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use futures::future::try_join_all;
use redis::Value;
use redis::from_redis_value_ref;
use tokio::time::{sleep, timeout};

use crate::subject::Node;

/// Between two questions to a node; this and an answer's time are how exact the figures are.
const PAUSE: Duration = Duration::from_millis(10);
/// So many users are asked for at once.
const BATCH: usize = 20;
/// Ends a run that hangs; it measures nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a user must have.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Exactly these keys.
    Keys(String),
    /// Exactly this password, by its hash.
    Password(String),
}

/// What ACL GETUSER says of a user.
type Told = BTreeMap<String, Value>;

impl Wanted {
    fn is_in_force(&self, told: &Told) -> bool {
        match self {
            Self::Keys(keys) => read::<String>(told, "keys").as_ref() == Some(keys),
            Self::Password(hash) => read(told, "passwords").as_ref() == Some(&vec![hash.clone()]),
        }
    }
}

fn read<T: redis::FromRedisValue>(told: &Told, field: &str) -> Option<T> {
    from_redis_value_ref(told.get(field)?).ok()
}

/// Seconds until the first and the last node had it.
#[derive(Clone, Copy, Debug)]
pub struct InForce {
    pub first: f64,
    pub all: f64,
}

/// Asks all of these nodes until all of these users are as wanted.
pub async fn until_in_force(nodes: &[&Node], users: &[(String, Wanted)], begin: Instant) -> Result<InForce> {
    let looks = nodes.iter().map(|node| async {
        let look = timeout(PATIENCE, ask(node, users));
        look.await.with_context(|| format!("{} has it not after {PATIENCE:?}", node.pod))?;
        anyhow::Ok(begin.elapsed().as_secs_f64())
    });
    let mut times = try_join_all(looks).await?;
    times.sort_by(f64::total_cmp);
    let (Some(first), Some(all)) = (times.first(), times.last()) else { return Err(anyhow!("no nodes")) };
    Ok(InForce { first: *first, all: *all })
}

/// An answer that does not come is none: another question follows.
async fn ask(node: &Node, users: &[(String, Wanted)]) {
    let mut connection = node.connection.clone();
    let mut missing: VecDeque<&(String, Wanted)> = users.iter().collect();
    while !missing.is_empty() {
        let batch = missing.len().min(BATCH);
        let mut questions = redis::pipe();
        for (name, _) in missing.iter().take(batch) {
            questions.cmd("ACL").arg("GETUSER").arg(name);
        }
        // `None` where there is no such user.
        let told: Vec<Option<Told>> = questions.query_async(&mut connection).await.unwrap_or_default();
        let before = missing.len();
        let asked: Vec<_> = missing.drain(..told.len().min(batch)).collect();
        let has =
            |wanted: &Wanted, told: &Option<Told>| told.as_ref().is_some_and(|told| wanted.is_in_force(told));
        let not_yet = asked.into_iter().zip(&told).filter(|((_, wanted), told)| !has(wanted, told));
        missing.extend(not_yet.map(|(user, _)| user));
        if missing.len() == before {
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(keys: &str, passwords: &[&str]) -> Told {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let passwords = Value::Array(passwords.iter().map(|one| text(one)).collect());
        [("keys".to_owned(), text(keys)), ("passwords".to_owned(), passwords)].into()
    }

    #[test]
    fn a_user_has_it_when_it_has_nothing_else() {
        let keys = Wanted::Keys("~a:*".to_owned());
        assert!(keys.is_in_force(&told("~a:*", &[])));
        assert!(!keys.is_in_force(&told("~a:* ~b:*", &[])) && !keys.is_in_force(&Told::new()));
        let password = Wanted::Password("ab".to_owned());
        assert!(password.is_in_force(&told("", &["ab"])));
        assert!(!password.is_in_force(&told("", &["ab", "cd"])) && !password.is_in_force(&told("", &[])));
    }
}
