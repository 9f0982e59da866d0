//! Connections: one per node, kept across passes. The only file that speaks to the `redis` crate's connections.
//!
//! A connection belongs to one process of a node: it is never silently replaced by one to another process, because
//! another pod may have got the address. Protocol RESP2 and a plain AUTH: the operator's user needs no rule for HELLO
//! or `CLIENT SETINFO` (which Redis 7.0 does not know), and a refused login comes back in the server's words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyslot_planner::command::REDIS_PORT;
use keyslot_planner::ids::NodeId;
use keyslot_planner::observed::Unreachable;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::error::unreachable;
use crate::limited::{Allowance, Limited};
use crate::reply::{Arguments, Reply};

/// A pod on a living host accepts or refuses at once; longer means that packets are swallowed.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The longest answer: everything that a cluster's users may be is less than 1 MiB, the size of a ConfigMap, and a look at
/// them answers with it a few times.
const LONGEST_ANSWER: usize = 4 << 20;

/// As whom the operator logs in.
#[derive(Clone)]
pub struct Credentials {
    /// Name of the user.
    pub username: String,
    /// Its passwords, the one that should be valid first; they leave the process only inside AUTH.
    pub passwords: Vec<SecretString>,
}

impl Credentials {
    /// Whether a login with these is one with those.
    pub fn same_as(&self, other: &Self) -> bool {
        let ours = self.passwords.iter().map(ExposeSecret::expose_secret);
        self.username == other.username && ours.eq(other.passwords.iter().map(ExposeSecret::expose_secret))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why there is no answer; what was under way may have been carried out.
#[derive(Debug)]
pub(crate) enum LinkLost {
    /// The connection ended, or its replies can't be understood.
    Ended,
    /// The answer was longer than any may be.
    TooLong,
}

impl From<LinkLost> for Unreachable {
    fn from(lost: LinkLost) -> Self {
        match lost {
            LinkLost::Ended => Self::Other("the connection ended without an answer".to_owned()),
            LinkLost::TooLong => Self::AnswerTooLong,
        }
    }
}

/// An authenticated connection to one process of a node.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    allowance: Allowance,
    ended: watch::Receiver<()>,
    credentials: Credentials,
    given_up: AtomicBool,
    identity: Mutex<Option<NodeId>>,
}

impl Link {
    /// Connects and logs in.
    pub(crate) async fn dial(ip: IpAddr, credentials: &Credentials) -> Result<Self, Unreachable> {
        let dialled = timeout(CONNECT_LIMIT, TcpStream::connect((ip, REDIS_PORT)));
        let stream = dialled.await.map_err(|_| Unreachable::TimedOut)?.map_err(|e| connect_failure(&e))?;
        stream.set_nodelay(true).map_err(|e| connect_failure(&e))?;
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let allowance = Allowance::new(LONGEST_ANSWER);
        let stream = Limited::new(stream, allowance.clone());
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|_| LinkLost::Ended)?;
        let (alive, ended) = watch::channel(());
        let driver = tokio::spawn(async move {
            driver.await;
            drop(alive);
        });
        let link = Self {
            connection,
            driver: driver.abort_handle(),
            allowance,
            ended,
            credentials: credentials.clone(),
            given_up: AtomicBool::new(false),
            identity: Mutex::new(None),
        };
        link.log_in().await?;
        Ok(link)
    }

    /// With the first password that is taken: a server that started from an older file has an older one.
    async fn log_in(&self) -> Result<(), Unreachable> {
        let mut answer = Err(Unreachable::AuthenticationFailed);
        for password in &self.credentials.passwords {
            answer = self.authenticate(password).await;
            if !matches!(answer, Err(Unreachable::AuthenticationFailed)) {
                break;
            }
        }
        answer
    }

