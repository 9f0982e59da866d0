//! What the tests on real servers share: the operator's user with the rules that it really gets, and a cluster formed
//! with nothing but [`NodeClient`].
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyslot_planner::acl::{AclToken, UserRules};
use keyslot_planner::command::{RedisCommand, Target};
use keyslot_planner::desired::{SystemMemory, SystemPasswords};
use keyslot_planner::ids::{NodeId, PodName};
use keyslot_planner::observed::{RedisNode, Role, Unreachable};
use keyslot_planner::slots::SlotSet;
use keyslot_planner::system_users::{OPERATOR, off, system_users};
use keyslot_redis_admin::reply::Reply;
use keyslot_redis_admin::{CommandError, Credentials, NodeClient, NodeConnections, Trials};
use keyslot_testkit::redis_server::{PATIENCE, RawConnection, RedisServer, RedisServers, ServerOptions};
use tokio::time::{sleep, timeout};

pub const PASSWORD: &str = "the operator's password";
pub const REPLICATION_PASSWORD: &str = "replication";
/// A user that may do everything, for what the product never does.
pub const TESTER: (&str, &str) = ("tester", "tester");

pub fn operator() -> Credentials {
    Credentials { username: OPERATOR.to_owned(), passwords: vec![PASSWORD.into()] }
}

/// `users.acl` of the product, and the tester.
pub fn acl() -> Vec<String> {
    let memory = SystemMemory {
        passwords: SystemPasswords {
            operator: Some(PASSWORD.into()),
            replication: Some(REPLICATION_PASSWORD.into()),
            ..SystemPasswords::default()
        },
        ..SystemMemory::default()
    };
    let system = system_users(&memory);
    let mut lines: Vec<String> = system.iter().map(|(name, user)| user.file_line(name)).collect();
    lines.push(off().file_line("default"));
    lines.push(format!("user {} on >{} ~* &* +@all", TESTER.0, TESTER.1));
    lines
}

pub fn start(version: &str, count: usize, config: &[&str]) -> RedisServers {
    let masteruser = "masteruser keyslot-replication";
    let masterauth = format!("masterauth {REPLICATION_PASSWORD}");
    let config: Vec<&str> =
        [masteruser, masterauth.as_str()].into_iter().chain(config.iter().copied()).collect();
    RedisServers::start(version, count, &ServerOptions { acl: &acl(), config: &config }).unwrap()
}

pub fn tester(server: &RedisServer) -> RawConnection {
    server.connect(Some(TESTER)).unwrap()
}

pub async fn observe(client: &NodeConnections, server: &RedisServer) -> Result<RedisNode, Unreachable> {
    client.observe(server.ip(), &operator(), PATIENCE).await
}

pub fn target(server: &RedisServer, node: &NodeId) -> Target {
    Target { pod: PodName::new("demo-0"), ip: server.ip(), node: node.clone() }
}

/// Looks at a node until it is as wanted.
pub async fn observe_until(
    client: &NodeConnections,
    server: &RedisServer,
    what: &str,
    wanted: impl Fn(&RedisNode) -> bool,
) -> RedisNode {
    let mut last = None;
    let look = async {
        loop {
            last = Some(observe(client, server).await);
            if let Some(Ok(node)) = &last
                && wanted(node)
            {
                return node.clone();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = timeout(PATIENCE, look).await;
    seen.unwrap_or_else(|_| panic!("{}: {what} did not come true: {last:#?}", server.version()))
}

/// Forms 3 primaries with one replica each, out of six servers: 0 to 2 are primaries, 3 to 5 their replicas. Returns
/// the node ids in the order of the servers.
pub async fn form(client: &NodeConnections, servers: &[RedisServer]) -> Vec<NodeId> {
    let as_operator = operator();
    let mut ids = Vec::new();
    for server in servers {
        ids.push(observe(client, server).await.unwrap().id);
    }
    let say = async |number: usize, command: RedisCommand| {
        client.execute(&target(&servers[number], &ids[number]), &as_operator, &command).await
    };
    for number in 0..6 {
        say(number, RedisCommand::SetConfigEpoch(number as u64 + 1)).await.unwrap();
        say(number, RedisCommand::SetConfig(vec![("cluster-node-timeout".into(), "500".into())]))
            .await
            .unwrap();
    }
    for number in 0..3 {
        say(number, RedisCommand::AddSlots(SlotSet::share(number, 3))).await.unwrap();
    }
    for (number, _) in servers.iter().enumerate() {
        for (server, node) in servers.iter().zip(&ids).skip(number + 1) {
            say(number, RedisCommand::Meet { ip: server.ip(), node: node.clone() }).await.unwrap();
        }
    }
    for number in 3..6 {
        let replicate = async {
            while let Err(error) = say(number, RedisCommand::Replicate(ids[number - 3].clone())).await {
                assert!(matches!(error, CommandError::NotYet(_)), "{error}");
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, replicate).await.expect("the replica never knew its primary");
    }
    for (number, server) in servers.iter().enumerate() {
        observe_until(client, server, "a formed cluster", |node| is_formed(node, number < 3)).await;
        say(number, RedisCommand::SetConfig(vec![("cluster-node-timeout".into(), "5000".into())]))
            .await
            .unwrap();
    }
    ids
}

fn is_formed(node: &RedisNode, primary: bool) -> bool {
    let role = match &node.role {
        Role::Primary { slots, .. } => primary && slots.len() > 5000,
        Role::Replica { link_up, .. } => !primary && *link_up,
    };
    let replicas = node.peers.values().filter(|peer| peer.replicates.is_some()).count();
    let known = node.peers.len() == 5 && replicas + usize::from(!primary) == 3;
    role && known
        && node.cluster_ok
        && node.slots_known().is_all()
        && node.peers.values().all(|peer| peer.linked)
}

pub fn tokens(rules: &str) -> Vec<AclToken> {
    rules.split(' ').map(|rule| AclToken::parse(rule).unwrap()).collect()
}

/// Three trials: one that every server takes, one with a selector, one that all refuse.
pub fn trials() -> Trials {
    let with_selector = UserRules {
        enabled: true,
        passwords: BTreeSet::new(),
        rules: tokens("~app:* +@read"),
        selectors: vec![tokens("%W~log:* +append")],
    };
    let refused = tokens("reset off +get +nosuchcommand");
    BTreeMap::from([
        ("plain".to_owned(), tokens("reset off ~app:* &news +@all -@admin")),
        ("refused".to_owned(), refused),
        ("selector".to_owned(), with_selector.trial_tokens()),
    ])
}

/// Several replies that were recorded one behind the other.
pub fn replies(recorded: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut start = 0;
    for end in 1..=recorded.len() {
        if recorded[..end].ends_with(b"\r\n")
            && let Some(reply) = Reply::from_wire(&recorded[start..end])
        {
            replies.push(reply);
            start = end;
        }
    }
    assert_eq!(start, recorded.len(), "half a reply");
    replies
}
