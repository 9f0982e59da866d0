//! What can go wrong, in words that carry no secret.

use keyslot_planner::ids::NodeId;
use keyslot_planner::observed::Unreachable;

use crate::parse::Malformed;
use crate::reply::ErrorReply;

/// Why a command was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The node refused it and has changed nothing.
    #[error("refused: {words}")]
    Refused {
        /// What kind of refusal.
        kind: Refusal,
        /// The server's words.
        words: String,
    },
    /// The node does not know enough yet (gossip is on its way): the same command will work soon.
    #[error("not yet: {0}")]
    NotYet(String),
    /// The node was not reached; nothing was sent.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// Another node answers at that address; nothing was sent.
    #[error("node {found} answers instead of {expected}")]
    WrongNode {
        /// Who should have answered.
        expected: NodeId,
        /// Who answered.
        found: NodeId,
    },
    /// It was sent and no answer came: it may have been carried out. Observe again.
    #[error("no answer in time: it may have been carried out")]
    OutcomeUnknown,
}

impl CommandError {
    /// A short fixed name for metrics and logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { kind, .. } => kind.reason(),
            Self::NotYet(_) => "not-yet",
            Self::Unreachable(why) => unreachable_reason(why),
            Self::WrongNode { .. } => "wrong-node",
            Self::OutcomeUnknown => "outcome-unknown",
        }
    }
}

/// Kinds of refusals. In every case the view that the plan was made from is wrong: observe again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A slot has an owner in the node's view.
    SlotBusy,
    /// The node has slots or keys and can't become a replica.
    NotEmpty,
    /// The node to replicate is a replica itself.
    NotAPrimary,
    /// The operator's own user lacks a rule.
    NoPermission,
    /// Anything else.
    Other,
}

impl Refusal {
    /// A short fixed name for metrics and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::SlotBusy => "slot-busy",
            Self::NotEmpty => "not-empty",
            Self::NotAPrimary => "not-a-primary",
            Self::NoPermission => "no-permission",
            Self::Other => "refused",
        }
    }
}

/// A short fixed name for metrics and logs.
pub const fn unreachable_reason(why: &Unreachable) -> &'static str {
    match why {
        Unreachable::NoAddress => "no-address",
        Unreachable::NoPassword => "no-password",
        Unreachable::Refused => "connection-refused",
        Unreachable::TimedOut => "timed-out",
        Unreachable::Loading => "loading",
        Unreachable::AuthenticationFailed => "authentication-failed",
        Unreachable::AnswerTooLong => "answer-too-long",
        Unreachable::Other(_) => "unreadable",
    }
}

/// What an error reply to a question says of the node.
pub(crate) fn unreachable(error: &ErrorReply) -> Unreachable {
    match error.code.as_str() {
        "LOADING" => Unreachable::Loading,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Unreachable::AuthenticationFailed,
        _ => Unreachable::Other(words(error)),
    }
}

impl From<Malformed> for CommandError {
    fn from(malformed: Malformed) -> Self {
        Self::Unreachable(unreadable(&malformed))
    }
}

/// A reply that can't be read: the node is as good as unreachable.
pub(crate) fn unreadable(malformed: &Malformed) -> Unreachable {
    Unreachable::Other(malformed.to_string())
}

/// The server's words, for people: without `ERR`, on one line, of bounded length, and without the password hashes that
/// the words about a refused ACL rule repeat.
pub(crate) fn words(error: &ErrorReply) -> String {
    let said = match error.code.as_str() {
        "ERR" => error.words.clone(),
        code => format!("{code} {}", error.words),
    };
    let mut kept = String::new();
    let mut run = String::new();
    for character in said.trim().chars().chain(['\n']) {
        if character.is_ascii_hexdigit() {
            run.push(character);
            continue;
        }
        kept.push_str(if run.len() >= 64 { "…" } else { &run });
        run.clear();
        kept.push(if character.is_control() { ' ' } else { character });
    }
    kept.trim_end().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, words: &str) -> ErrorReply {
        ErrorReply { code: code.into(), words: words.into() }
    }

    #[test]
    fn words_never_repeat_a_password_hash() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let said =
            words(&error("ERR", &format!("Error in ACL SETUSER modifier '!{hash}': no such password")));
        assert_eq!(said, "Error in ACL SETUSER modifier '!…': no such password");
        assert_eq!(words(&error("ERR", hash)), "…");
        let id = "07c37dfeb235213a872192d90877d0cd55635b91";
        assert_eq!(words(&error("ERR", &format!("Unknown node {id}"))), format!("Unknown node {id}"));
    }

    #[test]
    fn words_are_one_line_and_keep_unusual_codes() {
        assert_eq!(words(&error("BUSY", "Redis is busy\r\n")), "BUSY Redis is busy");
        assert_eq!(words(&error("ERR", "a\nb")), "a b");
    }

    #[test]
    fn error_codes_tell_why_a_node_can_not_be_read() {
        for (code, why) in [
            ("LOADING", Unreachable::Loading),
            ("NOAUTH", Unreachable::AuthenticationFailed),
            ("WRONGPASS", Unreachable::AuthenticationFailed),
            ("NOPERM", Unreachable::AuthenticationFailed),
            ("ERR", Unreachable::Other("x".into())),
        ] {
            assert_eq!(unreachable(&error(code, "x")), why);
        }
    }
}
