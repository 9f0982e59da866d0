//! What a server's answer to a command means.

use keyslot_planner::command::RedisCommand;

use crate::error::{CommandError, Refusal, unreachable, words};
use crate::reply::{ErrorReply, Reply};

/// Judges the answers to a command, or to a transaction from MULTI to EXEC. Refusals that say that nothing is left to do
/// are successes, because a pass may repeat a command whose outcome it could not know.
pub fn judge(command: &RedisCommand, replies: &[Reply]) -> Result<(), CommandError> {
    let carried_out = match replies {
        [] => return Err(CommandError::OutcomeUnknown),
        // What EXEC answers: one reply for each command.
        [.., Reply::Array(replies)] => replies,
        // One command, or a transaction that was given up because a command was refused: its words say why.
        replies => replies,
    };
    let error = carried_out.iter().find_map(|reply| match reply {
        Reply::Error(error) => Some(error),
        _ => None,
    });
    error.map_or(Ok(()), |error| judge_error(command, error))
}

fn judge_error(command: &RedisCommand, error: &ErrorReply) -> Result<(), CommandError> {
    match error.code.as_str() {
        "NOPERM" => Err(refused(Refusal::NoPermission, error)),
        "LOADING" | "NOAUTH" => Err(CommandError::Unreachable(unreachable(error))),
        _ if is_done_already(command, &error.words) => {
            tracing::debug!(command = command.kind(), words = words(error), "nothing left to do");
            Ok(())
        }
        _ => Err(refusal(command, error)),
    }
}

/// `SET-CONFIG-EPOCH`: epochs that collide resolve by themselves once nodes have met, so both refusals are harmless.
/// `FORGET` of an unknown node: forgotten already. A takeover by a primary: it has taken over already.
fn is_done_already(command: &RedisCommand, words: &str) -> bool {
    match command {
        RedisCommand::SetConfigEpoch(_) => {
            words.contains("only when the node does not know any other node")
                || words.contains("already non-zero")
        }
        RedisCommand::Forget(_) => words.starts_with("Unknown node"),
        RedisCommand::TakeOver => words.contains("CLUSTER FAILOVER to a replica"),
        RedisCommand::AddSlots(_)
        | RedisCommand::Meet { .. }
        | RedisCommand::Replicate(_)
        | RedisCommand::SetConfig(_)
        | RedisCommand::SetReplicationPassword(_)
        | RedisCommand::SetUser { .. }
        | RedisCommand::DeleteUser(_) => false,
    }
}

fn refusal(command: &RedisCommand, error: &ErrorReply) -> CommandError {
    match command {
        RedisCommand::AddSlots(_) if error.words.contains("already busy") => {
            refused(Refusal::SlotBusy, error)
        }
        RedisCommand::Replicate(_) if error.words.starts_with("Unknown node") => {
            CommandError::NotYet(words(error))
        }
        RedisCommand::Replicate(_) if error.words.contains("only replicate a master") => {
            refused(Refusal::NotAPrimary, error)
        }
        RedisCommand::Replicate(_) if error.words.contains("must be empty") => {
            refused(Refusal::NotEmpty, error)
        }
        RedisCommand::SetConfigEpoch(_)
        | RedisCommand::AddSlots(_)
        | RedisCommand::Meet { .. }
        | RedisCommand::Replicate(_)
        | RedisCommand::Forget(_)
        | RedisCommand::TakeOver
        | RedisCommand::SetConfig(_)
        | RedisCommand::SetReplicationPassword(_)
        | RedisCommand::SetUser { .. }
        | RedisCommand::DeleteUser(_) => refused(Refusal::Other, error),
    }
}

