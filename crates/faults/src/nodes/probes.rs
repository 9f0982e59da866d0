//! The probes of a container: startup first, then readiness and liveness beside each other.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::watch;
use tokio::time::sleep;

use super::container::Door;

/// What the probes have found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The startup probe has succeeded.
    pub started: bool,
    /// The readiness probe says yes.
    pub ready: bool,
    /// The startup or the liveness probe has given the container up.
    pub given_up: bool,
}

/// Probes a container until this ends.
pub async fn watch_health(door: Door, container: Container, health: watch::Sender<Health>) {
    if !pass(&door, container.startup_probe.as_ref()).await {
        health.send_modify(|health| health.given_up = true);
        return;
    }
    health.send_modify(|health| health.started = true);
    let readiness = async {
        let Some(probe) = container.readiness_probe.as_ref() else {
            health.send_modify(|health| health.ready = true);
            return std::future::pending().await;
        };
        let mut judge = Judge::of(probe, false);
        loop {
            let ready = judge.told(run(&door, probe).await);
            health.send_if_modified(|health| std::mem::replace(&mut health.ready, ready) != ready);
            sleep(period(probe)).await;
        }
    };
    let liveness = async {
        let Some(probe) = container.liveness_probe.as_ref() else { return std::future::pending().await };
        let mut judge = Judge::of(probe, true);
        while judge.told(run(&door, probe).await) {
            sleep(period(probe)).await;
        }
    };
    tokio::select! {
        () = readiness => {}
        () = liveness => health.send_modify(|health| health.given_up = true),
    }
}

/// Probes until it succeeds (`true`) or has failed too often.
async fn pass(door: &Door, probe: Option<&Probe>) -> bool {
    let Some(probe) = probe else { return true };
    for _ in 0..probe.failure_threshold.unwrap_or(3) {
        if run(door, probe).await {
            return true;
        }
        sleep(period(probe)).await;
    }
    false
}

async fn run(door: &Door, probe: &Probe) -> bool {
    let command = probe.exec.as_ref().and_then(|exec| exec.command.as_deref()).unwrap_or_default();
    door.exec(command, seconds(probe.timeout_seconds, 1)).await
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds, 10)
}

fn seconds(given: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(given.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
}

/// Changes its mind only after as many results in a row as the probe says.
struct Judge {
    verdict: bool,
    against: i32,
    successes: i32,
    failures: i32,
}

impl Judge {
    fn of(probe: &Probe, verdict: bool) -> Self {
        let threshold = |given: Option<i32>, default| given.unwrap_or(default);
        Self {
            verdict,
            against: 0,
            successes: threshold(probe.success_threshold, 1),
            failures: threshold(probe.failure_threshold, 3),
        }
    }

    fn told(&mut self, good: bool) -> bool {
        self.against = if good == self.verdict { 0 } else { self.against + 1 };
        let enough = if good { self.successes } else { self.failures };
        if self.against >= enough {
            self.verdict = good;
            self.against = 0;
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_unready_only_after_its_threshold_and_ready_at_once() {
        let probe = Probe { failure_threshold: Some(2), ..Probe::default() };
        let mut judge = Judge::of(&probe, false);
        let told: Vec<bool> = [true, false, true, false, false, true].map(|good| judge.told(good)).into();
        assert_eq!(told, [true, true, true, true, false, true]);
    }
}
