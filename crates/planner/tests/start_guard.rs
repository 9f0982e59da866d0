//! The start guard of `start.sh` with pretend replicas: what it asks whom, and what it makes of each answer. What it
//! does with real servers is in `servers.rs`.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "runs processes; the planner does not"
)]

mod common;

use std::fs;
use std::process::{Child, Command};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use common::program;
use keyslot_planner::scripts;
use tempfile::TempDir;

const ME: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
const REPLICA: &str = "17c37dfeb235213a872192d90877d0cd55635b92";
const STREAM: &str = "27c37dfeb235213a872192d90877d0cd55635b93";
const OTHER: &str = "37c37dfeb235213a872192d90877d0cd55635b94";

const GLIBC_UNKNOWN: &str = "Could not connect to Redis at demo-4.demo:6379: Name or service not known";
const REFUSED: &str = "Could not connect to Valkey at demo-4.demo:6379: Connection refused";
/// The guard's patience is 10 s and three node timeouts, which are nearly nothing here.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pod whose node owned slots, and what redis-cli shall tell it. Ends with its value.
struct Pod {
    folder: TempDir,
    process: Child,
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Ends what it waits for, too; a process that is killed could not.
        let _ = Command::new("sh").args(["-c", &format!("kill {}", self.process.id())]).output();
        let _ = self.process.wait();
    }
}

