//! Whoever loses a password loses the sessions that it opened, on real servers of every version; nobody else does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use keyslot_planner::command::RedisCommand;
use keyslot_redis_admin::{NodeClient, NodeConnections};
use keyslot_testkit::redis_server::{ALL_VERSIONS, RawConnection};

mod common;
use common::{observe, operator, start, target, tester, tokens};

fn lives(session: &mut RawConnection) -> bool {
    session.ask(&["PING"]).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_in_the_transaction_that_takes_the_password_away() {
    for version in ALL_VERSIONS {
        let servers = start(version, 1, &[]);
        let (server, client) = (&servers[0], NodeConnections::new());
        let node = observe(&client, server).await.unwrap().id;
        for line in ["app on >before >still ~* &* +@all", "other on >other ~* +@all"] {
            let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(line.split(' ')).collect();
            tester(server).ask(&words).unwrap();
        }
        let login = |user, password| server.connect(Some((user, password))).unwrap();
        let (mut idle, mut in_transaction, mut subscriber) =
            (login("app", "before"), login("app", "still"), login("app", "before"));
        in_transaction.ask(&["MULTI"]).unwrap();
        subscriber.ask(&["SUBSCRIBE", "news"]).unwrap();
        let mut other = login("other", "other");
        let say = async |rules: &str, end_sessions| {
            let command =
                RedisCommand::SetUser { name: "app".to_owned(), tokens: tokens(rules), end_sessions };
            client
                .execute(&target(server, &node), &operator(), &command)
                .await
                .map_err(|error| error.reason())
        };

        assert_eq!(say("reset on >still ~* &* +nosuch", true).await, Err("refused"), "{version}");
        let (mut idle_again, mut other_again) = (login("app", "before"), &mut other);
        assert!(
            lives(&mut idle_again) && lives(other_again),
            "{version}: its rules and passwords are as they were"
        );

        assert_eq!(say("reset on >still ~* &* +get +ping", false).await, Ok(()), "{version}");
        assert!(lives(&mut idle_again), "{version}: fewer rules end no session");

        assert_eq!(say("reset on >still ~* &* +get +ping", true).await, Ok(()), "{version}");
        for (what, session) in [
            ("idle", &mut idle),
            ("logged in later", &mut idle_again),
            ("in a transaction", &mut in_transaction),
            ("subscriber", &mut subscriber),
        ] {
            assert!(!lives(session), "{version}: {what}");
        }
        other_again = &mut other;
        assert!(lives(other_again) && observe(&client, server).await.is_ok(), "{version}");
        assert!(server.connect(Some(("app", "before"))).is_err(), "{version}: the password is gone");
        assert!(lives(&mut login("app", "still")), "{version}");
    }
}
