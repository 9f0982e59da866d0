//! The scripts of the pods against pretend programs: what they say when something is wrong, and what they never say.
//! What they do with real servers is in `servers.rs`.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "runs processes; the planner does not"
)]

mod common;

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::program;
use keyslot_planner::scripts;
use tempfile::TempDir;

const PASSWORD: &str = "canary-probe";

/// Runs `script` with the pretend program `name`, which does what `body` says.
fn run(script: &str, name: &str, body: &str) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("system")).unwrap();
    fs::write(path.join("system/probe-password"), PASSWORD).unwrap();
    program(path, name, body);
    let text = script.replace("/etc/keyslot", &path.display().to_string());
    fs::write(path.join("script"), text).unwrap();
    let output = Command::new("sh")
        .arg(path.join("script"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
        .env("HERE", path)
        .envs([("POD_NAME", "demo-4"), ("POD_IP", "fd00::7"), ("POD_NAMESPACE", "shop"), ("SERVICE", "demo")])
        .env("CLUSTER_DOMAIN", "example.org")
        .output()
        .unwrap();
    (output, folder)
}

/// A redis-cli that prints these lines, as INFO has them.
fn says(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\\r\\n")).collect();
    format!("cat >/dev/null; printf '{}'", lines.concat())
}

#[test]
fn ready_means_loaded_and_when_a_replica_linked() {
    for (lines, expected) in [
        (&["OK", "loading:0", "role:master"][..], Ok(())),
        (&["OK", "loading:0", "role:slave", "master_link_status:up"], Ok(())),
        (
            &["OK", "loading:0", "role:slave", "master_link_status:down"],
            Err("not ready: loaded yes, role replica, link down"),
        ),
        (&["OK", "loading:1", "role:master"], Err("not ready: loaded no, role primary, link down")),
        (
            &["OK", "async_loading:0", "loading:1", "role:master"],
            Err("not ready: loaded no, role primary, link down"),
        ),
        (
            &["WRONGPASS invalid username-password pair", "NOAUTH Authentication required."],
            Err("the server gave no INFO: is keyslot-probe allowed to log in?"),
        ),
        (&[], Err("the server gave no INFO: is keyslot-probe allowed to log in?")),
    ] {
        let (output, _folder) = run(scripts::READY, "redis-cli", &says(lines));
        let said = String::from_utf8(output.stdout).unwrap();
        let result = if output.status.success() { Ok(()) } else { Err(said.trim_end()) };
        assert_eq!(result, expected, "{lines:?}");
        assert!(output.stderr.is_empty(), "{:?}", output.stderr);
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_ready() {
    let (output, _folder) = run(scripts::READY, "redis-cli", "echo Could not connect; exit 1");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the server does not answer\n");
    assert!(!output.status.success());
}

/// The kubelet gives the probe 5 s and would then leave redis-cli behind.
#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let start = Instant::now();
    let (output, _folder) = run(scripts::READY, "redis-cli", "exec sleep 30");
    assert!(!output.status.success());
    assert!(start.elapsed() < Duration::from_millis(4900), "{:?}", start.elapsed());
}

#[test]
fn the_password_goes_through_standard_input_and_nowhere_else() {
    let body = r#"cat >"$HERE/input"; tr '\0' '\n' </proc/$$/cmdline >"$HERE/seen"; env >>"$HERE/seen"; cat "$HERE/input""#;
    let (output, folder) = run(scripts::READY, "redis-cli", body);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("input"), format!("AUTH keyslot-probe {PASSWORD}\nINFO persistence\nINFO replication\n"));
    assert!(!read("seen").contains("canary"), "{}", read("seen"));
    let shown = format!("{:?}", (output.stdout, output.stderr)) + &read("script");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_missing_password_is_told() {
    let script = scripts::READY.replace("probe-password", "absent");
    let (output, _folder) = run(&script, "redis-cli", &says(&["loading:0", "role:master"]));
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("no password in "));
}

#[test]
fn the_server_is_told_its_own_address_and_name_and_no_secret() {
    let (output, folder) = run(scripts::START, "redis-server", r#"echo "$@"; umask"#);
    let here = folder.path().display();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!(
            "{here}/config/redis.conf --cluster-announce-ip fd00::7 \
             --cluster-announce-hostname demo-4.demo.shop.svc.example.org\n0077\n"
        )
    );
    assert!(output.status.success());
}

#[test]
fn stopping_is_not_held_up() {
    let (output, _folder) = run(scripts::STOP, "redis-cli", "sleep 30");
    assert!(output.status.success() && output.stdout.is_empty());
}

/// The official images have dash or busybox: no script may need more than POSIX.
#[test]
fn every_script_is_posix() {
    for (name, text) in [("start", scripts::START), ("ready", scripts::READY), ("stop", scripts::STOP)] {
        assert!(text.starts_with("#!/bin/sh\n"), "{name}");
        for bashism in ["[[", "]]", "<<<", "<(", "$'", "\nfunction ", "local ", "echo -", "&>", "${!"] {
            assert!(!text.contains(bashism), "{name} has {bashism}");
        }
    }
}