impl Pod {
    /// `replicas` are the addresses of nodes.conf; `cli` is the body of a pretend redis-cli.
    fn start(replicas: &[&str], snapshot: Option<&[u8]>, cli: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["data", "config", "system", "bin"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
        let me = [format!("{ME} 10.0.0.3:6379@16379,demo-3.demo myself,master - 0 0 3 connected 0-5")];
        let mine =
            replicas.iter().map(|address| format!("{REPLICA} {address} slave {ME} 0 1795275 3 connected"));
        let end = [
            format!("{OTHER} 10.0.0.9:6379@16379,demo-9.demo slave {STREAM} 0 1795275 4 connected"),
            "vars currentEpoch 4 lastVoteEpoch 0\n".to_owned(),
        ];
        let nodes: Vec<String> = me.into_iter().chain(mine).chain(end).collect();
        write("data/nodes.conf", &nodes.join("\n"));
        if let Some(snapshot) = snapshot {
            fs::write(path.join("data/dump.rdb"), snapshot).unwrap();
        }
        write("config/redis.conf", "port 6379\ncluster-node-timeout 1\nappendonly no\n");
        write("system/probe-password", "canary-probe");
        let script = scripts::START.replace("/etc/keyslot", &path.display().to_string());
        write("start.sh", &script.replace("data=/data\n", &format!("data={}/data\n", path.display())));
        program(&path.join("bin"), "redis-cli", &format!("echo \"$@\" >>\"$HERE/asked\"\n{cli}"));
        program(&path.join("bin"), "redis-server", "echo the server runs");
        let process = Command::new("sh")
            .arg(path.join("start.sh"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", path.join("bin").display()))
            .env("HERE", path)
            .envs([("POD_NAME", "demo-3"), ("POD_IP", "10.0.0.3"), ("POD_NAMESPACE", "shop")])
            .envs([("SERVICE", "demo"), ("CLUSTER_DOMAIN", "cluster.local")])
            .stdout(fs::File::create(path.join("log")).unwrap())
            .stderr(fs::File::create(path.join("errors")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// What it says after its first look, without `start guard: `.
    fn decides(&self) -> String {
        let decision = |line: &str| {
            let line = line.strip_prefix("start guard: ")?;
            line.starts_with("starting: ")
                .then(|| line.to_owned())
                .or_else(|| line.split_once("; waiting: ").map(|(_, why)| format!("waiting: {why}")))
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(said) = self.read("log").lines().find_map(decision) {
                assert_eq!(self.read("errors"), "");
                return said;
            }
            assert!(Instant::now() < deadline, "{}", self.read("log"));
            sleep(Duration::from_millis(20));
        }
    }

    fn runs_its_server(&self) -> bool {
        self.read("log").ends_with("the server runs\n")
    }
}

/// What the guard decides at first is as expected. The pretend answers come at once, but a busy machine may take longer
/// for them than the guard waits for an answer: then once more.
#[track_caller]
fn assert_decides(replicas: &[&str], snapshot: Option<&[u8]>, cli: &str, expected: &str) {
    let decide = || Pod::start(replicas, snapshot, cli).decides();
    let is_final = |said: &String| said == expected || !said.ends_with(" does not answer");
    let decision = (0..4).map(|_| decide()).find(is_final).unwrap_or_else(decide);
    assert_eq!(decision, expected, "{cli}");
}

/// A redis-cli that prints this, as a server's answers come.
fn says(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\\r\\n")).collect();
    format!("cat >/dev/null; printf '{}'", lines.concat())
}

/// The answer of a node with this id.
fn node(id: &str, info: &[&str]) -> String {
    says(&[&["OK", id, "# Memory", "number_of_libraries:0", "# Replication"], info].concat())
}

/// A replica that stands at this place.
fn replica(stream: &str, offset: &str, keys: &[&str]) -> String {
    let place = [format!("master_replid:{stream}"), format!("slave_repl_offset:{offset}")];
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    node(REPLICA, &[&["role:slave"], place.as_slice(), &["# Keyspace"], keys].concat())
}

/// The beginning of a snapshot: these fields, and a database.
fn snapshot(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"REDIS0012".to_vec();
    for (name, value) in fields {
        bytes.push(0xFA);
        bytes.extend(text(name));
        bytes.extend(*value);
    }
    bytes.extend(b"\xFE\x00\xFB\x01\x00\x00\x01a\x01b\xFF12345678");
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// One that goes up to offset 500 of `STREAM`.
fn up_to_500() -> Vec<u8> {
    snapshot(&[("redis-bits", b"\xC0\x40"), ("repl-id", &text(STREAM)), ("repl-offset", b"\xC1\xF4\x01")])
}

const HOST: &str =
    "10.0.0.4:6379@16379,demo-4.demo,tls-port=0,shard-id=47c37dfeb235213a872192d90877d0cd55635b95";
const PROMOTED: &str = "starting: demo-4.demo has been promoted";
const AT_ONCE: &str = "starting: every replica answers, and none has more";
const COPY: &str = "waiting: demo-4.demo has more than this node and is not promoted";
const SILENT: &str = "waiting: demo-4.demo does not answer";
const ABSENT: &str = "waiting: demo-4.demo is not there, or is another node now";

#[test]
fn replicas_are_asked_by_name_and_by_address_only_where_there_is_no_name() {
    for (address, asked) in [
        (HOST, "-h demo-4.demo -p 6379\n"),
        ("10.0.0.4:6379@16379,demo-4.demo", "-h demo-4.demo -p 6379\n"),
        ("fd00::4:6379@16379,demo-4.demo", "-h demo-4.demo -p 6379\n"),
        ("10.0.0.4:7000@17000", "-h 10.0.0.4 -p 7000\n"),
        ("10.0.0.4:6379@16379,,tls-port=0", "-h 10.0.0.4 -p 6379\n"),
        ("fd00::4:6379@16379,,tls-port=0", "-h fd00::4 -p 6379\n"),
        (":0@0,demo-4.demo,tls-port=0", "-h demo-4.demo -p 6379\n"),
    ] {
        let pod = Pod::start(&[address], None, &node(REPLICA, &["role:master", "# Keyspace"]));
        assert!(pod.decides().ends_with("has been promoted"));
        assert_eq!(pod.read("asked"), asked, "{address}");
    }
}

#[test]
fn each_answer_is_judged_on_its_own_and_the_strongest_counts() {
    let (some, none) = (&["db0:keys=1,expires=0,avg_ttl=0"][..], &[][..]);
    let hangs = "exec sleep 30";
    for (cli, expected) in [
        (node(REPLICA, &["role:master", "# Keyspace"]), PROMOTED),
        (node(OTHER, &["role:master", "# Keyspace"]), ABSENT),
        (node(OTHER, &["role:slave", "# Keyspace", "db0:keys=1"]), ABSENT),
        (replica(STREAM, "9", some), COPY),
        (replica(STREAM, "9", &["db7:keys=1"]), COPY),
        (replica(STREAM, "9", none), AT_ONCE),
        (node(REPLICA, &["role:slave", "number_of_libraries:2", "# Keyspace"]), COPY),
        (format!("{}; kill -9 $$", replica(STREAM, "9", none)), SILENT),
        (node(REPLICA, &["NOPERM no INFO"]), SILENT),
        (says(&["OK", "LOADING Redis is loading", "role:slave", "# Keyspace"]), SILENT),
        (says(&["WRONGPASS invalid", "NOAUTH", "NOAUTH"]), SILENT),
        (says(&[]), SILENT),
        (hangs.to_owned(), SILENT),
        (says(&["Could not connect to Redis at demo-4.demo:6379: No route to host"]), SILENT),
        (says(&["Could not connect to Redis at demo-4.demo:6379: Try again"]), SILENT),
        (
            says(&["Could not connect to Redis at demo-4.demo:6379: Temporary failure in name resolution"]),
            SILENT,
        ),
        (says(&[REFUSED, REFUSED]), ABSENT),
    ] {
        assert_decides(&[HOST], None, &cli, expected);
    }
    let more = "10.0.0.5:6379@16379,demo-5.demo";
    let by_host = |four: &str, five: &str| format!("case $2 in demo-4*) {four} ;; *) {five} ;; esac");
    let (absent, empty, copy) = (says(&[REFUSED]), replica(STREAM, "9", none), replica(STREAM, "9", some));
    for (cli, expected) in [
        (by_host(&copy, hangs), COPY),
        (by_host(hangs, &absent), SILENT),
        (by_host(&absent, &empty), ABSENT),
        (by_host(&node(REPLICA, &["role:master", "# Keyspace"]), &copy), PROMOTED),
    ] {
        assert_decides(&[HOST, more], None, &cli, expected);
        assert_decides(&[more, HOST], None, &cli, expected);
    }
}

/// A name that is unknown proves that the pod is gone only where names are known at all. Where they are not, only the
/// replica itself at its last address is an answer: another pod may have got it.
#[test]
fn an_unknown_name_is_evidence_only_where_names_work() {
    let copy = replica(STREAM, "9", &["db0:keys=1"]);
    let unknown = [GLIBC_UNKNOWN, "Could not connect to Redis at demo-4.demo:6379: Name does not resolve"];
    for unknown in unknown.map(|line| says(&[line])) {
        let by_host = |service: &str, address: &str| {
            format!("case $2 in demo-4*) {unknown} ;; demo.shop.*) {service} ;; *) {address} ;; esac")
        };
        let (refused, other) = (says(&[REFUSED]), node(OTHER, &["role:slave", "# Keyspace"]));
        for (service, address, expected) in [
            (&refused, &copy, ABSENT),
            (&other, &copy, ABSENT),
            (&unknown, &copy, COPY),
            (&unknown, &refused, SILENT),
            (&unknown, &other, SILENT),
            (&unknown, &unknown, SILENT),
            (&says(&[]), &refused, SILENT),
        ] {
            assert_decides(&[HOST], None, &by_host(service, address), expected);
        }
        let promoted = by_host(&unknown, &node(REPLICA, &["role:master", "# Keyspace"]));
        assert_decides(&[HOST], None, &promoted, PROMOTED);
        // An address that was lost as well.
        assert_decides(&[":0@0,demo-4.demo"], None, &by_host(&unknown, "exec sleep 30"), SILENT);
    }
}

#[test]
fn a_snapshot_is_as_good_as_a_replica_of_the_same_stream_that_is_no_further() {
    let (some, none) = (&["db0:keys=1,expires=0,avg_ttl=0"][..], &[][..]);
    for (cli, expected) in [
        (replica(STREAM, "500", some), AT_ONCE),
        (replica(STREAM, "499", none), AT_ONCE),
        (replica(STREAM, "501", some), COPY),
        // Emptied since.
        (replica(STREAM, "501", none), COPY),
        (replica(OTHER, "1", some), COPY),
        (replica(OTHER, "2", none), COPY),
        // Never synchronised.
        (replica(OTHER, "1", none), AT_ONCE),
        (replica(OTHER, "0", none), AT_ONCE),
        (replica(STREAM, "", some), COPY),
        (replica("", "", none), COPY),
    ] {
        assert_decides(&[HOST], Some(&up_to_500()), &cli, expected);
        let expected = if cli.contains(OTHER) { expected } else { COPY };
        assert_decides(&[HOST], Some(b"REDIS0012"), &cli, expected);
    }
}

#[test]
fn the_place_of_a_snapshot_is_read_in_every_form_and_never_guessed() {
    let id = text(STREAM);
    let many: Vec<u8> = [&[0x41, 0x2C][..], &[b'x'; 300]].concat();
    let up_to = |offset: &[u8]| snapshot(&[("repl-id", &id), ("repl-offset", offset)]);
    let whole = up_to(b"\xC0\x05");
    for (bytes, expected) in [
        (up_to(b"\xC0\x05"), Some("5")),
        (up_to(b"\xC0\x7F"), Some("127")),
        (up_to(b"\xC1\x80\x00"), Some("128")),
        (up_to(b"\xC1\xFF\x7F"), Some("32767")),
        (up_to(b"\xC2\x00\x80\x00\x00"), Some("32768")),
        (up_to(b"\xC2\xFF\xFF\xFF\x7F"), Some("2147483647")),
        (up_to(&text("2147483648")), Some("2147483648")),
        (up_to(&text("9007199254740993")), Some("9007199254740993")),
        (snapshot(&[("x", &many), ("repl-offset", b"\xC0\x05"), ("repl-id", &id)]), Some("5")),
        ([b"VALKEY080", &whole[9..]].concat(), Some("5")),
        (up_to(b"\xC0\xFF"), None),
        (up_to(b"\xC3\x02\x02ab"), None),
        (up_to(b"\x80\x00\x00\x00\x0112"), None),
        (up_to(&text("5 6")), None),
        (snapshot(&[("repl-id", &text("short")), ("repl-offset", b"\xC0\x05")]), None),
        (snapshot(&[("repl-id", &id)]), None),
        (snapshot(&[("repl-offset", b"\xC0\x05")]), None),
        (snapshot(&[]), None),
        (whole[..60].to_vec(), None),
        (whole[..73].to_vec(), None),
        (vec![0xFA; 4096], None),
        (b"\n".to_vec(), None),
    ] {
        let pod = Pod::start(&[HOST], Some(&bytes), &node(REPLICA, &["role:master", "# Keyspace"]));
        pod.decides();
        let expected = expected.map_or("unknown".to_owned(), |offset| format!("{STREAM} {offset}"));
        let log = pod.read("log");
        assert!(log.contains(&format!("up to: {expected}\n")), "{expected}: {log}: {bytes:?}");
    }
}

/// Who may have a copy is waited for without limit; who is away, for a while.
#[test]
fn patience_ends_only_where_no_copy_can_be() {
    let copy = replica(STREAM, "501", &["db0:keys=1"]);
    let absent = says(&[REFUSED]);
    let hangs = "exec sleep 30".to_owned();
    // A copy for five looks, which take at least four seconds.
    let five_times =
        |cli: &str| format!("if [ $(wc -l <\"$HERE/asked\") -lt 6 ]; then {copy}; else {cli}; fi");
    let (goes, stops) = (five_times(&absent), five_times(&hangs));
    let (snapshot, second) = (up_to_500(), Duration::from_secs(1));
    // The guard counts whole seconds.
    let (never, patience) = (None, Some(9 * second));
    let anew = Some(PATIENCE + 3 * second);
    scope(|scope| {
        for (kind, cli, not_before) in [
            (None, &copy, never),
            (None, &hangs, never),
            (None, &absent, patience),
            (None, &goes, anew),
            (None, &stops, never),
            (Some(snapshot.as_slice()), &copy, never),
            (Some(snapshot.as_slice()), &hangs, patience),
            (Some(snapshot.as_slice()), &absent, patience),
            (Some(snapshot.as_slice()), &goes, anew),
            (Some(snapshot.as_slice()), &stops, anew),
        ] {
            scope.spawn(move || {
                let (start, pod) = (Instant::now(), Pod::start(&[HOST], kind, cli));
                let wait = if not_before.is_some() { 60 * second } else { PATIENCE + 10 * second };
                while !pod.runs_its_server() && start.elapsed() < wait {
                    sleep(Duration::from_millis(50));
                }
                let context = format!("{cli} {}", pod.read("log"));
                assert_eq!(pod.runs_its_server(), not_before.is_some(), "{context}");
                assert!(Some(start.elapsed()) > not_before, "{:?} {context}", start.elapsed());
                assert_eq!(pod.read("errors"), "", "{context}");
                // Said once, and not again in the first half minute.
                let said = pod.read("log").matches("; waiting: ").count();
                assert!(
                    (1..=1 + start.elapsed().as_secs() / 29).contains(&(said as u64)),
                    "{said} {context}"
                );
            });
        }
    });
}

/// The grace period of a pod is no time to wait in for somebody who does not answer.
#[test]
fn a_pod_that_is_told_to_end_does_not_wait_for_an_answer() {
    let replicas: Vec<String> = (0..20).map(|n| format!("10.0.0.4:6379@16379,demo-{n}.demo")).collect();
    let replicas: Vec<&str> = replicas.iter().map(String::as_str).collect();
    let mut pod = Pod::start(&replicas, None, "exec sleep 30");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !pod.folder.path().join("asked").exists() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(10));
    }
    let told = Instant::now();
    let kill = format!("kill -TERM {}", pod.process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let status = pod.process.wait().unwrap();
    assert!(status.success(), "{status:?}");
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}: a look takes twice as long", told.elapsed());
    assert!(!pod.runs_its_server());
}