    async fn authenticate(&self, password: &SecretString) -> Result<(), Unreachable> {
        let auth = Arguments::new(["AUTH", &self.credentials.username, password.expose_secret()]);
        match timeout(CONNECT_LIMIT, self.ask(&[auth])).await {
            Err(_) => Err(Unreachable::TimedOut),
            Ok(Err(lost)) => Err(lost.into()),
            Ok(Ok(replies)) => match replies.first() {
                Some(Reply::Error(error)) => Err(unreachable(error)),
                _ => Ok(()),
            },
        }
    }

    /// Sends all commands in one write and reads their replies. There is no limit of time in it: callers set theirs.
    /// When the answer is not waited for, the link is given up.
    pub(crate) async fn ask(&self, commands: &[Arguments]) -> Result<Vec<Reply>, LinkLost> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for command in commands {
            let mut packed = redis::Cmd::new();
            for word in command.words() {
                packed.arg(word);
            }
            pipeline.add_command(packed);
        }
        let mut connection = self.connection.clone();
        self.allowance.renew();
        let unanswered = Unanswered(self);
        let replies = connection.send_packed_commands(&pipeline, 0, commands.len()).await;
        match replies {
            Ok(replies) if replies.len() == commands.len() => {
                std::mem::forget(unanswered);
                Ok(replies.into_iter().map(Reply::from).collect())
            }
            Ok(_) | Err(_) if self.allowance.is_exceeded() => Err(LinkLost::TooLong),
            Ok(_) | Err(_) => Err(LinkLost::Ended),
        }
    }

    /// Never use it again: an answer is missing or belongs to something else.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed) && !self.driver.is_finished()
    }

    /// Returns when the connection has ended: the reader of an idle connection notices at once.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Who answered on this connection, as far as it was asked.
    pub(crate) fn identity(&self) -> Option<NodeId> {
        locked(&self.identity).clone()
    }

    /// Remembers who answered.
    pub(crate) fn identified(&self, node: NodeId) {
        *locked(&self.identity) = Some(node);
    }
}

/// Gives the link up when dropped: its question was cancelled, or the connection broke.
struct Unanswered<'a>(&'a Link);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect_failure(error: &io::Error) -> Unreachable {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::Refused,
        io::ErrorKind::TimedOut => Unreachable::TimedOut,
        kind => Unreachable::Other(format!("cannot connect: {kind}")),
    }
}

/// A place for the connection to one address. Locked while dialling, so that two loops don't dial twice.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Link>>>>;

/// The connections that are kept, by address.
#[derive(Default)]
pub(crate) struct Links(Mutex<BTreeMap<IpAddr, Place>>);

impl Links {
    /// The kept connection to `ip`, or a new one when there is none, when it has ended, or when it was made with other
    /// credentials. Tells whether it is new.
    pub(crate) async fn link(
        &self,
        ip: IpAddr,
        credentials: &Credentials,
    ) -> Result<(Arc<Link>, bool), Unreachable> {
        let place = Arc::clone(locked(&self.0).entry(ip).or_default());
        let mut kept = place.lock().await;
        if let Some(link) =
            kept.as_ref().filter(|link| link.is_usable() && link.credentials.same_as(credentials))
        {
            return Ok((Arc::clone(link), false));
        }
        *kept = None;
        let link = Arc::new(Link::dial(ip, credentials).await?);
        *kept = Some(Arc::clone(&link));
        Ok((link, true))
    }

    /// Closes all but those to `wanted` addresses, as soon as what is under way on them has ended.
    pub(crate) fn keep_only(&self, wanted: &BTreeSet<IpAddr>) {
        locked(&self.0).retain(|ip, _| wanted.contains(ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let credentials =
            Credentials { username: "keyslot-operator".into(), passwords: vec!["hunter2".into()] };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn connect_failures_are_told_apart() {
        let failure = |kind| connect_failure(&io::Error::from(kind));
        assert_eq!(failure(io::ErrorKind::ConnectionRefused), Unreachable::Refused);
        assert_eq!(failure(io::ErrorKind::TimedOut), Unreachable::TimedOut);
        let words = Unreachable::Other("cannot connect: host unreachable".into());
        assert_eq!(failure(io::ErrorKind::HostUnreachable), words);
    }
}
