//! One run of a container: a process with the files of its image, its volumes, and the network of its pod.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Where programs of containers are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// By its path: with an environment of its own, a program that is looked for by name costs a copy of this process.
const NSENTER: &str = "/usr/bin/nsenter";
const ENTER: &str = include_str!("enter.sh");
const USER: &str = "999";

/// What a container is made of.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// For its own files; new for each run.
    pub folder: PathBuf,
    /// Root of its image.
    pub image: PathBuf,
    /// Name of the network namespace of its pod.
    pub network: String,
    /// What is mounted, and where.
    pub mounts: Vec<(PathBuf, String)>,
    /// Environment.
    pub environment: Vec<(String, String)>,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A started container.
pub struct Container {
    plan: ContainerPlan,
    child: Child,
    pid: Pid,
}

impl Container {
    /// Starts it.
    pub fn start(plan: ContainerPlan) -> Result<Self> {
        fs::create_dir_all(&plan.folder)?;
        let log = File::options().create(true).append(true).open(log_of(&plan.folder))?;
        let mut command = Command::new(NSENTER);
        command
            .arg(format!("--net=/run/netns/{}", plan.network))
            .args(["unshare", "--mount", "sh", "-c", ENTER, "enter"]);
        command.arg(&plan.folder).arg(&plan.image);
        for (source, target) in &plan.mounts {
            command.arg(source).arg(target);
        }
        command.arg("--").args(&plan.command);
        command.env_clear().env("PATH", PATH).envs(plan.environment.iter().cloned());
        // A group of its own, for what a container starts ends with it.
        command.process_group(0).stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let child = command.spawn().context("starting a container")?;
        let pid = child.id().context("a container without a process")?;
        Ok(Self { plan, child, pid: Pid::from_raw(i32::try_from(pid)?) })
    }

    /// Returns when its first process has ended; nothing else of it lives then.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await.ok();
        self.signal(Signal::SIGKILL);
        status
    }

    /// The way in for probes and hooks.
    pub fn door(&self) -> Door {
        Door { pid: self.pid, environment: self.plan.environment.clone() }
    }

    /// Asks it to end, and kills it when that takes longer than `grace`.
    pub async fn stop(&mut self, grace: Duration) {
        // The first process alone, as a container runtime does.
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGTERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Ends it without a warning.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
    }

    /// To everything that runs in it: `SIGSTOP` makes it hang.
    pub fn signal(&self, signal: Signal) {
        // Who has ended already can't be signalled.
        let _ = killpg(self.pid, signal);
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(log_of(&self.plan.folder)).unwrap_or_default()
    }
}

/// The way into a container, as long as it runs.
#[derive(Clone, Debug)]
pub struct Door {
    pid: Pid,
    environment: Vec<(String, String)>,
}

impl Door {
    /// Runs a command in the container; `true` when it ended with 0 in time.
    pub async fn exec(&self, command: &[String], limit: Duration) -> bool {
        let mut inside = Command::new(NSENTER);
        inside.args(["--target", &self.pid.to_string(), "--mount", "--net", "--root"]);
        inside.args(["--setuid", USER, "--setgid", USER, "--"]).args(command);
        inside.env_clear().env("PATH", PATH).envs(self.environment.iter().cloned());
        inside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(mut child) = inside.spawn() else { return false };
        matches!(timeout(limit, child.wait()).await, Ok(Ok(status)) if status.success())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}
