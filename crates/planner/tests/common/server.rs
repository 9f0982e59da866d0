//! Real servers, started by the files that the planner renders.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use keyslot_planner::{Desired, config, manifests, scripts};
use keyslot_testkit::redis_server::{ALL_VERSIONS, rootfs};
use tempfile::TempDir;

use super::common::{cluster, json_of, memory, minimal, program};

/// The programs of one server version.
pub struct Version {
    /// Such as `redis-7.0`.
    pub name: &'static str,
    root: PathBuf,
}

/// Does the same with every version, side by side: most of the time is waiting.
pub fn on_every_version(check: impl Fn(&Version) + Sync) {
    let versions = ALL_VERSIONS.map(|name| Version { name, root: rootfs(name).unwrap() });
    std::thread::scope(|scope| {
        for version in &versions {
            scope.spawn(|| check(version));
        }
    });
}

impl Version {
    /// The words that start one of its programs: by its own loader, since its libraries are its own too.
    fn program(&self, name: &str) -> String {
        let root = self.root.display();
        let libraries = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu");
        format!("{root}/lib64/ld-linux-x86-64.so.2 --library-path {libraries} {root}/usr/bin/{name}")
    }
}

/// A server that was started as in a pod, but in a folder of its own and on free ports. Its host name has its port in
/// it, and redis-cli finds all of these names at 127.0.0.1: there is no name server here. Ends with its value.
pub struct Server {
    /// Everything of it.
    pub folder: TempDir,
    /// The port of clients.
    pub port: u16,
    /// The port of the bus.
    pub bus_port: u16,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts a server with the files of this cluster and waits until it answers.
    pub fn start(version: &Version, desired: &Desired) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, bus_port) = (free_port(), free_port());
        for name in ["data", "config", "acl", "system", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let here = |text: &str| moved(text, folder.path());
        write(folder.path(), "config/redis.conf", &configuration(desired, folder.path(), (port, bus_port)));
        write(folder.path(), "acl/users.acl", &manifests::baseline_users_file(desired));
        let system = json_of(&manifests::system_secret(&cluster(&minimal()), &memory()));
        for key in ["probe-password", "replication.conf"] {
            let text = decode(system["data"][key].as_str().unwrap());
            write(folder.path(), &format!("system/{key}"), &text);
        }
        for (name, text) in [("start.sh", scripts::START), ("ready.sh", scripts::READY)] {
            write(folder.path(), &format!("config/{name}"), &here(text));
        }
        program(
            &folder.path().join("bin"),
            "redis-cli",
            &format!("{RESOLVE}exec {} -p {port} \"$@\"", version.program("redis-cli")),
        );
        program(
            &folder.path().join("bin"),
            "redis-server",
            &format!("exec {} \"$@\"", version.program("redis-server")),
        );
        let process = run(folder.path(), port);
        let mut server = Self { folder, port, bus_port, process };
        server.await_answer(version.name);
        server
    }

    /// Ends the process and starts another one on its data, with more lines of configuration.
    pub fn restart(&mut self, version: &Version, more: &str) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let conf = self.folder.path().join("config/redis.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(conf, text + more).unwrap();
        self.process = run(self.folder.path(), self.port);
        self.await_answer(version.name);
    }

    /// Writes the configuration of this cluster, for the next start.
    pub fn configure(&self, desired: &Desired) {
        let text = configuration(desired, self.folder.path(), (self.port, self.bus_port));
        write(self.folder.path(), "config/redis.conf", &text);
    }

    /// SIGKILL; returns when the process is gone.
    pub fn die(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// SIGTERM; returns when the process has ended by itself.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Starts on the data of an ended process, as a kubelet does it; does not wait until the server answers.
    pub fn start_again(&mut self) {
        self.process = run(self.folder.path(), self.port);
    }

    /// Takes the data of an ended process away.
    pub fn lose_data(&self) {
        fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        fs::create_dir(self.folder.path().join("data")).unwrap();
    }

    /// Its name, as it announces it.
    pub fn host(&self) -> String {
        format!("demo-{}.demo.shop.svc.cluster.local", self.port)
    }

    fn await_answer(&mut self, version: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{version} does not start ({ended:?}): {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The arguments of the process, as anybody on the host sees them.
    pub fn arguments(&self) -> String {
        fs::read_to_string(format!("/proc/{}/cmdline", self.process.id())).unwrap().replace('\0', " ")
    }

    /// Whether the liveness probe is content.
    pub fn answers(&self) -> bool {
        self.cli("", &["ping"]).status.success()
    }

    /// What `ready.sh` says.
    pub fn ready(&self) -> Output {
        in_pod(self.folder.path(), "ready.sh").output().unwrap()
    }

    /// Commands on standard input of redis-cli, as `user`.
    pub fn ask_as(&self, user: &str, password: &str, commands: &str) -> String {
        let output = self.cli(&format!("AUTH {user} {password}\n{commands}\n"), &[]);
        let said = String::from_utf8(output.stdout).unwrap().replace('\r', "");
        said.strip_prefix("OK\n").unwrap_or(&said).trim_end().to_owned()
    }

    /// The same as the operator.
    pub fn ask(&self, commands: &str) -> String {
        self.ask_as("keyslot-operator", "canary-operator", commands)
    }

    fn cli(&self, input: &str, arguments: &[&str]) -> Output {
        let mut cli = Command::new(self.folder.path().join("bin/redis-cli"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        cli.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        cli.wait_with_output().unwrap()
    }
}

/// The names of the servers here, among the arguments of redis-cli.
const RESOLVE: &str = "for word in \"$@\"; do shift
case $word in demo-*.demo.shop.svc.cluster.local) word=127.0.0.1 ;; esac
set -- \"$@\" \"$word\"; done
";

fn run(folder: &Path, port: u16) -> Child {
    let mut command = in_pod(folder, "start.sh");
    command.env("POD_NAME", format!("demo-{port}"));
    command.stdout(fs::File::create(folder.join("log")).unwrap()).spawn().unwrap()
}

/// One of the scripts, with the environment and the path of a pod.
fn in_pod(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    command.arg(folder.join("config").join(script)).env_clear().env("PATH", path).envs([
        ("POD_NAMESPACE", "shop"),
        ("POD_IP", "127.0.0.1"),
        ("SERVICE", "demo"),
        ("CLUSTER_DOMAIN", "cluster.local"),
    ]);
    command
}

/// redis.conf as the planner renders it, but for places.
fn configuration(desired: &Desired, folder: &Path, (port, bus_port): (u16, u16)) -> String {
    moved(&config::redis_conf(&desired.in_force), folder)
        .replace("\nport 6379\n", &format!("\nport {port}\n"))
        .replace("\ncluster-port 16379\n", &format!("\ncluster-port {bus_port}\n"))
}

/// The paths of a pod, moved into a folder.
fn moved(text: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let text = text.replace("/etc/keyslot", &folder).replace("dir /data\n", &format!("dir {folder}/data\n"));
    text.replace("data=/data\n", &format!("data={folder}/data\n"))
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// Ports below those that the kernel gives out by itself: nobody takes one between this look and the server's start.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1000).unwrap() * 16;
    loop {
        let port = 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Base64, as the API server writes a Secret.
fn decode(text: &str) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(text.into()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}
