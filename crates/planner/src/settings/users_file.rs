//! `users.acl`, which servers read when they start: what its text should be, now.

use std::collections::{BTreeMap, BTreeSet};

use crate::acl::UserRules;
use crate::config::USERS_FILE;
use crate::desired::{Desired, Part};
use crate::manifests;
use crate::observed::{Engine, FilesSeen, NodeSettings};
use crate::plan::KubeOperation;

/// The operation that brings `users.acl` up to date, if it is not. Only lines that a node of every running version has
/// accepted get in; for others the line that the file has stays.
pub fn users_file(
    desired: &Desired,
    file: &FilesSeen,
    nodes: &[NodeSettings],
    let_in: bool,
) -> Option<KubeOperation> {
    if !let_in || nodes.is_empty() || !desired.system.is_complete() {
        return None;
    }
    let present = file.files.get(USERS_FILE).map_or("", String::as_str);
    let wanted = users_text(desired, present, nodes);
    (wanted != present).then(|| KubeOperation::Apply {
        manifest: Box::new(manifests::users_file(desired, &wanted)),
        uid: file.uid.clone(),
        // An older copy has lines that were taken away.
        version: keeps_lines(desired, nodes).then(|| file.version.clone()),
    })
}

/// Whether lines of the present file stay, because a user keeps what it has or somebody refuses its rules.
fn keeps_lines(desired: &Desired, nodes: &[NodeSettings]) -> bool {
    desired.users.iter().any(|(name, user)| match user {
        Part::Wanted(_) => !accepted_by_every_version(name, nodes),
        Part::KeepLast(_) => true,
    })
}

pub(super) fn users_text(desired: &Desired, present: &str, nodes: &[NodeSettings]) -> String {
    let baseline = manifests::baseline_users_file(desired);
    let present: BTreeMap<&str, &str> = present.lines().filter_map(named_line).collect();
    let mut lines: Vec<String> = Vec::new();
    // `default` stands first: without a line of its own a server lets everybody in as it.
    for (name, line) in baseline.lines().filter_map(named_line) {
        let own = desired.users.get(name).map(|user| user_line(name, user, &present, nodes));
        lines.push(own.flatten().unwrap_or_else(|| line.to_owned()));
    }
    let baseline: BTreeSet<&str> = baseline.lines().filter_map(named_line).map(|(name, _)| name).collect();
    for (name, user) in desired.users.iter().filter(|(name, _)| !baseline.contains(name.as_str())) {
        lines.extend(user_line(name, user, &present, nodes));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn user_line(
    name: &str,
    user: &Part<UserRules>,
    present: &BTreeMap<&str, &str>,
    nodes: &[NodeSettings],
) -> Option<String> {
    match user {
        Part::Wanted(rules) if accepted_by_every_version(name, nodes) => Some(rules.file_line(name)),
        Part::Wanted(rules) => present.get(name).map(|line| with_passwords(line, rules)),
        Part::KeepLast(_) => present.get(name).map(|line| (*line).to_owned()),
    }
}

/// A line with its permissions as they are and the wanted passwords: those do not wait for rules that are refused.
fn with_passwords(line: &str, rules: &UserRules) -> String {
    let (passwords, others): (Vec<&str>, Vec<&str>) = line.split(' ').partition(|word| word.starts_with('#'));
    if passwords.is_empty() {
        return line.to_owned();
    }
    let hashes = rules.hash_tokens().map(|token| token.as_str().to_owned());
    // `user`, its name, and `on` or `off` come first.
    let (begin, permissions) = others.split_at(others.len().min(3));
    let begin = begin.iter().map(|word| (*word).to_owned());
    begin.chain(hashes).chain(permissions.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>().join(" ")
}

fn accepted_by_every_version(name: &str, nodes: &[NodeSettings]) -> bool {
    let accepts = |node: &&NodeSettings| matches!(node.trials.get(name), Some(Ok(_)));
    let running: BTreeSet<&Engine> = nodes.iter().map(|node| &node.engine).collect();
    let accepting: BTreeSet<&Engine> = nodes.iter().filter(accepts).map(|node| &node.engine).collect();
    running == accepting
}

/// Splits `user <name> …` into name and whole line.
fn named_line(line: &str) -> Option<(&str, &str)> {
    let name = line.strip_prefix("user ")?.split(' ').next()?;
    Some((name, line))
}
