//! The operator's user may do what this crate says, and nothing else. A right that is missing shows in the tests with
//! real servers, which log in as this user.

use std::collections::BTreeSet;

use keyslot_planner::acl::{AclToken, Password};
use keyslot_planner::command::RedisCommand;
use keyslot_planner::desired::SystemMemory;
use keyslot_planner::slots::SlotSet;
use keyslot_planner::system_users::{OPERATOR, system_users};

use crate::Trials;
use crate::command::commands as sent;
use crate::observe::{greeting, my_id, read_settings, settings_questions, topology_questions};
use crate::reply::{Arguments, Reply};
use crate::watch::ping;

/// One of each kind.
fn commands() -> Vec<RedisCommand> {
    let node: keyslot_planner::ids::NodeId = "0".repeat(40).parse().unwrap();
    let all = vec![
        RedisCommand::SetConfigEpoch(1),
        RedisCommand::AddSlots(SlotSet::all()),
        RedisCommand::Meet { ip: [10, 0, 0, 1].into(), node: node.clone() },
        RedisCommand::Replicate(node.clone()),
        RedisCommand::Forget(node),
        RedisCommand::TakeOver,
        RedisCommand::SetConfig(vec![("maxmemory".into(), "1".into())]),
        RedisCommand::SetReplicationPassword(Password("sesame".into())),
        RedisCommand::SetUser { name: "app".into(), tokens: Vec::new(), end_sessions: true },
        RedisCommand::DeleteUser("app".into()),
    ];
    for command in &all {
        // A new kind does not compile here, and then belongs above.
        match command {
            RedisCommand::SetConfigEpoch(_)
            | RedisCommand::AddSlots(_)
            | RedisCommand::Meet { .. }
            | RedisCommand::Replicate(_)
            | RedisCommand::Forget(_)
            | RedisCommand::TakeOver
            | RedisCommand::SetConfig(_)
            | RedisCommand::SetReplicationPassword(_)
            | RedisCommand::SetUser { .. }
            | RedisCommand::DeleteUser(_) => {}
        }
    }
    all
}

/// The second questions of a look at the settings of a node with a user and a scratch user that was left behind.
fn second_questions() -> Vec<Arguments> {
    let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
    let replies = vec![
        text(&"0".repeat(40)),
        text("redis_version:7.0.15\r\nrun_id:r\r\n"),
        Reply::Array(Vec::new()),
        Reply::Array(vec![text("app"), text("keyslot-scratch-0")]),
    ];
    let half = read_settings(replies, &Trials::new()).unwrap();
    half.questions()
}

/// `+config|get` and so on: all commands with a word below them that are said here have one rule per such word.
fn rule(said: &Arguments) -> String {
    let words: Vec<String> =
        said.words().map(|word| String::from_utf8_lossy(word).to_lowercase()).take(2).collect();
    match words.as_slice() {
        [container, word] if ["acl", "client", "cluster", "config"].contains(&container.as_str()) => {
            format!("+{container}|{word}")
        }
        [command, ..] => format!("+{command}"),
        [] => panic!("nothing is said"),
    }
}

#[test]
fn the_operators_user_may_do_what_is_said_here_and_nothing_else() {
    let trials: Trials = [("app".to_owned(), vec![AclToken::parse("reset").unwrap()])].into();
    let mut said: Vec<Arguments> = commands().iter().flat_map(sent).collect();
    said.extend([my_id(), ping()]);
    said.extend(greeting());
    said.extend(topology_questions());
    said.extend(settings_questions(&trials, &["maxmemory"]));
    said.extend(second_questions());
    let mut needed: BTreeSet<String> = said.iter().map(rule).collect();
    needed.insert("-@all".to_owned());

    let users = system_users(&SystemMemory::default());
    let allowed: BTreeSet<String> =
        users[OPERATOR].rules.iter().map(|rule| rule.as_str().to_owned()).collect();
    assert_eq!(allowed, needed);
}
