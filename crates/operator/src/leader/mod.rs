//! Who may act: at most one process, the holder of a Lease.
//!
//! Owns the Lease and publishes a [`Claim`] with an expiry on this machine's own monotonic clock. Losing the API server
//! does not stop Redis commands, so whoever acts asks the claim before every act, and the claim ends earlier than the
//! Lease by more than any command may take ([`MARGIN`]). Never trusts another machine's clock: a foreign Lease has
//! expired when it was not renewed for its duration as seen from here.

mod claim;
mod lease;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use claim::{Claim, Leadership};

/// How long a Lease lives without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// One renewal may fail before the claim ends.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// The claim ends so much earlier than the Lease. Longer than the time-out of any single command.
pub const MARGIN: Duration = Duration::from_secs(6);
/// Between attempts after an error.
const RETRY: Duration = Duration::from_millis(500);
/// No answer for so long is an error; shorter than what is left of a claim after a failed renewal.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Contends for a Lease in the name of this process.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    claim: watch::Sender<Claim>,
}

impl Candidate {
    /// A candidate, and what the rest of the process reads of its success. `identity` must be unique among all
    /// processes, also those of earlier containers of the same pod.
    pub fn new(api: Api<Lease>, name: impl Into<String>, identity: impl Into<String>) -> (Self, Leadership) {
        let (claim, claims) = watch::channel(Claim::NONE);
        (Self { api, name: name.into(), identity: identity.into(), claim }, Leadership::following(claims))
    }

    /// Stands by, leads, stands by again, until `stop`. Then the claim ends first and the Lease is given free, so that
    /// the next leader starts at once.
    pub async fn contend(self, stop: CancellationToken) {
        loop {
            let Some(lease) = stop.run_until_cancelled(self.stand_by()).await else { return };
            info!(lease = self.name, identity = self.identity, "leading");
            let written = Mutex::new(lease);
            let lost = stop.run_until_cancelled(self.hold(&written)).await;
            self.claim.send_replace(Claim::NONE);
            if lost.is_none() {
                let lease = written.into_inner().unwrap_or_else(PoisonError::into_inner);
                self.vacate(&lease).await;
                return;
            }
            warn!(lease = self.name, identity = self.identity, "lost the lease, standing by");
        }
    }

    /// Watches the Lease until it is ours.
    async fn stand_by(&self) -> Lease {
        let mut changes =
            std::pin::pin!(watcher::watch_object(self.api.clone(), &self.name).default_backoff());
        let mut seen: Option<Lease> = None;
        // Not before the first look: an existing Lease has to be seen unchanged for its whole duration.
        let mut free_at: Option<Instant> = None;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    // A restarted watch repeats what it said: that is no renewal.
                    Some(Ok(lease)) if free_at.is_some() && lease::same_version(lease.as_ref(), seen.as_ref()) => {}
                    Some(Ok(lease)) => {
                        free_at = Some(Instant::now() + lease::lives_on(lease.as_ref()));
                        seen = lease;
                    }
                    Some(Err(error)) => warn!(%error, lease = self.name, "can't watch the lease"),
                    None => tokio::time::sleep(RETRY).await,
                },
                () = at(free_at) => match self.write(seen.as_ref()).await {
                    Ok(lease) => return lease,
                    Err(error) => {
                        if error.is_lost_race() {
                            debug!(lease = self.name, "another one took the lease");
                        } else {
                            warn!(%error, lease = self.name, "can't take the lease");
                        }
                        free_at = Some(Instant::now() + RETRY);
                    }
                },
            }
        }
    }

    /// Renews until another one holds the Lease or the claim has ended. `written` is always the version that was
    /// written last.
    async fn hold(&self, written: &Mutex<Lease>) {
        let read = || written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keep = |lease| *written.lock().unwrap_or_else(PoisonError::into_inner) = lease;
        let mut next = Instant::now() + RENEW_EVERY;
        loop {
            let lost_at = self.claim.borrow().expiry();
            tokio::select! {
                // After a long stop of the process both are over, and the end counts.
                biased;
                () = at(lost_at) => return,
                () = sleep_until(next) => {}
            }
            match self.write(Some(&read())).await {
                Ok(lease) => {
                    keep(lease);
                    next = Instant::now() + RENEW_EVERY;
                }
                Err(error) => {
                    warn!(%error, lease = self.name, "can't renew the lease");
                    next = Instant::now() + RETRY;
                    // Someone may only have annotated it; whoever took it shows as its holder.
                    if let Ok(Ok(Some(lease))) = timeout(ANSWER_LIMIT, self.api.get_opt(&self.name)).await {
                        if lease::holder(&lease) != Some(self.identity.as_str()) {
                            return;
                        }
                        keep(lease);
                        next = Instant::now();
                    }
                }
            }
        }
    }

    /// Writes our name and the time on the version that was seen, and extends the claim from the moment before.
    async fn write(&self, seen: Option<&Lease>) -> Result<Lease, lease::Error> {
        let before = Instant::now();
        let spec = lease::holding(seen, &self.identity, DURATION, jiff::Timestamp::now());
        let written = timeout(ANSWER_LIMIT, lease::write(&self.api, &self.name, seen, &spec)).await;
        let lease = written.map_err(|_| lease::Error::NoAnswer)??;
        self.claim.send_replace(Claim::until(before + DURATION - MARGIN));
        Ok(lease)
    }

    async fn vacate(&self, lease: &Lease) {
        match timeout(ANSWER_LIMIT, lease::vacate(&self.api, &self.name, lease)).await {
            Ok(Ok(())) => info!(lease = self.name, "gave the lease free"),
            Ok(Err(error)) => {
                warn!(%error, lease = self.name, "can't give the lease free, it expires by itself");
            }
            Err(_) => warn!(lease = self.name, "can't give the lease free in time, it expires by itself"),
        }
    }
}

/// Ends at that time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
