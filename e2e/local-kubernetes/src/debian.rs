//! What this program needs from the machine: programs of Debian packages, and the address of the
//! Debian mirror that the machine itself uses. No mirror is written into this project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{command, find, run};

/// A file that must exist and the package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// For a running cluster.
const FOR_CLUSTER: [Need; 14] = [
    need("containerd", "containerd"),
    need("ctr", "containerd"),
    need("runc", "runc"),
    need("/usr/lib/cni/bridge", "containernetworking-plugins"),
    need("ip", "iproute2"),
    need("nft", "nftables"),
    need("nsenter", "util-linux"),
    need("unshare", "util-linux"),
    need("setsid", "util-linux"),
    need("losetup", "mount"),
    need("mount", "mount"),
    need("mkfs.xfs", "xfsprogs"),
    need("xfs_growfs", "xfsprogs"),
    need("gcc", "gcc"),
];

/// For the root filesystems of Redis and Valkey.
const FOR_IMAGES: [Need; 1] = [need("mmdebstrap", "mmdebstrap")];

/// The C library to link against statically; a package of its own.
const STATIC_LIBC: Need = need("libc.a", "libc6-dev");

pub fn prepare_for_cluster() -> Result<()> {
    let mut missing = missing(&FOR_CLUSTER);
    if !has_static_libc() {
        missing.push(&STATIC_LIBC);
    }
    install(&missing)
}

pub fn prepare_for_images() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root may unpack root filesystems, with their owners and devices: start it with sudo");
    }
    install(&missing(&FOR_IMAGES))
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    let is_there = |need: &&Need| {
        if need.program.starts_with('/') {
            Path::new(need.program).exists()
        } else {
            find(need.program).is_some()
        }
    };
    needs.iter().filter(|need| !is_there(need)).collect()
}

fn has_static_libc() -> bool {
    // The compiler answers with a full path for a library that it finds, and with the bare name otherwise.
    crate::command::output(command("gcc").arg("-print-file-name=libc.a"))
        .is_ok_and(|answer| answer.trim().contains('/'))
}

fn install(missing: &[&Need]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
    if !Path::new("/etc/debian_version").exists() || !nix::unistd::geteuid().is_root() {
        bail!(
            "missing on this machine: {}. Install them (Debian packages: {}) and start again",
            programs.join(", "),
            packages.join(" ")
        );
    }
    eprintln!("installing {}", packages.join(" "));
    if install_packages(&packages).is_err() {
        run(command("apt-get").args(["update", "--quiet"]))?;
        install_packages(&packages)?;
    }
    if packages.contains(&"containerd") {
        stop_system_containerd();
    }
    Ok(())
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let mut install = command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]);
    run(install.args(packages))
}

/// The package starts a service where systemd runs. Every node here has a containerd of its own, and
/// the machine did not have one before, so it goes again.
fn stop_system_containerd() {
    if Path::new("/run/systemd/system").exists()
        && find("systemctl").is_some()
        && let Err(error) = run(command("systemctl").args(["disable", "--now", "containerd"]))
    {
        eprintln!("the containerd service that came with the package could not be stopped: {error:#}");
    }
}

/// The address of the Debian archive in the machine's own package sources.
pub fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files.iter().find_map(|file| mirror_in(file)).context(
        "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d; the images of Redis and Valkey \
         are made of Debian packages, so build them on a Debian machine whose apt works",
    )
}

fn mirror_in(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    match file.extension()?.to_str()? {
        "sources" => mirror_in_stanzas(&text),
        "list" => mirror_in_lines(&text),
        _ => None,
    }
}

/// The newer format: `URIs:`, `Suites:` and `Components:` fields, stanzas parted by empty lines.
fn mirror_in_stanzas(text: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let is_it = |line: &&str| line.to_lowercase().starts_with(&format!("{name}:"));
            stanza.lines().find(is_it).map(|line| line[name.len() + 1..].trim())
        };
        if field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
            return None;
        }
        let suites: Vec<&str> = field("suites")?.split_whitespace().collect();
        let is_source_of_main = field("types")?.split_whitespace().any(|kind| kind == "deb")
            && field("components")?.split_whitespace().any(|component| component == "main");
        let address = field("uris")?.split_whitespace().next()?;
        (is_source_of_main && suites.iter().any(|suite| is_debian_suite(suite))).then(|| address.to_owned())
    })
}

/// The older format: `deb [options] ADDRESS SUITE COMPONENT...`.
fn mirror_in_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        let (address, suite) = (words.next()?, words.next()?);
        (is_debian_suite(suite) && words.any(|component| component == "main")).then(|| address.to_owned())
    })
}

/// Security and update suites, and other people's archives, do not hold what we install from.
fn is_debian_suite(suite: &str) -> bool {
    const SUITES: [&str; 9] =
        ["oldstable", "stable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky"];
    SUITES.contains(&suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_the_newer_format() {
        let text = "Types: deb\nURIs: http://other.example/repo\nSuites: nodistro\nComponents: main\n\n\
                    Types: deb\nURIs: http://security.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main contrib\n";
        assert_eq!(mirror_in_stanzas(text).unwrap(), "http://mirror.example/debian");
    }

    #[test]
    fn a_source_that_is_off_is_not_used() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n";
        assert_eq!(mirror_in_stanzas(text), None);
    }

    #[test]
    fn the_mirror_is_found_in_the_older_format() {
        let text = "# deb http://off.example/debian bookworm main\n\
                    deb http://security.example/debian-security bookworm-security main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # mine\n";
        assert_eq!(mirror_in_lines(text).unwrap(), "http://mirror.example/debian");
    }

    #[test]
    fn another_archive_with_a_similar_suite_is_not_the_mirror() {
        assert_eq!(mirror_in_lines("deb https://db.example/apt bookworm-pgdg main\n"), None);
        assert_eq!(mirror_in_lines("deb https://c.example/debian bookworm stable\n"), None);
    }
}
