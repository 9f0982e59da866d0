//! `redis.conf`: the settings of the resource, and what the operator relies on.
//!
//! A function of the spec in force only, so that the text changes when the spec does and at no other time. Each name
//! stands in the file once, on one line; nothing of the resource gets in unless it is a [`Directive`].

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use keyslot_api::v1alpha1::{ClientEndpoint, Persistence, RedisClusterSpec, owned_directive};

use crate::command::{BUS_PORT, REDIS_PORT};
use crate::desired::quantity;
use crate::system_users;

/// Where the data of a pod lies.
pub const DATA_DIR: &str = "/data";
/// Where ConfigMap `<name>-config` is mounted.
pub const CONFIG_DIR: &str = "/etc/keyslot/config";
/// Where `<name>-acl` is mounted.
pub const ACL_DIR: &str = "/etc/keyslot/acl";
/// Where the pods' part of Secret `<name>-system` is mounted.
pub const SYSTEM_DIR: &str = "/etc/keyslot/system";
/// Key of `users.acl` in its object.
pub const USERS_FILE: &str = "users.acl";
/// Key of `redis.conf` in its object.
pub const CONFIG_FILE: &str = "redis.conf";
/// Key of Secret `<name>-system` with the lines of redis.conf that are secret.
pub const REPLICATION_FILE: &str = "replication.conf";

/// How long a server that is told to stop waits for its replicas to have all writes, in seconds. The pod's grace
/// period has to be longer.
pub const SHUTDOWN_TIMEOUT_SECONDS: u16 = 10;
/// Share of the memory limit that becomes `maxmemory` when nothing else is said. The rest is for buffers and for copies
/// of pages while a snapshot is written.
pub const DEFAULT_MAX_MEMORY_PERCENT: i32 = 75;
/// `clusterNodeTimeout` when the resource's is not usable.
pub const DEFAULT_NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// A directive that can be written into redis.conf: one line, which a server reads back as the same words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    name: String,
    words: Vec<String>,
}

/// Why a directive of the resource can't be written; ends a sentence that began with its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not the name of a directive.
    #[error("is not the name of a directive: lower case letters, digits and -, at most 64 of them")]
    Name,
    /// Something that could end the line or start another word.
    #[error(
        "has characters that can't be written: use at most 1024 printable ASCII characters without quotes and backslashes"
    )]
    Value,
    /// One of the operator's own.
    #[error("is Keyslot's own: {0}")]
    Owned(&'static str),
    /// Another field excludes it.
    #[error("{0}")]
    Excluded(&'static str),
}

impl Directive {
    /// Takes a directive of the resource, alone.
    pub fn parse(name: &str, value: &str) -> Result<Self, Refused> {
        let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || name.len() > 64
            || !name.bytes().all(name_byte)
        {
            return Err(Refused::Name);
        }
        if let Some(instead) = owned_directive(name) {
            return Err(Refused::Owned(instead));
        }
        let value_byte = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\'' | b'\\');
        if value.len() > 1024 || !value.bytes().all(value_byte) {
            return Err(Refused::Value);
        }
        Ok(Self::own(name, value.split_ascii_whitespace()))
    }

    fn own<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self { name: name.to_owned(), words: words.into_iter().map(ToOwned::to_owned).collect() }
    }

    /// The line, without its end.
    pub fn line(&self) -> String {
        let mut line = self.name.clone();
        for word in &self.words {
            line.push(' ');
            line.push_str(&quoted(word));
        }
        if self.words.is_empty() {
            line.push_str(" \"\"");
        }
        line
    }
}

/// A word as redis.conf needs it: as it is when it is plain, else in double quotes with escapes.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:/@%+,=*~&|^{}[]<>$!?;()".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for byte in word.bytes() {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing into a String can't fail.
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

/// `spec.config` as far as it can be written, and by name what can't and why.
pub fn user_directives(spec: &RedisClusterSpec) -> (Vec<Directive>, Vec<(String, Refused)>) {
    let mut directives = Vec::new();
    let mut refused = Vec::new();
    for (name, value) in &spec.config {
        match Directive::parse(name, value).and_then(|directive| not_excluded(spec, directive)) {
            Ok(directive) => directives.push(directive),
            Err(why) => refused.push((name.clone(), why)),
        }
    }
    (directives, refused)
}

fn not_excluded(spec: &RedisClusterSpec, directive: Directive) -> Result<Directive, Refused> {
    match directive.name.as_str() {
        "maxmemory" if spec.max_memory_percent.is_some() => {
            Err(Refused::Excluded("and spec.maxMemoryPercent exclude each other: remove one of them"))
        }
        "save" if persistence(spec) != Some(Persistence::Rdb) => Err(Refused::Excluded(
            "needs spec.storage.persistence: RDB; with AOF or without storage snapshots are switched off",
        )),
        _ => Ok(directive),
    }
}