fn refused(kind: Refusal, error: &ErrorReply) -> CommandError {
    CommandError::Refused { kind, words: words(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyslot_planner::ids::NodeId;
    use keyslot_planner::observed::Unreachable;
    use keyslot_planner::slots::SlotSet;

    fn judged(command: &RedisCommand, line: &str) -> Result<(), &'static str> {
        let reply = Reply::from_wire(format!("{line}\r\n").as_bytes()).unwrap();
        judge(command, &[reply]).map_err(|error| error.reason())
    }

    fn node() -> NodeId {
        "07c37dfeb235213a872192d90877d0cd55635b91".parse().unwrap()
    }

    #[test]
    fn answers_of_real_servers_are_judged() {
        let epoch = RedisCommand::SetConfigEpoch(1);
        let slots = RedisCommand::AddSlots(SlotSet::all());
        let replicate = RedisCommand::Replicate(node());
        let forget = RedisCommand::Forget(node());
        let set_user = RedisCommand::SetUser { name: "app".into(), tokens: Vec::new(), end_sessions: false };
        let delete_user = RedisCommand::DeleteUser("app".into());
        let alone =
            "-ERR The user can assign a config epoch only when the node does not know any other node.";
        for (command, line, expected) in [
            (&epoch, "+OK", Ok(())),
            (&epoch, alone, Ok(())),
            (&epoch, "-ERR Node config epoch is already non-zero", Ok(())),
            (&epoch, "-ERR Invalid config epoch specified: -1", Err("refused")),
            (&slots, "-ERR Slot 5 is already busy", Err("slot-busy")),
            (&replicate, "-ERR Unknown node 07c37dfeb235213a872192d90877d0cd55635b91", Err("not-yet")),
            (&replicate, "-ERR I can only replicate a master, not a replica.", Err("not-a-primary")),
            (
                &replicate,
                "-ERR To set a master the node must be empty and without assigned slots.",
                Err("not-empty"),
            ),
            (&replicate, "-ERR Can't replicate myself", Err("refused")),
            (&forget, "-ERR Unknown node 07c37dfeb235213a872192d90877d0cd55635b91", Ok(())),
            (&forget, "-ERR Can't forget my master!", Err("refused")),
            (&forget, "-ERR I tried hard but I can't forget myself...", Err("refused")),
            (&RedisCommand::TakeOver, "-ERR You should send CLUSTER FAILOVER to a replica", Ok(())),
            (&RedisCommand::TakeOver, "-ERR I'm a replica but my master is unknown to me", Err("refused")),
            (&set_user, "-ERR Error in ACL SETUSER modifier '+x': Unknown command", Err("refused")),
            (&delete_user, ":0", Ok(())),
            (
                &delete_user,
                "-NOPERM User x has no permissions to run the 'acl|deluser' command",
                Err("no-permission"),
            ),
            (&delete_user, "-LOADING Redis is loading the dataset in memory", Err("loading")),
            (&delete_user, "-NOAUTH Authentication required.", Err("authentication-failed")),
        ] {
            assert_eq!(judged(command, line), expected, "{line}");
        }
    }

    #[test]
    fn a_transaction_is_as_good_as_its_worst_answer() {
        let command = RedisCommand::SetUser { name: "app".into(), tokens: Vec::new(), end_sessions: true };
        let queued =
            || vec![Reply::from_wire(b"+OK\r\n").unwrap(), Reply::from_wire(b"+QUEUED\r\n").unwrap()];
        let after = |exec: &[u8]| {
            let replies = [queued(), vec![Reply::from_wire(exec).unwrap()]].concat();
            judge(&command, &replies).map_err(|error| error.reason())
        };
        assert_eq!(after(b"*2\r\n+OK\r\n:3\r\n"), Ok(()));
        assert_eq!(after(b"*2\r\n-ERR Error in ACL SETUSER modifier\r\n:0\r\n"), Err("refused"));
        assert_eq!(after(b"-EXECABORT Transaction discarded\r\n"), Err("refused"));
        assert_eq!(judge(&command, &[]), Err(CommandError::OutcomeUnknown));
    }

    #[test]
    fn a_loading_node_is_a_state_and_not_a_refusal() {
        let reply = Reply::from_wire(b"-LOADING x\r\n").unwrap();
        let error = judge(&RedisCommand::Forget(node()), &[reply]).unwrap_err();
        assert_eq!(error, CommandError::Unreachable(Unreachable::Loading));
    }
}
