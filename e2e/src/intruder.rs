//! A client that logs in to one node as fast as it can, with the password of a user, and tells how long it got in after
//! the node's next restart.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{self, Running};
use crate::namespace::Namespace;

pub struct Intruder(Running);

/// What it got since the node's first answer; times since then.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breach {
    /// In milliseconds since 1970.
    pub first_answer_at: i64,
    pub logins: usize,
    pub refusals: usize,
    /// Connections that nobody has ended.
    pub open: usize,
    /// To commands.
    pub answers: usize,
    pub last_login_ms: Option<u64>,
    pub last_answer_ms: Option<u64>,
    /// When it saw the end of its last connection.
    pub last_end_ms: Option<u64>,
}

impl Intruder {
    /// Starts while the password is valid, and returns when it has been let in.
    pub async fn start(namespace: &Namespace, secret: &str, pod: &str) -> Result<Self> {
        let intruder = Self(client::start(namespace, secret, &["intrude", "--pod", pod]).await?);
        intruder.is_answered("let in").await?;
        Ok(intruder)
    }

    /// Waits until it has been answered so.
    pub async fn is_answered(&self, words: &str) -> Result<()> {
        let is_it = |line: &Value| line["answer"].as_str().is_some_and(|answer| answer.starts_with(words));
        self.0.says(words, |line| is_it(line).then_some(())).await
    }

    /// Waits until the node has restarted and nothing is to be got there any more, or too long for that.
    pub async fn breach(&self) -> Result<Breach> {
        let last = |line: &Value| line["firstAnswerAt"].is_i64().then(|| line.clone());
        Ok(serde_json::from_value(self.0.says("what it got", last).await?)?)
    }

    pub async fn delete(&self) -> Result<()> {
        self.0.delete().await
    }
}

impl Breach {
    /// Until nobody got in any more and the last connection had ended.
    pub fn window(&self) -> Duration {
        let times = [self.last_login_ms, self.last_answer_ms, self.last_end_ms];
        Duration::from_millis(times.into_iter().flatten().max().unwrap_or_default())
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, answers, .. } = self;
        let millis = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        write!(
            f,
            "in for {} ms from the node's first answer, with {logins} logins and {answers} answers (last login {}, last \
             answer {}, last connection ended {})",
            self.window().as_millis(),
            millis(self.last_login_ms),
            millis(self.last_answer_ms),
            millis(self.last_end_ms),
        )
    }
}