/// The text of redis.conf.
pub fn redis_conf(spec: &RedisClusterSpec) -> String {
    let (users, _) = user_directives(spec);
    let taken: BTreeSet<&str> = users.iter().map(|directive| directive.name.as_str()).collect();
    let defaults =
        defaults(spec).into_iter().filter(|directive| !taken.contains(directive.name.as_str())).collect();
    let sections = [
        ("1 Where the server listens, and its files", place()),
        ("2 The cluster", cluster(spec)),
        ("3 What is written to the volume", storage(spec)),
        ("4 Replication", replication()),
        ("5 Defaults that spec.config may replace", defaults),
        ("6 spec.config", users),
        (
            "7 Secrets, from Secret <name>-system",
            vec![own("include", &format!("{SYSTEM_DIR}/{REPLICATION_FILE}"))],
        ),
    ];
    let mut text = String::from("# Made by Keyslot from a RedisCluster; changes here are undone.\n");
    for (title, directives) in sections.iter().filter(|(_, directives)| !directives.is_empty()) {
        text.push_str("\n# ");
        text.push_str(title);
        text.push('\n');
        for directive in directives {
            text.push_str(&directive.line());
            text.push('\n');
        }
    }
    text
}

fn own(name: &str, value: &str) -> Directive {
    Directive::own(name, value.split_ascii_whitespace())
}

/// Protected mode would refuse everybody but loopback as long as `default` has no password, which it never has.
fn place() -> Vec<Directive> {
    vec![
        own("port", &REDIS_PORT.to_string()),
        own("protected-mode", "no"),
        own("daemonize", "no"),
        own("dir", DATA_DIR),
        own("aclfile", &format!("{ACL_DIR}/{USERS_FILE}")),
        own("enable-debug-command", "no"),
        own("enable-module-command", "no"),
        own("enable-protected-configs", "no"),
        own("shutdown-timeout", &SHUTDOWN_TIMEOUT_SECONDS.to_string()),
    ]
}

/// The bus port is pinned, else switching TLS on later makes nodes announce a bus port that nobody listens on.
/// Replicas move only when the operator moves them, since it owns their placement.
fn cluster(spec: &RedisClusterSpec) -> Vec<Directive> {
    let endpoint = match spec.client_endpoint {
        ClientEndpoint::Ip => "ip",
        ClientEndpoint::Hostname => "hostname",
    };
    vec![
        own("cluster-enabled", "yes"),
        own("cluster-config-file", "nodes.conf"),
        own("cluster-port", &BUS_PORT.to_string()),
        own(
            "cluster-node-timeout",
            &node_timeout(spec).unwrap_or(DEFAULT_NODE_TIMEOUT).as_millis().to_string(),
        ),
        own("cluster-allow-replica-migration", "no"),
        own("cluster-preferred-endpoint-type", endpoint),
    ]
}

/// With an append-only file, snapshots would only write the same data twice. Without storage, the dump of a full sync
/// that a replica has received would be stale by the time it is promoted and restarted, hence it is deleted.
fn storage(spec: &RedisClusterSpec) -> Vec<Directive> {
    match persistence(spec) {
        Some(Persistence::Aof) => vec![own("appendonly", "yes"), own("save", "")],
        Some(Persistence::Rdb) => vec![own("appendonly", "no")],
        None => vec![own("appendonly", "no"), own("save", ""), own("rdb-del-sync-files", "yes")],
    }
}

/// No delay: waiting for more replicas to share one transfer would cost forming 5 s.
fn replication() -> Vec<Directive> {
    vec![own("masteruser", system_users::REPLICATION), own("repl-diskless-sync-delay", "0")]
}

/// A lost shard does not stop the others: with `cluster-require-full-coverage yes` every node would refuse every
/// command. Who needs all or nothing can say so.
fn defaults(spec: &RedisClusterSpec) -> Vec<Directive> {
    let mut directives = vec![
        own("cluster-require-full-coverage", "no"),
        own("repl-diskless-sync", "yes"),
        own("tcp-keepalive", "60"),
    ];
    if persistence(spec) == Some(Persistence::Rdb) {
        directives.push(own("save", "3600 1 300 100 60 10000"));
    }
    if let Some(bytes) = maxmemory(spec) {
        directives.push(own("maxmemory", &bytes.to_string()));
    }
    directives
}

fn persistence(spec: &RedisClusterSpec) -> Option<Persistence> {
    spec.storage.as_ref().map(|storage| storage.persistence)
}

/// `maxmemory` in bytes when it follows from the memory limit: there is a limit that can be read, and `spec.config`
/// has none of its own.
pub fn maxmemory(spec: &RedisClusterSpec) -> Option<u64> {
    if spec.max_memory_percent.is_none() && spec.config.contains_key("maxmemory") {
        return None;
    }
    let limit = quantity::bytes(spec.resources.as_ref()?.limits.get("memory")?)?;
    let percent =
        u64::try_from(spec.max_memory_percent.unwrap_or(DEFAULT_MAX_MEMORY_PERCENT).clamp(1, 100)).ok()?;
    Some(u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX))
}

/// `clusterNodeTimeout`, when it is a number of seconds (`5s`) or milliseconds (`2500ms`) from 2 to 30 seconds.
pub fn node_timeout(spec: &RedisClusterSpec) -> Option<Duration> {
    let text = &spec.cluster_node_timeout;
    let timeout = if let Some(digits) = text.strip_suffix("ms") {
        Duration::from_millis(number(digits)?)
    } else {
        Duration::from_secs(number(text.strip_suffix('s')?)?)
    };
    (Duration::from_secs(2)..=Duration::from_secs(30)).contains(&timeout).then_some(timeout)
}

/// `parse` alone would also take a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
