//! Builds the two Go modules of this package: the Kubernetes components and the DNS server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache};
use crate::command::{command, output, run_aloud};
use crate::layout::KUBERNETES;

const COREDNS: &str = "1.14.4";
/// What the two modules ask for.
const OLDEST_GO: (u32, u32) = (1, 25);

pub struct Programs {
    pub components: PathBuf,
    pub dns: PathBuf,
}

/// Builds what the cache does not have. The first time takes minutes.
pub fn ensure(cache: &Cache) -> Result<Programs> {
    let _lock = cache.lock()?;
    Ok(Programs {
        components: ensure_module(cache, "components", KUBERNETES, &version_flags())?,
        dns: ensure_module(cache, "dns", COREDNS, "")?,
    })
}

/// Without these `/version` says v0.0.0, and clients that check versions refuse to work.
fn version_flags() -> String {
    let mut parts = KUBERNETES.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let base = "-X k8s.io/component-base/version";
    format!(
        "{base}.gitVersion=v{KUBERNETES} {base}.gitMajor={major} {base}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}"
    )
}

fn ensure_module(cache: &Cache, name: &str, version: &str, flags: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let sources = ["go.mod", "go.sum", "main.go"].map(|file| folder.join(file));
    if let Some(missing) = sources.iter().find(|file| !file.exists()) {
        bail!("{} is missing; run this program from the checkout that it was built in", missing.display());
    }
    let target = cache.bin().join(format!("{name}-{version}-{}", cache::fingerprint(&sources)?));
    if target.exists() {
        return Ok(target);
    }
    check_go()?;
    eprintln!("building {name} {version} with Go; the first time takes minutes");
    cache::produce(&target, |fresh| {
        let mut build = command("go");
        build.current_dir(&folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false");
        build.args(["build", "-trimpath", "-ldflags", &format!("-s -w {flags}"), "-o"]).arg(fresh).arg(".");
        run_aloud(&mut build)
    })?;
    Ok(target)
}

fn check_go() -> Result<()> {
    let (major, minor) = OLDEST_GO;
    let wanted =
        format!("Go {major}.{minor} or newer is needed (Debian's package is older): see https://go.dev/dl");
    let said = output(command("go").args(["env", "GOVERSION"])).context(wanted.clone())?;
    match parse_version(&said) {
        Some(found) if found >= OLDEST_GO => Ok(()),
        _ => bail!("{wanted}; found {}", said.trim()),
    }
}

/// `go1.26.8` or `go1.25rc1`; anything after the second number does not matter.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

/// Links named after the components, which is how the program knows what to be.
pub fn link(programs: &Programs, folder: &Path) -> Result<()> {
    let components = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ];
    let links = components.map(|name| (name, &programs.components));
    for (name, target) in links.into_iter().chain([("coredns", &programs.dns)]) {
        std::os::unix::fs::symlink(target, folder.join(name))
            .with_context(|| format!("cannot make {}", folder.join(name).display()))?;
    }
    fs::metadata(folder.join("kubectl")).context("the link to kubectl leads nowhere")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_understood() {
        assert_eq!(parse_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse_version("go1.25rc1"), Some((1, 25)));
        assert_eq!(parse_version("devel"), None);
        assert!(parse_version("go1.24.9").unwrap() < OLDEST_GO);
    }

    #[test]
    fn the_version_flags_name_every_variable() {
        let flags = version_flags();
        assert!(flags.contains("gitMajor=1 ") && flags.contains("gitMinor=35 "), "{flags}");
        assert_eq!(flags.matches(&format!("gitVersion=v{KUBERNETES}")).count(), 2);
    }
}
