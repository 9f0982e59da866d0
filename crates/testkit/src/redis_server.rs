//! Real `redis-server` and `valkey-server` processes, without containers.
//!
//! Every server has an address of its own in 127.0.0.0/8 and the ports 6379 and 16379 there, so that commands of the
//! planner, which pin these ports, work unchanged. Servers come from the folders that `local-kubernetes images` makes.
//! A server ends with its value, killed by its pid.
//!
//! ```no_run
//! # use keyslot_testkit::redis_server::{RedisServers, ServerOptions};
//! # fn main() -> anyhow::Result<()> {
//! let acl = ["user default on nopass ~* &* +@all".to_owned()];
//! let servers = RedisServers::start("redis-7.0", 6, &ServerOptions { acl: &acl, ..Default::default() })?;
//! println!("{}", servers[0].ip());
//! # Ok(())
//! # }
//! ```

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

mod place;
mod raw;

pub use place::rootfs;
pub use raw::RawConnection;

/// Every version that is tested, as the folders of servers are called.
pub const ALL_VERSIONS: [&str; 5] = ["redis-7.0", "redis-8.0", "redis-8.6", "valkey-8.1", "valkey-9.1"];
/// The oldest Redis and the newest Valkey: where the others differ, they lie between.
pub const OUTER_VERSIONS: [&str; 2] = ["redis-7.0", "valkey-9.1"];

/// How long anything that a server does may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PORT: u16 = 6379;
const BUS_PORT: u16 = 16379;

/// What the servers of a test have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerOptions<'a> {
    /// Lines of `users.acl`. Without any, everybody may do everything.
    pub acl: &'a [String],
    /// Lines of the configuration, after the ones that every server has; a later line wins.
    pub config: &'a [&'a str],
}

/// Several servers; a slice of [`RedisServer`].
pub struct RedisServers(Vec<RedisServer>);

impl RedisServers {
    /// Starts `count` servers of a version and waits until all of them listen.
    pub fn start(version: &str, count: usize, options: &ServerOptions<'_>) -> Result<Self> {
        let mut servers = (0..count)
            .map(|number| RedisServer::prepare(version, number, options))
            .collect::<Result<Vec<_>>>()?;
        servers.iter_mut().try_for_each(RedisServer::spawn)?;
        servers.iter_mut().try_for_each(RedisServer::listens)?;
        Ok(Self(servers))
    }
}

impl Deref for RedisServers {
    type Target = [RedisServer];
    fn deref(&self) -> &[RedisServer] {
        &self.0
    }
}

impl DerefMut for RedisServers {
    fn deref_mut(&mut self) -> &mut [RedisServer] {
        &mut self.0
    }
}

/// One server: its address, its folder, and its process while there is one.
pub struct RedisServer {
    version: String,
    rootfs: PathBuf,
    ip: Ipv4Addr,
    folder: TempDir,
    child: Option<Child>,
    guard: Option<Child>,
}

impl RedisServer {
    /// Chooses an address and writes the configuration; starts nothing. `number` makes its host name, `node-<number>`.
    pub fn prepare(version: &str, number: usize, options: &ServerOptions<'_>) -> Result<Self> {
        let rootfs = rootfs(version)?;
        let folder = tempfile::Builder::new().prefix("keyslot-redis-").tempdir()?;
        let ip = place::free_address([PORT, BUS_PORT])?;
        let users = folder.path().join("users.acl");
        let own = format!(
            "bind {ip}\nbind-source-addr {ip}\nport {PORT}\nprotected-mode no\ndir {dir}\ndaemonize no\n\
             cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {BUS_PORT}\n\
             cluster-announce-ip {ip}\ncluster-announce-hostname node-{number}.test\n\
             cluster-node-timeout 5000\nrepl-diskless-sync-delay 0\nsave \"\"\nappendonly no",
            dir = folder.path().display(),
        );
        let acl = if options.acl.is_empty() { String::new() } else { format!("aclfile {}", users.display()) };
        fs::write(users, options.acl.join("\n") + "\n")?;
        let config = [own.as_str(), &acl].into_iter().chain(options.config.iter().copied());
        fs::write(folder.path().join("redis.conf"), config.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(Self { version: version.to_owned(), rootfs, ip, folder, child: None, guard: None })
    }

    /// Starts the process and does not wait until it listens.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "a process of {} runs already", self.ip);
        let program = if self.version.starts_with("valkey") { "valkey-server" } else { "redis-server" };
        let at = |path: &str| self.rootfs.join(path);
        let libraries = [at("usr/lib/x86_64-linux-gnu"), at("lib/x86_64-linux-gnu")];
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let child = Command::new(at("lib64/ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(std::env::join_paths(libraries)?)
            .arg(at("usr/bin").join(program))
            .arg(self.folder.path().join("redis.conf"))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .with_context(|| format!("starting {program} of {}", self.rootfs.display()))?;
        self.guard = Some(guard(&child)?);
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the server accepts connections; it may still be loading its data.
    pub fn listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((self.ip, PORT)).is_err() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || Instant::now() > deadline {
                bail!("{} at {} does not listen ({ended:?}):\n{}", self.version, self.ip, self.log());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.ip.into()
    }

    /// The version it was started from, e.g. `redis-7.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its folder, with `redis.conf`, `users.acl`, `nodes.conf` and its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The process, while one was started and not yet ended by the methods here.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("no process")?;
        self.dismiss_guard();
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM; returns when the process has ended by itself. It is killed when that takes too long.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let mut child = self.child.take().context("no process")?;
        self.dismiss_guard();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("{} did not end:\n{}", self.ip, self.log());
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// SIGSTOP: the process stands still, its connections stay.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Starts a process again, with the folder as it is, and waits until it listens. Ends a running one by SIGKILL.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.kill()?;
        }
        self.spawn()?;
        self.listens()
    }

    /// A connection for commands that the product never says. Logs in when credentials are given.
    pub fn connect(&self, login: Option<(&str, &str)>) -> Result<RawConnection> {
        let mut connection = RawConnection::open((self.ip(), PORT).into(), PATIENCE)?;
        if let Some((user, password)) = login {
            connection.ask(&["AUTH", user, password])?;
        }
        Ok(connection)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("no process")?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        Ok(())
    }

    /// Before its process ends on purpose, so that the guard never kills a stranger that has got the pid since.
    fn dismiss_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.dismiss_guard();
        if let Some(mut child) = self.child.take() {
            // A process that has already ended can't be killed, and nothing is left to be done.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Kills the server when the test process ends without ending it (killed by a time limit, for example): it waits for
/// the end of its standard input, whose other end only the test process has.
fn guard(child: &Child) -> Result<Child> {
    let mut guard = Command::new("sh");
    guard.args(["-c", "read -r _; kill -9 \"$0\"", &child.id().to_string()]);
    guard
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting a guard")
}
