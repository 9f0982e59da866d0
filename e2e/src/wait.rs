//! Waiting for something to become true. Deadlines are generous: they end a hung test, they measure
//! nothing. What was seen last is part of the error.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for pods to start on a busy machine.
pub const A_WHILE: Duration = Duration::from_mins(3);

/// Long enough for anything that needs no new pod.
pub const SOON: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(250);
/// A request that hangs must not outlive the deadline by much.
const ONE_LOOK: Duration = Duration::from_secs(20);

/// Asks `look` again and again until it returns `Ok`; its last error says what is still missing.
pub async fn until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let missing = match tokio::time::timeout(ONE_LOOK, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(missing)) => missing,
            Err(_) => anyhow::anyhow!("no answer within {} s", ONE_LOOK.as_secs()),
        };
        if start.elapsed() > deadline {
            bail!("{what}: not within {} s; last seen: {missing:#}", deadline.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks `look` for the whole time and fails at its first error: for what must *not* happen.
pub async fn throughout(what: &str, time: Duration, mut look: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Err(broken) = look().await {
            bail!("{what}: broken after {} s: {broken:#}", start.elapsed().as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
