//! What a kubelet reports of a pod.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::probes::Health;

/// How many letters of its log a container leaves behind.
const LAST_WORDS: usize = 2048;

/// What is known of a pod and its only container.
#[derive(Clone, Debug)]
pub struct Report {
    /// Address, as soon as it has one.
    pub ip: Option<Ipv4Addr>,
    /// What its container does.
    pub state: State,
    /// How it ended the last time.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: i32,
}

/// What a container does.
#[derive(Clone, Debug)]
pub enum State {
    /// It does not run: reason and message.
    Waiting(&'static str, String),
    /// It runs.
    Running {
        /// Id of this run.
        id: String,
        /// Since then.
        since: Timestamp,
        /// What the probes say.
        health: Health,
    },
}

/// A run of the container that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Id of that run.
    pub id: String,
    /// Exit code, or 128 and the number of the signal.
    pub code: i32,
    /// Its log.
    pub log: String,
    /// When it began and ended.
    pub time: (Timestamp, Timestamp),
}

impl Report {
    /// Whether somebody has written another status: readiness is what others write.
    pub fn differs(&self, pod: &Pod) -> bool {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let told =
            conditions.clone().find(|one| one.type_ == "Ready").is_some_and(|one| one.status == "True");
        told != self.ready(pod)
    }

    fn ready(&self, pod: &Pod) -> bool {
        let ready = matches!(&self.state, State::Running { health, .. } if health.ready);
        ready && pod.metadata.deletion_timestamp.is_none()
    }

    /// `status` of the pod.
    pub fn status(&self, pod: &Pod) -> Value {
        let was_running = matches!(self.state, State::Running { .. }) || self.last.is_some();
        let started = matches!(&self.state, State::Running { health, .. } if health.started);
        let ready = self.ready(pod);
        let spec = pod.spec.as_ref().map(|spec| &spec.containers[0]);
        let condition = |kind: &str, yes: bool| json!({ "type": kind, "status": if yes { "True" } else { "False" }, "lastTransitionTime": changed(pod, kind, yes) });
        json!({
            "phase": if was_running { "Running" } else { "Pending" },
            "startTime": pod.status.as_ref().and_then(|status| status.start_time.clone()).map_or_else(|| json!(now()), |time| json!(time)),
            "podIP": self.ip,
            "podIPs": self.ip.map(|ip| json!([{ "ip": ip }])),
            "conditions": [
                condition("PodScheduled", true),
                condition("PodReadyToStartContainers", self.ip.is_some()),
                condition("Initialized", true),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "containerStatuses": [{
                "name": spec.map(|container| &container.name),
                "image": spec.and_then(|container| container.image.as_ref()),
                "imageID": "",
                "ready": ready,
                "started": started,
                "restartCount": self.restarts,
                "containerID": self.container_id(),
                "state": self.state.shown(),
                "lastState": self.last.as_ref().map_or_else(|| json!({}), |ended| json!({ "terminated": ended.shown() })),
            }],
        })
    }

    fn container_id(&self) -> Option<String> {
        let id = match &self.state {
            State::Running { id, .. } => Some(id),
            State::Waiting(..) => self.last.as_ref().map(|ended| &ended.id),
        };
        id.map(|id| format!("process://{id}"))
    }
}

impl State {
    fn shown(&self) -> Value {
        match self {
            Self::Waiting(reason, message) => json!({ "waiting": { "reason": reason, "message": message } }),
            Self::Running { since, .. } => json!({ "running": { "startedAt": since } }),
        }
    }
}

impl Ended {
    fn shown(&self) -> Value {
        let start = self.log.len().saturating_sub(LAST_WORDS);
        let words = self.log.get(self.log.ceil_char_boundary(start)..).filter(|_| self.code != 0);
        json!({
            "containerID": format!("process://{}", self.id),
            "exitCode": self.code,
            "reason": if self.code == 0 { "Completed" } else { "Error" },
            "message": words,
            "startedAt": self.time.0,
            "finishedAt": self.time.1,
        })
    }
}

/// When a condition got the value that it has.
fn changed(pod: &Pod, kind: &str, yes: bool) -> Value {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let same = conditions.iter().find(|one| one.type_ == kind && (one.status == "True") == yes);
    same.and_then(|one| one.last_transition_time.clone()).map_or_else(|| json!(now()), |time| json!(time))
}

/// Kubernetes writes times in whole seconds.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
