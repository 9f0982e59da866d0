//! A machine within the machine: own network, own mounts, own processes. Whatever happens in it, nothing of it is left
//! when it ends: no process, no mount, no bridge.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use local_kubernetes::ControlPlane;

/// Says to the inner process that it is inside.
const INSIDE: &str = "KEYSLOT_FAULTS_INSIDE";
/// Where it may write: in memory, and gone with it.
const FOLDER: &str = "/run/keyslot-faults";

/// The network that all pods are connected to.
pub const BRIDGE: &str = "pods";
/// The first two numbers of the addresses of pods.
pub const POD_NETWORK: [u8; 2] = [10, 88];

/// Where the caller is now.
pub enum Place {
    /// Inside: go on.
    Inside(Tier),
    /// Outside, where the inner process has ended.
    Outside(ExitCode),
}

/// The inside.
pub struct Tier {
    folder: PathBuf,
}

/// Runs this program again, inside, and waits for its end. Must be called before any thread is started.
pub fn enter() -> Result<Place> {
    if std::env::var_os(INSIDE).is_some() {
        let tier = Tier { folder: FOLDER.into() };
        tier.furnish().context("cannot set up the inner machine")?;
        return Ok(Place::Inside(tier));
    }
    ensure!(
        nix::unistd::geteuid().is_root(),
        "only root may make network namespaces and mounts: start it with sudo"
    );
    ControlPlane::build()?;
    // The inner program is the first process inside, and dies with this one; with it goes everything else. The shell
    // between waits for the processes that lose their parents.
    let status = Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ])
        .args(["bash", "-c", "\"$@\"; exit $?", "inside"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "yes")
        // Processors are what is short here, not memory: the control plane clears it up less often.
        .env("GOGC", "800")
        .env("GOMEMLIMIT", "3GiB")
        // Failures name what was expected; traces would only push them out of sight.
        .env("RUST_LIB_BACKTRACE", "0")
        .status()
        .context("cannot start setpriv and unshare (Debian package util-linux)")?;
    Ok(Place::Outside(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

impl Tier {
    fn furnish(&self) -> Result<()> {
        // Names of network namespaces are files there; outside of this machine nobody shall see them.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        std::fs::create_dir(&self.folder)?;
        let [a, b] = POD_NETWORK;
        let control_plane = format!("{}/24", ControlPlane::ADDRESS);
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
        run("ip", &["address", "add", &control_plane, "dev", BRIDGE])?;
        run("ip", &["address", "add", &format!("{a}.{b}.0.1/16"), "dev", BRIDGE])?;
        run("ip", &["link", "set", BRIDGE, "up"])
    }

    /// A folder in memory, gone with the inner machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the names in this file known to clients here.
    pub fn resolve(&self, hosts: &Path) -> Result<()> {
        run("mount", &["--bind", &hosts.display().to_string(), "/etc/hosts"])
    }

    /// Starts a control plane.
    pub fn control_plane(&self) -> Result<ControlPlane> {
        ControlPlane::start(&self.folder.join("control-plane"))
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), words.trim());
    Ok(())
}
