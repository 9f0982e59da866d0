//! The processes that make up the cluster: started, recorded, recognised again, ended.
//!
//! Invariant: a process is only ever signalled when its number and its start time are those that were
//! recorded. Numbers are used again by the kernel; a number with its start time is not.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::command::{command, last_lines};
use crate::layout::State;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// In clock ticks since the machine started.
    started: u64,
}

impl Process {
    pub fn with_pid(pid: i32) -> Result<Self> {
        let started = start_time(pid).with_context(|| format!("process {pid} is gone"))?;
        Ok(Self { pid, started })
    }

    /// A zombie counts as gone: it does nothing any more.
    pub fn is_alive(&self) -> bool {
        stat_of(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    pub fn is_paused(&self) -> bool {
        stat_of(self.pid).is_some_and(|stat| stat.started == self.started && stat.state == 'T')
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.is_alive() {
            kill(Pid::from_raw(self.pid), signal)
                .with_context(|| format!("cannot send {signal} to process {}", self.pid))?;
        }
        Ok(())
    }

    /// Ends it for certain and waits until it is gone. The end of a node includes unmounting, which on a
    /// busy disk takes a while.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.is_alive() {
            if Instant::now() > deadline {
                bail!("process {} does not end although it was killed", self.pid);
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Processes that it started itself, by their program's names.
    pub fn children(&self) -> Vec<(String, Self)> {
        let listed = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        let named = |pid: &str| {
            let pid = pid.parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((name.trim().to_owned(), Self::with_pid(pid).ok()?))
        };
        listed.split_whitespace().filter_map(named).collect()
    }
}

struct Stat {
    state: char,
    started: u64,
}

fn stat_of(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in parentheses, may hold spaces and parentheses itself: count from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { state, started: fields.nth(18)?.parse().ok()? })
}

fn start_time(pid: i32) -> Option<u64> {
    stat_of(pid).map(|stat| stat.started)
}

/// Starts a long-running process that outlives this one, with its output in a log file.
pub fn start(state: &State, name: &str, what: &Command) -> Result<Process> {
    let log = state.log(name);
    let file = File::options().create(true).append(true).open(&log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    // A session of its own, so that closing the terminal does not end the cluster.
    let mut detached = command("setsid");
    detached.arg(what.get_program()).args(what.get_args());
    for (key, value) in what.get_envs() {
        match value {
            Some(value) => detached.env(key, value),
            None => detached.env_remove(key),
        };
    }
    // All traffic of the cluster stays on the machine, and a proxy could not reach it.
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        detached.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    detached.current_dir(state.root()).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let child = detached.spawn().with_context(|| format!("cannot start {name}"))?;
    let process = Process::with_pid(i32::try_from(child.id())?)?;
    record(state, name, &process)?;
    // Nobody may leave a zombie behind while this program still waits for something.
    std::thread::spawn(move || child.wait_with_output());
    Ok(process)
}

fn file_of(state: &State, name: &str) -> PathBuf {
    state.processes().join(name)
}

pub fn record(state: &State, name: &str, process: &Process) -> Result<()> {
    let path = file_of(state, name);
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, serde_json::to_string(process)?)
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("cannot record process {name} in {}", path.display()))
}

/// The recorded process, dead or alive.
pub fn recorded(state: &State, name: &str) -> Option<Process> {
    serde_json::from_str(&fs::read_to_string(file_of(state, name)).ok()?).ok()
}

pub fn alive(state: &State, name: &str) -> Option<Process> {
    recorded(state, name).filter(Process::is_alive)
}

/// Kills the recorded process, if it is still there, and forgets it.
pub fn end(state: &State, name: &str) -> Result<()> {
    if let Some(process) = recorded(state, name) {
        process.kill().with_context(|| format!("cannot end {name}"))?;
    }
    crate::cache::remove(&file_of(state, name))
}

/// Waits for `is_done`; gives up early when the named process dies, and shows the end of its log.
pub fn wait_for(
    state: &State,
    name: &str,
    seconds: u64,
    what: &str,
    mut is_done: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !is_done() {
        let is_dead = alive(state, name).is_none();
        if is_dead || Instant::now() > deadline {
            let log = state.log(name);
            let text = fs::read_to_string(&log).unwrap_or_default();
            let why = if is_dead { "has died".to_owned() } else { format!("took more than {seconds} s") };
            bail!("{what}: {name} {why}. End of {}:\n{}", log.display(), last_lines(&text, 12));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_start_time() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.started), ('S', 98765));
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_ours() {
        let own = Process::with_pid(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        let other = Process { pid: own.pid, started: own.started + 1 };
        assert!(!other.is_alive());
        other.kill().unwrap();
    }
}
