//! A node that hangs: its process is stopped, so that it takes connections and never answers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use keyslot_e2e::processes;
use kube::ResourceExt;

/// The container is killed after four probes without an answer, one in 30 s: this is well before the fourth.
const LONGEST: Duration = Duration::from_mins(1);

/// It goes on when this is dropped.
pub struct Hanging {
    pub pod: String,
    since: Instant,
    processes: Vec<u32>,
}

impl Hanging {
    pub fn begin(pod: &Pod) -> Result<Self> {
        let name = pod.name_any();
        let mut servers = processes::of_pod(pod);
        // Probes are processes too.
        servers.retain(|process| processes::name(*process).ends_with("-server"));
        ensure!(!servers.is_empty(), "{name} has no server process on this machine");
        // Made before the signal: whatever happens then, they go on.
        let hanging = Self { pod: name, since: Instant::now(), processes: servers };
        processes::signal("STOP", &hanging.processes)?;
        Ok(hanging)
    }

    /// Nothing more may be begun with it.
    pub fn is_over(&self) -> bool {
        self.since.elapsed() > LONGEST
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if let Err(error) = processes::signal("CONT", &self.processes) {
            eprintln!("{} may hang still: {error:#}", self.pod);
        }
    }
}
