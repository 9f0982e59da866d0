use super::*;
use crate::reply::ErrorReply;

const ID: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
const OTHER: &str = "17c37dfeb235213a872192d90877d0cd55635b91";

fn text(text: &str) -> Reply {
    Reply::Text(text.as_bytes().to_vec())
}

fn error(code: &str) -> Reply {
    Reply::Error(ErrorReply { code: code.into(), words: "words".into() })
}

/// A node's answers: its line in CLUSTER NODES, and what INFO says of replication.
fn answers(line: &str, replication: &str) -> Vec<Reply> {
    vec![
        text(ID),
        text(line),
        text("cluster_state:ok\r\ncluster_current_epoch:9\r\n"),
        text(&format!(
            "redis_version:7.0.15\r\nrun_id:r\r\nused_memory:1\r\nnumber_of_libraries:0\r\nloading:0\r\n{replication}\r\n"
        )),
        Reply::Integer(12),
        Reply::Array(vec![text("cluster-node-timeout"), text("5000"), text("maxmemory"), text("0")]),
    ]
}

fn primary() -> Vec<Reply> {
    answers(
        &format!("{ID} 10.0.0.1:6379@16379 myself,master - 0 0 3 connected 0-5"),
        "role:master\r\nmaster_repl_offset:77",
    )
}

fn replica(health: &str) -> Result<RedisNode, Unreachable> {
    let line = format!("{ID} 10.0.0.1:6379@16379 myself,slave {OTHER} 0 0 3 connected");
    read_topology(answers(
        &line,
        &format!("role:slave\r\nmaster_host:10.0.0.2\r\nslave_repl_offset:55\r\n{health}"),
    ))
}

#[test]
fn a_primary_tells_its_own_offset() {
    let node = read_topology(primary()).unwrap();
    assert!(matches!(node.role, Role::Primary { offset: 77, .. }));
    assert_eq!((node.keys, node.config_epoch, node.current_epoch), (12, 3, 9));
}

#[test]
fn a_replicas_link_is_up_only_without_a_sync_in_progress() {
    for (link, expected) in [
        ("master_link_status:up\r\nmaster_sync_in_progress:0", true),
        ("master_link_status:up\r\nmaster_sync_in_progress:1", false),
        ("master_link_status:down\r\nmaster_sync_in_progress:0", false),
    ] {
        let node = replica(link).unwrap();
        let Role::Replica { of, offset, link_up, .. } = node.role else { panic!("not a replica") };
        assert_eq!((of.as_str(), offset, link_up), (OTHER, 55, expected));
    }
}

#[test]
fn a_node_that_contradicts_itself_is_not_believed() {
    let line = format!("{ID} 10.0.0.1:6379@16379 myself,slave {OTHER} 0 0 3 connected");
    assert!(read_topology(answers(&line, "role:master\r\nmaster_repl_offset:77")).is_err());
    let stranger = format!("{OTHER} 10.0.0.1:6379@16379 myself,master - 0 0 3 connected");
    assert!(read_topology(answers(&stranger, "role:master\r\nmaster_repl_offset:77")).is_err());
}

#[test]
fn loading_is_a_state_wherever_it_shows() {
    for number in 0..6 {
        let mut replies = primary();
        replies[number] = error("LOADING");
        assert_eq!(read_topology(replies), Err(Unreachable::Loading), "{number}");
    }
    let mut replies = primary();
    replies[3] = text("loading:1\r\n");
    assert_eq!(read_topology(replies), Err(Unreachable::Loading));
}

#[test]
fn no_answer_is_made_up() {
    for number in 0..6 {
        let mut replies = primary();
        replies[number] = Reply::Nil;
        assert!(matches!(read_topology(replies), Err(Unreachable::Other(_))), "{number}");
        let mut replies = primary();
        replies.truncate(number);
        assert!(matches!(read_topology(replies), Err(Unreachable::Other(_))), "{number}");
        let mut replies = primary();
        replies[number] = error("NOPERM");
        assert_eq!(read_topology(replies), Err(Unreachable::AuthenticationFailed), "{number}");
    }
}

#[test]
fn a_scratch_user_that_vanished_is_not_a_refusal() {
    assert!(trial(text("OK"), &Reply::Nil).is_err());
    assert_eq!(trial(error("ERR"), &Reply::Nil), Ok(Err("words".to_owned())));
    assert_eq!(trial(error("LOADING"), &Reply::Nil), Err(Unreachable::Loading));
}

#[test]
fn users_whose_names_are_no_text_are_deleted_byte_by_byte() {
    let names = [b"app".as_slice(), b"\xff", b"keyslot-scratch-7"].map(|name| Reply::Text(name.to_vec()));
    let info = "redis_version:7.0.15\r\nrun_id:abc\r\n";
    let replies = vec![
        text(&"a".repeat(40)),
        text(info),
        Reply::Array(vec![text("masterauth"), text("")]),
        Reply::Array(names.into()),
    ];
    let half = read_settings(replies, &Trials::new()).unwrap();
    let said: Vec<Vec<Vec<u8>>> =
        half.questions().iter().map(|question| question.words().map(<[u8]>::to_vec).collect()).collect();
    assert_eq!(said[0], [b"ACL".as_slice(), b"GETUSER", b"app"]);
    assert_eq!(said[1], [b"ACL".as_slice(), b"DELUSER", b"\xff"]);
    assert_eq!(said[2], [b"ACL".as_slice(), b"DELUSER", b"keyslot-scratch-7"]);
    assert_eq!(said.len(), 3);
}

#[test]
fn every_trial_has_a_scratch_user_of_its_own_that_is_deleted() {
    let trials: Trials =
        ["a", "b"].map(|name| (name.to_owned(), vec![AclToken::parse("reset").unwrap()])).into();
    let said: Vec<String> = settings_questions(&trials, &["maxmemory"])
        .iter()
        .map(|question| question.words().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(said[2], "CONFIG GET masterauth maxmemory");
    assert_eq!(
        said[4..7],
        [
            "ACL SETUSER keyslot-scratch-0 reset",
            "ACL GETUSER keyslot-scratch-0",
            "ACL DELUSER keyslot-scratch-0"
        ]
    );
    assert_eq!(said[9], "ACL DELUSER keyslot-scratch-1");
}
