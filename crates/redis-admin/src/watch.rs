//! The standing watch of one node: dials until it answers, tells at once when the connection ends, dials again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keyslot_planner::ids::RunId;
use keyslot_planner::observed::Unreachable;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::{Credentials, Link};
use crate::observe::{greeting, read_greeting};
use crate::reply::Arguments;

/// How often a silent connection is asked for a sign of life: a host that lost its power closes no connection.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long an answer of the watch may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A process that starts listens within seconds, and forming waits for it: until then dial fast.
const FAST_FOR: Duration = Duration::from_secs(10);
const FAST: Duration = Duration::from_millis(50);
const SLOW: Duration = Duration::from_secs(1);

/// What happens to a node's process, as seen from its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// It answers, has read its data and is logged in to. Another run id than before: the process was restarted.
    Connected(RunId),
    /// The connection was ended by the other side. Followed by `Connected` or `Unreachable`; `Ended` and then
    /// `Unreachable(Refused)` at an address whose pod has not moved means that the process is dead.
    Ended,
    /// It can't be talked to; told when the reason changes. After `Connected`, `TimedOut` means that it gives no sign
    /// of life although its connection stands (stopped, or its host is gone).
    Unreachable(Unreachable),
}

/// The events of one node. The watch ends when this is dropped.
pub struct Watch {
    events: mpsc::Receiver<NodeEvent>,
    hurry: Arc<Notify>,
    task: Option<AbortHandle>,
}

impl Watch {
    /// Begins to watch the process behind `ip`. Needs a tokio runtime.
    pub(crate) fn begin(ip: IpAddr, credentials: Credentials) -> Self {
        let (sender, events) = mpsc::channel(16);
        let hurry = Arc::new(Notify::new());
        let task = tokio::spawn(keep_watching(ip, credentials, sender, Arc::clone(&hurry)));
        Self { events, hurry, task: Some(task.abort_handle()) }
    }

    /// A watch whose events somebody else makes up: a pretend node.
    pub fn of(events: mpsc::Receiver<NodeEvent>) -> Self {
        Self { events, hurry: Arc::new(Notify::new()), task: None }
    }

    /// The next event; `None` only after the maker of pretended events has gone.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        self.events.recv().await
    }

    /// Dials at once and fast again: the pod's container was just seen to start.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep_watching(
    ip: IpAddr,
    credentials: Credentials,
    events: mpsc::Sender<NodeEvent>,
    hurry: Arc<Notify>,
) {
    let mut pace = Pace::start();
    let mut told = None;
    while !events.is_closed() {
        let event = match greet(ip, &credentials).await {
            Ok((link, run_id)) => {
                if events.send(NodeEvent::Connected(run_id)).await.is_err() {
                    return;
                }
                pace = Pace::start();
                told = None;
                until_it_ends(&link).await
            }
            Err(why) => NodeEvent::Unreachable(why),
        };
        let wait = pace.next(&event);
        if told.as_ref() != Some(&event) || event == NodeEvent::Ended {
            told = Some(event.clone());
            if events.send(event).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = hurry.notified() => pace = Pace::start(),
            () = events.closed() => return,
        }
    }
}

async fn greet(ip: IpAddr, credentials: &Credentials) -> Result<(Link, RunId), Unreachable> {
    let link = Link::dial(ip, credentials).await?;
    let replies = timeout(ANSWER_LIMIT, link.ask(&greeting())).await.map_err(|_| Unreachable::TimedOut)?;
    let run_id = read_greeting(replies?)?;
    Ok((link, run_id))
}

pub(crate) fn ping() -> Arguments {
    Arguments::new(["PING"])
}

/// Any answer is a sign of life, errors included: a replica that loads its primary's data answers `LOADING`.
async fn until_it_ends(link: &Link) -> NodeEvent {
    loop {
        tokio::select! {
            () = link.ended() => return NodeEvent::Ended,
            () = sleep(ALIVE_EVERY) => {}
        }
        match timeout(ANSWER_LIMIT, link.ask(&[ping()])).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return NodeEvent::Ended,
            Err(_) => return NodeEvent::Unreachable(Unreachable::TimedOut),
        }
    }
}

/// The rhythm of dialling: fast at first, then slower and slower.
struct Pace {
    since: Instant,
    wait: Duration,
    /// Nobody listened when it was dialled last.
    refused: bool,
}

impl Pace {
    fn start() -> Self {
        Self { since: Instant::now(), wait: FAST, refused: false }
    }

    /// How long to wait before the next try, after `event`.
    fn next(&mut self, event: &NodeEvent) -> Duration {
        let refused = *event == NodeEvent::Unreachable(Unreachable::Refused);
        if refused && !self.refused {
            // A process that gave no sign of life is dead now: the next one starts within moments, and lets in whom its
            // file names until somebody tells it better.
            *self = Self::start();
        }
        self.refused = refused;
        let slowest = match event {
            NodeEvent::Connected(_) | NodeEvent::Ended => return Duration::ZERO,
            NodeEvent::Unreachable(Unreachable::Refused) if self.since.elapsed() < FAST_FOR => return FAST,
            // Each refused login leaves a line in the server's ACL log.
            NodeEvent::Unreachable(Unreachable::AuthenticationFailed) => 5 * SLOW,
            NodeEvent::Unreachable(_) => SLOW,
        };
        let wait = self.wait.min(slowest);
        self.wait = (wait * 2).min(slowest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn dialling_is_fast_while_a_process_starts_and_slow_afterwards() {
        let refused = NodeEvent::Unreachable(Unreachable::Refused);
        let mut pace = Pace::start();
        let mut dials = 0;
        let begin = Instant::now();
        while begin.elapsed() < FAST_FOR {
            tokio::time::advance(pace.next(&refused)).await;
            dials += 1;
        }
        assert_eq!(dials, 200);
        let later: Vec<_> = (0..7).map(|_| pace.next(&refused).as_millis()).collect();
        assert_eq!(later, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pace.next(&NodeEvent::Ended), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn dialling_is_fast_again_when_a_process_that_stood_still_is_dead() {
        let mut pace = Pace::start();
        tokio::time::advance(FAST_FOR).await;
        let waits = |pace: &mut Pace, why: Unreachable| {
            let event = NodeEvent::Unreachable(why);
            [(); 6].map(|()| pace.next(&event).as_millis())
        };
        assert_eq!(waits(&mut pace, Unreachable::TimedOut), [50, 100, 200, 400, 800, 1000]);
        assert_eq!(waits(&mut pace, Unreachable::Refused), [50; 6]);
    }
}
