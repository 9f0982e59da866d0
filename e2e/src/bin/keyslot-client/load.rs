//! A write load with a ledger: of every write that was acknowledged it is known, and it is looked for in the end.
//!
//! Commands that fail are tried again, as applications do, and nothing is hidden by that: each error is counted, and
//! the longest time without an acknowledged write is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use futures::{StreamExt, stream};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisError};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::time::sleep;

use crate::binding::Binding;
use crate::now;

/// Whoever sets it ends the load.
const STOP: &str = "app:stop";
const WRITERS: usize = 2;
/// Between two writes of a writer: a load, not a benchmark.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a command is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
const BEFORE_RETRY: Duration = Duration::from_millis(50);
/// How often the mounted Secret and the end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// Keys of the probe: enough for each of three nodes to have some.
const PROBES: u64 = 16;
const READS_AT_ONCE: usize = 16;

/// Writes until it is stopped, and returns what the ledger says.
pub async fn load(folder: &Path, prefix: String, probes: bool) -> Result<Value> {
    let binding = Binding::read(folder)?;
    let connection = RwLock::new(binding.connect_with(0).await?);
    let load = Load { folder: folder.to_owned(), prefix, connection, ledger: Mutex::new(Ledger::begin()) };
    let writers = join_all((0..WRITERS).map(|writer| load.write(writer)));
    let probe = async {
        if probes {
            load.probe().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = load.until_stopped() => {}
        _ = writers => {}
        () = probe => {}
        _ = load.follow(binding.password) => {}
    }
    load.ledger().nothing_more();
    load.account().await
}

struct Load {
    folder: PathBuf,
    prefix: String,
    connection: RwLock<ClusterConnection>,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// Writer and number of each write that was acknowledged.
    acknowledged: Vec<(usize, u64)>,
    given_up: u64,
    last: Instant,
    longest_gap: Duration,
    slowest: Duration,
    errors: BTreeMap<String, u64>,
}

impl Load {
    async fn write(&self, writer: usize) -> Infallible {
        for number in 0_u64.. {
            let mut set = redis::cmd("SET");
            set.arg(self.key(writer, number)).arg(number);
            let begun = Instant::now();
            let is_acknowledged = self.insist(&set).await.is_some();
            self.ledger().note((writer, number), is_acknowledged, begun);
            if (writer, number) == (0, 0) {
                println!("{}", json!({ "writes": self.prefix }));
            }
            sleep(PAUSE).await;
        }
        std::future::pending().await
    }

    /// Tells each time that the answer is of another kind than before.
    async fn probe(&self) {
        let mut told = String::new();
        for number in 0_u64.. {
            let mut probe = redis::cmd("INCR");
            probe.arg(format!("{}probe:{}", self.prefix, number % PROBES));
            let answer = self.ask(&probe).await.map_or_else(|error| name(&error), |_| "allowed".to_owned());
            if answer != told {
                println!("{}", json!({ "probe": answer, "at": now() }));
                told = answer;
            }
            sleep(PROBE_EVERY).await;
        }
    }

    /// As applications do whose Secret is mounted: when the password changes, everything goes on with the new one.
    async fn follow(&self, mut password: String) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            let Ok(binding) = Binding::read(&self.folder) else { continue };
            if binding.password == password {
                continue;
            }
            match binding.connect_with(0).await {
                Ok(connection) => {
                    *self.connection.write().await = connection;
                    password = binding.password;
                    println!("{}", json!({ "switched": now() }));
                }
                Err(error) => self.ledger().error(format!("{error:#}")),
            }
        }
    }

    async fn until_stopped(&self) {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(STOP);
        while self.insist(&exists).await != Some(redis::Value::Int(1)) {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks for every write of the ledger.
    async fn account(&self) -> Result<Value> {
        let acknowledged = self.ledger().acknowledged.clone();
        let found = stream::iter(&acknowledged).map(|(writer, number)| async move {
            let mut get = redis::cmd("GET");
            get.arg(self.key(*writer, *number));
            self.insist(&get).await == Some(redis::Value::BulkString(number.to_string().into_bytes()))
        });
        let found: Vec<bool> = found.buffer_unordered(READS_AT_ONCE).collect().await;
        let ledger = self.ledger();
        Ok(json!({
            "acknowledged": acknowledged.len(),
            "lost": found.iter().filter(|found| !**found).count(),
            "givenUp": ledger.given_up,
            "longestGapMs": ledger.longest_gap.as_millis(),
            "slowestWriteMs": ledger.slowest.as_millis(),
            "errors": ledger.errors,
        }))
    }

    /// The answer, or nothing when there was none for so long.
    async fn insist(&self, command: &Cmd) -> Option<redis::Value> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.ask(command).await {
                Ok(answer) => return Some(answer),
                Err(error) => self.ledger().error(name(&error)),
            }
            sleep(BEFORE_RETRY).await;
        }
        None
    }

    async fn ask(&self, command: &Cmd) -> Result<redis::Value, RedisError> {
        let mut connection = self.connection.read().await.clone();
        command.query_async(&mut connection).await
    }

    fn key(&self, writer: usize, number: u64) -> String {
        format!("{}{writer}:{number}", self.prefix)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn begin() -> Self {
        Self {
            acknowledged: Vec::new(),
            given_up: 0,
            last: Instant::now(),
            longest_gap: Duration::ZERO,
            slowest: Duration::ZERO,
            errors: BTreeMap::new(),
        }
    }

    fn note(&mut self, write: (usize, u64), is_acknowledged: bool, begun: Instant) {
        if is_acknowledged {
            self.acknowledged.push(write);
            self.nothing_more();
            self.last = Instant::now();
        } else {
            self.given_up += 1;
        }
        self.slowest = self.slowest.max(begun.elapsed());
    }

    /// The gap that is open now counts.
    fn nothing_more(&mut self) {
        self.longest_gap = self.longest_gap.max(self.last.elapsed());
    }

    fn error(&mut self, name: String) {
        *self.errors.entry(name).or_default() += 1;
    }
}

/// `WRONGPASS`, `MOVED` and the like, or what the library calls it, with its words.
fn name(error: &RedisError) -> String {
    error.code().map_or_else(|| format!("{:?}: {error}", error.kind()), str::to_owned)
}
