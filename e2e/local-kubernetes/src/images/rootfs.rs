//! A folder with everything a Redis or Valkey server needs, unpacked from Debian packages. It becomes
//! the layer of an image, and other tests start the servers in it as plain processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::recipes::{GENERATION, Recipe};
use crate::cache::{self, Cache};
use crate::command::{command, output, run};
use crate::debian;

/// The account of the official images of Redis and Valkey.
const ACCOUNT: u32 = 999;

/// The shell and the small programs that scripts in pods use; `libc-bin` brings `getent`.
const TOOLS: &str = "dash,sed,mawk,coreutils,grep,libc-bin";

/// What no test reads, and half of the size.
const USELESS: [&str; 7] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/zoneinfo",
    "usr/share/i18n",
    "usr/lib/x86_64-linux-gnu/gconv",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n";
const GROUP: &str = "root:x:0:\nredis:x:999:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// Like that of the official images: a first argument that is an option or a file means the server.
const ENTRYPOINT: &str = r#"#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
  set -- redis-server "$@"
fi
exec "$@"
"#;

/// The folder of this server; made if it is not in the cache. The cache must be locked.
pub fn ensure(cache: &Cache, recipe: &Recipe) -> Result<PathBuf> {
    let target = cache.rootfs(recipe.name);
    if is_current(&target) {
        return Ok(target);
    }
    debian::prepare_for_images()?;
    eprintln!("unpacking {}", recipe.name);
    cache::produce(&target, |folder| {
        unpack(recipe, folder)?;
        finish(recipe, folder).with_context(|| format!("cannot complete {}", folder.display()))
    })?;
    Ok(target)
}

pub fn is_current(folder: &Path) -> bool {
    fs::read_to_string(folder.join("etc/keyslot-generation")).is_ok_and(|found| found == GENERATION)
}

fn unpack(recipe: &Recipe, folder: &Path) -> Result<()> {
    let mirror = debian::mirror()?;
    let mut unpack = command("mmdebstrap");
    // "extract" runs no maintainer scripts. The hook makes /bin and /lib64, which packages rely on.
    unpack.args(["--variant=extract", "--mode=root", "--format=directory"]);
    unpack.arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr");
    unpack.arg(format!("--include={0}-server,{0}-tools,{TOOLS}", recipe.family));
    if recipe.suites.contains(&"sid") {
        // Mirrors that are frozen at a day serve an index of sid whose date has passed.
        unpack.arg(r#"--aptopt=Acquire::Check-Valid-Until "false""#);
    }
    let (base, newest) = (recipe.suites.first(), recipe.suites.last());
    if let (Some(base), Some(newest)) = (base, newest)
        && base != newest
    {
        unpack.arg(format!(r#"--aptopt=APT::Default-Release "{newest}""#));
    }
    unpack.arg(recipe.suites.first().context("a recipe needs a suite")?).arg(folder);
    unpack.args(recipe.suites.iter().map(|suite| format!("deb {mirror} {suite} main")));
    run(&mut unpack)
        .context("mmdebstrap could not fetch or unpack the packages; is the Debian mirror reachable?")
}

fn finish(recipe: &Recipe, folder: &Path) -> Result<()> {
    for path in USELESS {
        cache::remove(&folder.join(path))?;
    }
    for (path, content) in [("passwd", PASSWD), ("group", GROUP), ("nsswitch.conf", NSSWITCH)] {
        fs::write(folder.join("etc").join(path), content)?;
    }
    for path in ["data", "tmp"] {
        fs::create_dir_all(folder.join(path))?;
    }
    fs::set_permissions(folder.join("tmp"), PermissionsExt::from_mode(0o1777))?;
    chown(folder.join("data"), Some(ACCOUNT), Some(ACCOUNT))?;
    let entrypoint = folder.join("usr/local/bin/docker-entrypoint.sh");
    fs::create_dir_all(folder.join("usr/local/bin"))?;
    fs::write(&entrypoint, ENTRYPOINT)?;
    fs::set_permissions(&entrypoint, PermissionsExt::from_mode(0o755))?;
    if !folder.join("usr/bin/awk").exists() {
        // Made by a maintainer script on an installed system.
        symlink("mawk", folder.join("usr/bin/awk"))?;
    }
    if recipe.family == "valkey" {
        add_redis_names(folder)?;
    }
    let version = version_of(folder)?;
    if !version.starts_with(recipe.version()) {
        bail!("the mirror has version {version} where {} was expected", recipe.name);
    }
    fs::write(folder.join("VERSION"), &version)?;
    fs::write(folder.join("etc/keyslot-generation"), GENERATION)?;
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// The official images of Valkey have the names of Redis's programs too.
fn add_redis_names(folder: &Path) -> Result<()> {
    for program in ["server", "cli", "benchmark", "check-aof", "check-rdb"] {
        let link = folder.join("usr/bin").join(format!("redis-{program}"));
        if fs::symlink_metadata(&link).is_err() {
            symlink(format!("valkey-{program}"), link)?;
        }
    }
    Ok(())
}

/// `7.0.15` of `Redis server v=7.0.15 sha=…`.
fn version_of(folder: &Path) -> Result<String> {
    let words = output(program(folder, "redis-server")?.arg("--version"))?;
    let version = words.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.with_context(|| format!("no version in: {words}"))?.to_owned())
}

/// A program in the folder, started with the folder's own C library and without entering the folder.
fn program(folder: &Path, name: &str) -> Result<Command> {
    let (loader, libraries) = match std::env::consts::ARCH {
        "x86_64" => ("lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
        "aarch64" => ("lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
        other => bail!("no dynamic loader is known for {other}"),
    };
    let mut made = Command::new(folder.join(loader));
    made.arg("--library-path").arg(folder.join(libraries)).arg(folder.join("usr/bin").join(name));
    Ok(made)
}
