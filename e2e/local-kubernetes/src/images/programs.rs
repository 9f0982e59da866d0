//! Images that hold one program: the pause program of pods, and programs of this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::oci::{self, Settings};
use super::recipes::{GENERATION, PAUSE, Program};
use crate::cache::{self, Cache};
use crate::command::{command, output, run};

const PAUSE_SOURCE: &str = include_str!("pause.c");
/// As in the published image of the operator.
const PROGRAM_USER: &str = "65532:65532";

pub fn ensure_pause(cache: &Cache) -> Result<PathBuf> {
    let _lock = cache.lock()?;
    let target = cache.image(&format!("pause-{GENERATION}"));
    if target.exists() {
        return Ok(target);
    }
    let folder = target.with_extension("files");
    cache::remove(&folder)?;
    fs::create_dir_all(&folder)?;
    let source = folder.with_extension("c");
    fs::write(&source, PAUSE_SOURCE)?;
    run(command("gcc").args(["-Os", "-static", "-o"]).arg(folder.join("pause")).arg(&source))?;
    let settings = Settings { entrypoint: &["/pause"], command: &[], user: "65535:65535", folder: "/" };
    cache::produce(&target, |fresh| oci::write(fresh, PAUSE, &folder, &settings))?;
    cache::remove(&source)?;
    cache::remove(&folder)?;
    Ok(target)
}

/// Builds the program unless one is given, and packs it with the libraries that it needs.
pub fn make(cache: &Cache, program: &Program, given: Option<&Path>) -> Result<PathBuf> {
    let file = given.map_or_else(|| build(program), |path| Ok(path.to_owned()))?;
    let _lock = cache.lock()?;
    let target = cache.image(program.name);
    let folder = target.with_extension("files");
    cache::remove(&folder)?;
    fill(&folder, program, &file).with_context(|| format!("cannot pack {}", file.display()))?;
    let entrypoint = format!("/usr/bin/{}", program.binary);
    let settings = Settings { entrypoint: &[&entrypoint], command: &[], user: PROGRAM_USER, folder: "/" };
    cache::produce(&target, |fresh| oci::write(fresh, program.reference, &folder, &settings))?;
    cache::remove(&folder)?;
    Ok(target)
}

/// Cargo itself says where it has put the program: the target folder may be set anywhere.
fn build(program: &Program) -> Result<PathBuf> {
    let Program { binary, flags, .. } = program;
    let mut build = command("cargo");
    build.args(["build", "--bin", binary]).args(*flags);
    build.arg("--message-format=json-render-diagnostics");
    build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).stdin(Stdio::null());
    eprintln!("building {binary}");
    let done = build.output().context("cannot start cargo")?;
    if !done.status.success() {
        bail!("{binary} does not build; cargo's words are above");
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    executable_in(&messages, binary).with_context(|| format!("cargo built no program called {binary}"))
}

fn executable_in(messages: &str, binary: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == binary;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    })
}

fn fill(folder: &Path, program: &Program, file: &Path) -> Result<()> {
    for path in ["usr/bin", "etc/ssl/certs", "tmp"] {
        fs::create_dir_all(folder.join(path))?;
    }
    fs::copy(file, folder.join("usr/bin").join(program.binary)).context("cannot copy the program")?;
    // A static program makes ldd fail, and needs nothing.
    let needed = output(command("ldd").arg(file)).unwrap_or_default();
    for library in libraries(&needed) {
        let target = folder.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(target.parent().context("a library without a folder")?)?;
        fs::copy(&library, target).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    let authorities = "etc/ssl/certs/ca-certificates.crt";
    let from = Path::new("/").join(authorities);
    if from.exists() {
        fs::copy(from, folder.join(authorities))?;
    }
    fs::write(folder.join("etc/passwd"), "root:x:0:0::/:/none\nkeyslot:x:65532:65532::/:/none\n")?;
    fs::write(folder.join("etc/group"), "root:x:0:\nkeyslot:x:65532:\n")?;
    Ok(())
}

/// Lines are `name => /path (address)`, or `/path (address)` for the loader.
fn libraries(ldd: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    ldd.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_counts_as_a_library_and_the_kernels_page_does_not() {
        let ldd = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(ldd), expected.map(PathBuf::from));
    }

    #[test]
    fn the_program_is_taken_from_cargos_words() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"keyslot-operator"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"keyslot-operator"},"executable":"/t/release/keyslot-operator"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable_in(messages, "keyslot-operator"),
            Some(PathBuf::from("/t/release/keyslot-operator"))
        );
    }
}
