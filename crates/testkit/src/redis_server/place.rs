//! Where the files of servers are, and at which addresses servers may listen.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};

/// The folder of a version's files: `$KEYSLOT_REDIS_SERVERS/<version>`, by default where `local-kubernetes` makes them.
pub fn rootfs(version: &str) -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = from("KEYSLOT_REDIS_SERVERS")
        .or_else(|| from("KEYSLOT_CACHE").map(|cache| cache.join("rootfs")))
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("keyslot/rootfs")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/keyslot/rootfs")))
        .context("neither KEYSLOT_REDIS_SERVERS nor HOME is set")?;
    let rootfs = folder.join(version);
    ensure!(
        rootfs.join("VERSION").is_file(),
        "no server {version} in {}: run `local-kubernetes images {version}`",
        folder.display(),
    );
    Ok(rootfs)
}

/// The next address of this process in 127.1.0.0 to 127.254.255.255 at which nobody listens on `ports`.
/// Processes begin far apart.
pub(super) fn free_address(ports: [u16; 2]) -> Result<Ipv4Addr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 0x7f01_0000;
    const COUNT: u32 = 0x00fe_0000;
    for _ in 0..1000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = std::process::id().wrapping_mul(64).wrapping_add(number) % COUNT;
        let ip = Ipv4Addr::from(FIRST + offset);
        let ends = ip.octets()[3];
        if ends == 0 || ends == 255 {
            continue;
        }
        if ports.iter().all(|port| TcpListener::bind((ip, *port)).is_ok()) {
            return Ok(ip);
        }
    }
    bail!("no free address in 127.0.0.0/8")
}
