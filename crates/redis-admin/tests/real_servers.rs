//! The crate against real servers, logged in as the operator's user with the rules that it really gets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use keyslot_planner::command::RedisCommand;
use keyslot_planner::ids::NodeId;
use keyslot_planner::observed::{PeerHealth, RedisNode, Role, Unreachable};
use keyslot_planner::slots::SlotSet;
use keyslot_redis_admin::{
    CommandError, Credentials, NodeClient, NodeConnections, NodeEvent, Refusal, SettingsLook, Watch,
};
use keyslot_testkit::redis_server::{
    ALL_VERSIONS, OUTER_VERSIONS, PATIENCE, RedisServer, RedisServers, ServerOptions,
};
use tokio::time::timeout;

mod common;
use common::{acl, form, observe, observe_until, operator, start, target, tester, tokens, trials};

fn some_id(digit: char) -> NodeId {
    digit.to_string().repeat(40).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_node_is_seen_as_fresh_on_every_version() {
    for version in ALL_VERSIONS {
        let servers = start(version, 1, &["maxmemory 100mb"]);
        let node = observe(&NodeConnections::new(), &servers[0]).await.unwrap();
        assert!(node.is_fresh(), "{version}: {node:#?}");
        let family = node.engine.to_string().replacen(' ', "-", 1);
        assert!(family.starts_with(version), "{family} is not {version}");
        assert_eq!(node.maxmemory, 100 << 20, "{version}");
        assert_eq!(node.node_timeout, Duration::from_secs(5), "{version}");
        assert!(!node.cluster_ok, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_shards_are_formed_with_nothing_but_the_operators_commands_on_every_version() {
    for version in ALL_VERSIONS {
        let servers = start(version, 6, &[]);
        let client = NodeConnections::new();
        let began = Instant::now();
        let ids = form(&client, &servers).await;
        println!("{version}: formed in {:?}", began.elapsed());
        let node = observe(&client, &servers[0]).await.unwrap();
        assert_eq!(node.slots(), SlotSet::share(0, 3), "{version}");
        assert_eq!(node.config_epoch, 1, "{version}");
        let replica = &node.peers[&ids[3]];
        assert_eq!(replica.replicates.as_ref(), Some(&ids[0]), "{version}");
        assert_eq!(replica.hostname.as_deref(), Some("node-3.test"), "{version}");
        assert_eq!(replica.address.as_ref().map(|address| address.ip), Some(servers[3].ip()), "{version}");

        client.execute(&target(&servers[3], &ids[3]), &operator(), &RedisCommand::TakeOver).await.unwrap();
        let follows =
            |node: &RedisNode| matches!(&node.role, Role::Replica { of, link_up: true, .. } if *of == ids[3]);
        observe_until(&client, &servers[0], "the old primary follows the new one", follows).await;
        let owner = observe(&client, &servers[3]).await.unwrap();
        assert_eq!(owner.slots(), SlotSet::share(0, 3), "{version}");
        assert!(owner.config_epoch > 3, "{version}: {}", owner.config_epoch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_apart_from_what_is_done_already() {
    for version in OUTER_VERSIONS {
        let mut servers = start(version, 6, &[]);
        let client = NodeConnections::new();
        let as_operator = operator();
        let ids = form(&client, &servers).await;
        let first = target(&servers[0], &ids[0]);
        let replica = target(&servers[3], &ids[3]);
        for (on, command, expected) in [
            (&first, RedisCommand::SetConfigEpoch(9), Ok(())),
            (&first, RedisCommand::Forget(some_id('f')), Ok(())),
            (&first, RedisCommand::DeleteUser("nobody".into()), Ok(())),
            (&first, RedisCommand::AddSlots(SlotSet::range(16000, 16000)), Err("slot-busy")),
            (&first, RedisCommand::Replicate(ids[1].clone()), Err("not-empty")),
            (&first, RedisCommand::Replicate(some_id('f')), Err("not-yet")),
            (&first, RedisCommand::Forget(ids[0].clone()), Err("refused")),
            (&replica, RedisCommand::Replicate(ids[4].clone()), Err("not-a-primary")),
            (&replica, RedisCommand::Forget(ids[0].clone()), Err("refused")),
            (&first, RedisCommand::TakeOver, Ok(())),
            (&first, RedisCommand::SetConfig(vec![("nosuch".into(), "1".into())]), Err("refused")),
            (&first, RedisCommand::SetConfig(vec![("maxmemory".into(), "1048576000".into())]), Ok(())),
            (
                &first,
                RedisCommand::SetUser {
                    name: "app".into(),
                    tokens: tokens("on +nosuch"),
                    end_sessions: true,
                },
                Err("refused"),
            ),
            (
                &first,
                RedisCommand::SetUser {
                    name: "app".into(),
                    tokens: tokens("on ~* +@read"),
                    end_sessions: false,
                },
                Ok(()),
            ),
            (&first, RedisCommand::DeleteUser("app".into()), Ok(())),
        ] {
            let answer = client.execute(on, &as_operator, &command).await.map_err(|error| error.reason());
            assert_eq!(answer, expected, "{version}: {command:?}");
        }
        assert_eq!(observe(&client, &servers[0]).await.unwrap().maxmemory, 1_048_576_000, "{version}");

        for (server, id) in servers.iter().zip(&ids) {
            let quick = RedisCommand::SetConfig(vec![("cluster-node-timeout".into(), "1000".into())]);
            client.execute(&target(server, id), &as_operator, &quick).await.unwrap();
        }
        servers[5].kill().unwrap();
        let failed = |node: &RedisNode| node.peers[&ids[5]].health == PeerHealth::Failed;
        observe_until(&client, &servers[0], "a failed replica", failed).await;
        client.execute(&first, &as_operator, &RedisCommand::Forget(ids[5].clone())).await.unwrap();
        assert!(!observe(&client, &servers[0]).await.unwrap().peers.contains_key(&ids[5]), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_settings_tries_rules_and_leaves_nothing_behind_on_every_version() {
    for version in ALL_VERSIONS {
        let servers = start(version, 1, &[]);
        let client = NodeConnections::new();
        let mut tester = tester(&servers[0]);
        tester.ask(&["ACL", "SETUSER", "keyslot-scratch-of-a-crash", "on", "nopass"]).unwrap();
        tester
            .ask(&["ACL", "SETUSER", "app", "on", "nopass", "~app:*", "&news", "+@all", "-@admin"])
            .unwrap();
        let look = SettingsLook { trials: trials(), config: vec!["maxmemory", "cluster-node-timeout"] };
        let seen = client.observe_settings(servers[0].ip(), &operator(), &look, PATIENCE).await.unwrap();

        let users: Vec<&str> = seen.users.keys().map(String::as_str).collect();
        let system = ["keyslot-operator", "keyslot-probe", "keyslot-replication"];
        assert_eq!(users, [&["app", "default"], &system[..], &["tester"]].concat(), "{version}");
        assert!(
            seen.users["app"].enabled && seen.users["app"].nopass && !seen.users["default"].enabled,
            "{version}"
        );
        assert_eq!(
            seen.trials["plain"].as_ref().unwrap().permissions,
            seen.users["app"].permissions,
            "{version}"
        );
        assert_eq!(seen.trials["selector"].as_ref().unwrap().permissions.len(), 2, "{version}");
        let words = seen.trials["refused"].as_ref().unwrap_err();
        assert!(
            words.starts_with("Error in ACL SETUSER modifier '+nosuchcommand': Unknown command"),
            "{version}: {words}"
        );
        assert_eq!(seen.config.len(), 2, "{version}");

        let left = tester.ask(&["ACL", "USERS"]).unwrap();
        assert!(!left.contains("scratch"), "{version}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_never_said_to_another_node() {
    let servers = start(OUTER_VERSIONS[0], 1, &[]);
    let client = NodeConnections::new();
    let command = RedisCommand::SetConfig(vec![("maxmemory".into(), "7000000".into())]);
    let wrong = target(&servers[0], &some_id('a'));
    let error = client.execute(&wrong, &operator(), &command).await.unwrap_err();
    let node = observe(&client, &servers[0]).await.unwrap();
    assert_eq!(error, CommandError::WrongNode { expected: some_id('a'), found: node.id.clone() });
    assert_eq!(node.maxmemory, 0);
    assert_eq!(client.execute(&wrong, &operator(), &command).await.unwrap_err().reason(), "wrong-node");
    client.execute(&target(&servers[0], &node.id), &operator(), &command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_is_asked_again_who_it_is() {
    for version in OUTER_VERSIONS {
        let mut servers = start(version, 1, &[]);
        let client = NodeConnections::new();
        let before = observe(&client, &servers[0]).await.unwrap();
        std::fs::remove_file(servers[0].folder().join("nodes.conf")).unwrap();
        servers[0].restart().unwrap();
        let command = RedisCommand::SetConfigEpoch(4);
        let on = target(&servers[0], &before.id);
        // Only the first try may still have gone out on the connection to the dead process.
        let _ = client.execute(&on, &operator(), &command).await.unwrap_err();
        let answer = client.execute(&on, &operator(), &command).await;
        assert_eq!(answer.unwrap_err().reason(), "wrong-node", "{version}");
        let after = observe(&client, &servers[0]).await.unwrap();
        assert_ne!((after.id, after.run_id), (before.id, before.run_id), "{version}");
        assert_eq!(after.config_epoch, 0, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_an_empty_address_and_a_standing_process_are_told_apart() {
    for version in OUTER_VERSIONS {
        let mut servers = start(version, 1, &[]);
        let client = NodeConnections::new();
        let ip = servers[0].ip();
        let wrong = Credentials { passwords: vec!["wrong".into()], ..operator() };
        assert_eq!(
            client.observe(ip, &wrong, PATIENCE).await,
            Err(Unreachable::AuthenticationFailed),
            "{version}"
        );
        let node = observe(&client, &servers[0]).await.unwrap();
        // A connection that was made with other credentials proves nothing about these.
        assert_eq!(
            client.observe(ip, &wrong, PATIENCE).await,
            Err(Unreachable::AuthenticationFailed),
            "{version}"
        );

        observe(&client, &servers[0]).await.unwrap();
        servers[0].pause().unwrap();
        let short = Duration::from_millis(200);
        assert_eq!(client.observe(ip, &operator(), short).await, Err(Unreachable::TimedOut), "{version}");
        servers[0].resume().unwrap();
        assert_eq!(
            observe(&client, &servers[0]).await.unwrap(),
            node_again(&node, &client, &servers[0]).await
        );

        servers[0].kill().unwrap();
        assert_eq!(observe(&client, &servers[0]).await, Err(Unreachable::Refused), "{version}");
    }
}

/// The node as it is now, after checking that it is the process that was seen before.
async fn node_again(
    before: &keyslot_planner::observed::RedisNode,
    client: &NodeConnections,
    server: &RedisServer,
) -> keyslot_planner::observed::RedisNode {
    let now = observe(client, server).await.unwrap();
    assert_eq!(now.run_id, before.run_id);
    keyslot_planner::observed::RedisNode { memory_bytes: now.memory_bytes, ..now }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_command_has_an_unknown_outcome() {
    let servers = start(OUTER_VERSIONS[0], 1, &[]);
    let client = NodeConnections::new();
    let node = observe(&client, &servers[0]).await.unwrap();
    let on = target(&servers[0], &node.id);
    servers[0].pause().unwrap();
    let command = RedisCommand::SetConfig(vec![("maxmemory".into(), "7000000".into())]);
    let answer = client.execute(&on, &operator(), &command).await;
    servers[0].resume().unwrap();
    assert_eq!(answer, Err(CommandError::OutcomeUnknown));
    // It was carried out after all.
    observe_until(&client, &servers[0], "the late command", |node| node.maxmemory == 7_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operators_user_may_not_do_is_a_refusal_of_its_own_kind() {
    let mut lines = acl();
    lines.retain(|line| !line.starts_with("user keyslot-operator"));
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    lines.push(format!("user keyslot-operator on #{hash} -@all +cluster|myid"));
    let options = ServerOptions { acl: &lines, config: &[] };
    let servers = RedisServers::start(OUTER_VERSIONS[1], 1, &options).unwrap();
    let credentials = Credentials { passwords: vec!["secret".into()], ..operator() };
    let client = NodeConnections::new();
    let seen = client.observe(servers[0].ip(), &credentials, PATIENCE).await;
    assert_eq!(seen, Err(Unreachable::AuthenticationFailed));
    let id: NodeId = tester(&servers[0]).ask(&["CLUSTER", "MYID"]).unwrap().parse().unwrap();
    let answer =
        client.execute(&target(&servers[0], &id), &credentials, &RedisCommand::SetConfigEpoch(1)).await;
    assert!(matches!(answer, Err(CommandError::Refused { kind: Refusal::NoPermission, .. })), "{answer:?}");
}

async fn next(watch: &mut Watch) -> NodeEvent {
    timeout(PATIENCE, watch.next()).await.expect("no event in time").expect("the watch ended")
}

fn watched(client: &NodeConnections, ip: IpAddr) -> Watch {
    client.watch(ip, &operator())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_of_the_start_the_end_and_the_next_start_of_a_process() {
    for version in OUTER_VERSIONS {
        let config = ["masteruser keyslot-replication"];
        let options = ServerOptions { acl: &acl(), config: &config };
        let mut server = RedisServer::prepare(version, 0, &options).unwrap();
        let client = NodeConnections::new();
        let mut watch = watched(&client, server.ip());
        assert_eq!(next(&mut watch).await, NodeEvent::Unreachable(Unreachable::Refused), "{version}");

        server.spawn().unwrap();
        let NodeEvent::Connected(first) = next(&mut watch).await else { panic!("{version}: not connected") };
        assert_eq!(observe(&client, &server).await.unwrap().run_id, first, "{version}");

        let died = Instant::now();
        server.kill().unwrap();
        assert_eq!(next(&mut watch).await, NodeEvent::Ended, "{version}");
        let told = died.elapsed();
        assert!(told < Duration::from_secs(1), "{version}: {told:?}");
        assert_eq!(next(&mut watch).await, NodeEvent::Unreachable(Unreachable::Refused), "{version}");
        println!("{version}: end told after {told:?}, proven after {:?}", died.elapsed());

        let started = Instant::now();
        server.restart().unwrap();
        let listening = started.elapsed();
        let NodeEvent::Connected(second) = next(&mut watch).await else { panic!("{version}: not connected") };
        println!("{version}: connected {:?} after it listened", started.elapsed().saturating_sub(listening));
        assert_ne!(first, second, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_of_a_process_that_stands_still() {
    let servers = start(OUTER_VERSIONS[0], 1, &[]);
    let client = NodeConnections::new();
    let mut watch = watched(&client, servers[0].ip());
    let first = next(&mut watch).await;
    assert!(matches!(first, NodeEvent::Connected(_)), "{first:?}");
    for _ in 0..2 {
        servers[0].pause().unwrap();
        assert_eq!(next(&mut watch).await, NodeEvent::Unreachable(Unreachable::TimedOut));
        servers[0].resume().unwrap();
        assert_eq!(next(&mut watch).await, first, "the same process");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_with_a_wrong_password_says_so() {
    let servers = start(OUTER_VERSIONS[0], 1, &[]);
    let client = NodeConnections::new();
    let wrong = Credentials { passwords: vec!["wrong".into()], ..operator() };
    let mut watch = client.watch(servers[0].ip(), &wrong);
    assert_eq!(next(&mut watch).await, NodeEvent::Unreachable(Unreachable::AuthenticationFailed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_loading_until_its_data_is_read() {
    for version in OUTER_VERSIONS {
        // Each of 2000 keys takes 500 µs to load.
        let mut servers = start(version, 1, &["enable-debug-command yes"]);
        let client = NodeConnections::new();
        let node = observe(&client, &servers[0]).await.unwrap();
        let all = RedisCommand::AddSlots(SlotSet::all());
        client.execute(&target(&servers[0], &node.id), &operator(), &all).await.unwrap();
        let mut tester = tester(&servers[0]);
        tester.ask(&["DEBUG", "POPULATE", "2000"]).unwrap();
        tester.ask(&["SAVE"]).unwrap();
        let folder = servers[0].folder().join("redis.conf");
        let slow = std::fs::read_to_string(&folder).unwrap()
            + "key-load-delay 500\nloading-process-events-interval-bytes 1024\n";
        std::fs::write(folder, slow).unwrap();

        servers[0].restart().unwrap();
        let mut watch = watched(&client, servers[0].ip());
        assert_eq!(observe(&client, &servers[0]).await, Err(Unreachable::Loading), "{version}");
        assert_eq!(next(&mut watch).await, NodeEvent::Unreachable(Unreachable::Loading), "{version}");
        let loaded = next(&mut watch).await;
        assert!(matches!(loaded, NodeEvent::Connected(_)), "{version}: {loaded:?}");
        assert_eq!(observe(&client, &servers[0]).await.unwrap().keys, 2000, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_connections_are_closed_and_made_anew_when_needed() {
    let servers = start(OUTER_VERSIONS[0], 1, &[]);
    let client = NodeConnections::new();
    let mut tester = tester(&servers[0]);
    observe(&client, &servers[0]).await.unwrap();
    observe(&client, &servers[0]).await.unwrap();
    let mut of_operator =
        || tester.ask(&["CLIENT", "LIST"]).unwrap().matches("user=keyslot-operator").count();
    assert_eq!(of_operator(), 1);
    client.keep_only(&BTreeSet::new());
    let closed = async {
        while of_operator() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("the connection stays");
    observe(&client, &servers[0]).await.unwrap();
}
