//! Commands to arguments. One of them carries a plaintext password, [`RedisCommand::SetReplicationPassword`]; the others
//! have no place for one.

use std::time::Duration;

use keyslot_planner::acl::AclToken;
use keyslot_planner::command::{BUS_PORT, REDIS_PORT, RedisCommand};

use secrecy::ExposeSecret;

use crate::reply::Arguments;

/// The directive with the password that a node logs in to its primary with; Valkey knows it by this name too.
pub(crate) const REPLICATION_PASSWORD: &str = "masterauth";

/// What is sent to the server, in one write: one command, or a transaction.
pub fn commands(command: &RedisCommand) -> Vec<Arguments> {
    let said = arguments(command);
    if let RedisCommand::SetUser { name, end_sessions: true, .. } = command {
        let kill = Arguments::new(["CLIENT", "KILL", "USER", name]);
        return vec![Arguments::new(["MULTI"]), said, kill, Arguments::new(["EXEC"])];
    }
    vec![said]
}

fn arguments(command: &RedisCommand) -> Arguments {
    match command {
        RedisCommand::SetConfigEpoch(epoch) => cluster(["SET-CONFIG-EPOCH".to_owned(), epoch.to_string()]),
        RedisCommand::AddSlots(slots) => {
            let bounds =
                slots.ranges().iter().flat_map(|(first, last)| [first.to_string(), last.to_string()]);
            cluster(["ADDSLOTSRANGE".to_owned()]).with(bounds)
        }
        RedisCommand::Meet { ip, node: _ } => {
            cluster(["MEET".to_owned(), ip.to_string(), REDIS_PORT.to_string(), BUS_PORT.to_string()])
        }
        RedisCommand::Replicate(primary) => cluster(["REPLICATE", primary.as_str()]),
        RedisCommand::Forget(node) => cluster(["FORGET", node.as_str()]),
        RedisCommand::TakeOver => cluster(["FAILOVER", "TAKEOVER"]),
        RedisCommand::SetConfig(settings) => Arguments::new(["CONFIG", "SET"])
            .with(settings.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()])),
        RedisCommand::SetReplicationPassword(password) => {
            Arguments::new(["CONFIG", "SET", REPLICATION_PASSWORD, password.0.expose_secret()])
        }
        RedisCommand::SetUser { name, tokens, end_sessions: _ } => set_user(name, tokens),
        RedisCommand::DeleteUser(name) => delete_user(name),
    }
}

/// How long the answer is waited for. All of these are answered from memory, but they may wait for `nodes.conf` to be
/// written (the CLUSTER ones) or for memory to be freed (`CONFIG SET maxmemory`, cutting users' connections). Shorter
/// than any sensible margin of the leader's lease, so that no command of a stale leader is under way for long.
pub const fn time_limit(command: &RedisCommand) -> Duration {
    match command {
        RedisCommand::SetConfigEpoch(_)
        | RedisCommand::AddSlots(_)
        | RedisCommand::Meet { .. }
        | RedisCommand::Replicate(_)
        | RedisCommand::Forget(_)
        | RedisCommand::TakeOver => Duration::from_secs(3),
        RedisCommand::SetConfig(_)
        | RedisCommand::SetReplicationPassword(_)
        | RedisCommand::SetUser { .. }
        | RedisCommand::DeleteUser(_) => Duration::from_secs(5),
    }
}

/// `ACL SETUSER`.
pub(crate) fn set_user(name: &str, tokens: &[AclToken]) -> Arguments {
    Arguments::new(["ACL", "SETUSER", name]).with(tokens.iter().map(AclToken::as_str))
}

/// `ACL DELUSER`.
pub(crate) fn delete_user(name: &str) -> Arguments {
    Arguments::new(["ACL", "DELUSER", name])
}

/// `CLUSTER …`.
pub(crate) fn cluster<W: Into<Vec<u8>>>(words: impl IntoIterator<Item = W>) -> Arguments {
    Arguments::new(["CLUSTER"]).with(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_planner::acl::Password;
    use keyslot_planner::slots::SlotSet;

    fn said(command: &RedisCommand) -> String {
        let line = |said: &Arguments| {
            let words: Vec<_> = said.words().map(String::from_utf8_lossy).collect();
            words.join(" ")
        };
        commands(command).iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_command_is_said_as_the_servers_expect_it() {
        let id = "07c37dfeb235213a872192d90877d0cd55635b91";
        let node: keyslot_planner::ids::NodeId = id.parse().unwrap();
        let meet = |ip: &str| RedisCommand::Meet { ip: ip.parse().unwrap(), node: node.clone() };
        let tokens =
            ["reset", "on", "~app:*", "+@read"].map(|token| AclToken::parse(token).unwrap()).to_vec();
        let settings = vec![("maxmemory".into(), "1048576".into()), ("save".into(), "900 1".into())];
        let slots = SlotSet::range(0, 4).union(&SlotSet::range(9, 9));
        for (command, expected) in [
            (RedisCommand::SetConfigEpoch(3), "CLUSTER SET-CONFIG-EPOCH 3".to_owned()),
            (RedisCommand::AddSlots(slots), "CLUSTER ADDSLOTSRANGE 0 4 9 9".to_owned()),
            (meet("10.0.0.7"), "CLUSTER MEET 10.0.0.7 6379 16379".to_owned()),
            (meet("fd00::7"), "CLUSTER MEET fd00::7 6379 16379".to_owned()),
            (RedisCommand::Replicate(node.clone()), format!("CLUSTER REPLICATE {id}")),
            (RedisCommand::Forget(node.clone()), format!("CLUSTER FORGET {id}")),
            (RedisCommand::TakeOver, "CLUSTER FAILOVER TAKEOVER".to_owned()),
            (
                RedisCommand::SetReplicationPassword(Password("sesame".into())),
                "CONFIG SET masterauth sesame".to_owned(),
            ),
            (RedisCommand::SetConfig(settings), "CONFIG SET maxmemory 1048576 save 900 1".to_owned()),
            (
                RedisCommand::SetUser { name: "app".into(), tokens: tokens.clone(), end_sessions: false },
                "ACL SETUSER app reset on ~app:* +@read".to_owned(),
            ),
            (
                RedisCommand::SetUser { name: "app".into(), tokens, end_sessions: true },
                "MULTI; ACL SETUSER app reset on ~app:* +@read; CLIENT KILL USER app; EXEC".to_owned(),
            ),
            (RedisCommand::DeleteUser("app".into()), "ACL DELUSER app".to_owned()),
        ] {
            assert_eq!(said(&command), expected);
        }
    }

    #[test]
    fn an_argument_with_spaces_stays_one_argument() {
        let command = RedisCommand::SetConfig(vec![("save".into(), "900 1".into())]);
        assert_eq!(commands(&command)[0].words().count(), 4);
    }
}
