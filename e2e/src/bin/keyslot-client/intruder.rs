//! Somebody whose user was revoked and who tries all the same, as fast as possible: how long does a node that starts
//! from an older file let it in?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::binding::Binding;
use crate::now;

const PAUSE: Duration = Duration::from_millis(1);
/// A connection without an answer for so long is no use to anybody; a busy machine needs less.
const ANSWER: Duration = Duration::from_secs(10);
/// It is over when nobody was let in for so long and no connection is left.
const OVER: Duration = Duration::from_secs(3);
/// When it is not over after so long, it is told as it is.
const LONGEST: Duration = Duration::from_mins(2);
/// Connections that are kept at once; others are closed after the login.
const SESSIONS: usize = 20;

/// Prints what it is answered until the node restarts; returns what happened since its first answer after that.
pub async fn intrude(binding: &Binding, pod: &str) -> Result<Value> {
    let begins = format!("{pod}.");
    let name = binding.addresses.iter().find(|address| address.starts_with(&begins));
    let name = name.with_context(|| format!("no address of {pod} in {:?}", binding.addresses))?;
    let node =
        tokio::net::lookup_host(name).await?.next().with_context(|| format!("{name} has no address"))?;
    until_down(binding, node).await;
    println!("{}", json!({ "answer": "down" }));
    let mut breach = Breach::default();
    let begun = Instant::now();
    let mut quiet_since = Instant::now();
    while begun.elapsed() < LONGEST && quiet_since.elapsed() < OVER {
        match log_in(binding, node).await {
            Ok(session) => {
                breach.let_in(session);
                quiet_since = Instant::now();
            }
            Err(Refusal::Words(_)) => breach.refused(),
            // Not there yet, which says nothing about its users.
            Err(Refusal::Silence) => quiet_since = Instant::now(),
        }
        if breach.open() > 0 {
            quiet_since = Instant::now();
        }
        sleep(PAUSE).await;
    }
    breach.told()
}

/// The process that runs now has ended: nobody listens.
async fn until_down(binding: &Binding, node: SocketAddr) {
    let mut told = String::new();
    loop {
        let answer = match log_in(binding, node).await {
            Ok(_) => "let in".to_owned(),
            Err(Refusal::Words(words)) => words,
            Err(Refusal::Silence) if TcpStream::connect(node).await.is_err() => return,
            Err(Refusal::Silence) => "silence".to_owned(),
        };
        if answer != told {
            println!("{}", json!({ "answer": answer }));
            told = answer;
        }
        sleep(PAUSE).await;
    }
}

enum Refusal {
    /// The server says no.
    Words(String),
    /// No connection, or no answer.
    Silence,
}

async fn log_in(binding: &Binding, node: SocketAddr) -> Result<TcpStream, Refusal> {
    let Ok(Ok(mut session)) = timeout(ANSWER, TcpStream::connect(node)).await else {
        return Err(Refusal::Silence);
    };
    let line = format!("AUTH {} {}\r\n", binding.username, binding.password);
    match ask(&mut session, &line).await {
        Some(answer) if answer.starts_with('+') => Ok(session),
        Some(answer) => Err(Refusal::Words(answer)),
        None => Err(Refusal::Silence),
    }
}

/// `None` when the connection has ended, or there is no answer for long. Answers are short, and asked for one by one.
async fn ask(session: &mut TcpStream, line: &str) -> Option<String> {
    let mut answer = [0; 256];
    session.write_all(line.as_bytes()).await.ok()?;
    match timeout(ANSWER, session.read(&mut answer)).await {
        Ok(Ok(length)) if length > 0 => {
            Some(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
        }
        _ => None,
    }
}

/// What the intruder got since the node answered first.
#[derive(Default)]
struct Breach {
    first_answer: Option<i64>,
    logins: usize,
    refusals: usize,
    last_login: Option<i64>,
    sessions: Arc<Sessions>,
}

#[derive(Default)]
struct Sessions {
    open: AtomicUsize,
    answers: AtomicUsize,
    last_answer: AtomicI64,
    /// When the last one ended.
    end: Mutex<Option<i64>>,
}

impl Breach {
    fn let_in(&mut self, session: TcpStream) {
        let now = now();
        self.first_answer.get_or_insert(now);
        self.last_login = Some(now);
        self.logins += 1;
        if self.open() < SESSIONS {
            self.sessions.open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(stay(session, Arc::clone(&self.sessions)));
        }
    }

    fn refused(&mut self) {
        self.first_answer.get_or_insert_with(now);
        self.refusals += 1;
    }

    fn open(&self) -> usize {
        self.sessions.open.load(Ordering::SeqCst)
    }

    /// All times in milliseconds since the first answer.
    fn told(&self) -> Result<Value> {
        let Some(first) = self.first_answer else { bail!("the node did not answer after its restart") };
        let end = *self.sessions.end.lock().unwrap_or_else(PoisonError::into_inner);
        let last_answer = self.sessions.last_answer.load(Ordering::SeqCst);
        Ok(json!({
            "firstAnswerAt": first,
            "logins": self.logins,
            "refusals": self.refusals,
            "open": self.open(),
            "answers": self.sessions.answers.load(Ordering::SeqCst),
            "lastLoginMs": self.last_login.map(|at| at - first),
            "lastAnswerMs": (last_answer > 0).then_some(last_answer - first),
            "lastEndMs": end.map(|at| at - first),
        }))
    }
}

/// Works on until somebody ends the connection.
async fn stay(mut session: TcpStream, sessions: Arc<Sessions>) {
    // Whatever it is answered, it is still in.
    while ask(&mut session, "PING\r\n").await.is_some() {
        sessions.answers.fetch_add(1, Ordering::SeqCst);
        sessions.last_answer.fetch_max(now(), Ordering::SeqCst);
        sleep(PAUSE).await;
    }
    *sessions.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
    sessions.open.fetch_sub(1, Ordering::SeqCst);
}
