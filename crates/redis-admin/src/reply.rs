//! What goes to a server and what comes back, as plain data: the rest of the crate does not know the `redis` crate.

use std::borrow::Cow;

use redis::Value;

/// One command: its name and arguments in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    /// Takes words in order.
    pub fn new<W: Into<Vec<u8>>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// The words in order.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Adds words at the end.
    #[must_use]
    pub fn with<W: Into<Vec<u8>>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.0.extend(words.into_iter().map(Into::into));
        self
    }
}

/// One reply of a server, in RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing: an unknown user, for example.
    Nil,
    /// A number.
    Integer(i64),
    /// A simple, bulk or verbatim string.
    Text(Vec<u8>),
    /// An array or a set.
    Array(Vec<Reply>),
    /// A map of RESP3.
    Map(Vec<(Reply, Reply)>),
    /// An error: its code and the words behind it.
    Error(ErrorReply),
    /// A kind of value that no command of ours answers with.
    Foreign,
}

/// An error reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The first word: `ERR`, `NOPERM`, `LOADING` …
    pub code: String,
    /// The rest of the line.
    pub words: String,
}

impl Reply {
    /// Reads one reply from the bytes that a server sent; `None` when they are no whole reply.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        redis::parse_redis_value(bytes).ok().map(Self::from)
    }

    /// The reply as text, if it is text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
            Self::Nil | Self::Integer(_) | Self::Array(_) | Self::Map(_) | Self::Error(_) | Self::Foreign => {
                None
            }
        }
    }

    /// Key and value pairs of a RESP3 map, or of the flat array that RESP2 writes for one.
    pub fn pairs(&self) -> Option<Vec<(&Reply, &Reply)>> {
        match self {
            Self::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Self::Array(items) if items.len().is_multiple_of(2) => {
                Some(items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect())
            }
            Self::Array(_)
            | Self::Nil
            | Self::Integer(_)
            | Self::Text(_)
            | Self::Error(_)
            | Self::Foreign => None,
        }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Integer(number),
            Value::BulkString(bytes) => Self::Text(bytes),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Self::Text(text.into_bytes()),
            Value::Okay => Self::Text(b"OK".to_vec()),
            Value::Array(items) | Value::Set(items) => {
                Self::Array(items.into_iter().map(Self::from).collect())
            }
            Value::Map(pairs) => {
                Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
            }
            Value::Attribute { data, .. } => Self::from(*data),
            Value::ServerError(error) => Self::Error(ErrorReply {
                code: error.code().to_owned(),
                words: error.details().unwrap_or_default().to_owned(),
            }),
            _ => Self::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_in_both_protocols() {
        let flat = Reply::from_wire(b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n").unwrap();
        let map = Reply::from_wire(b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n").unwrap();
        assert_eq!(flat.pairs(), map.pairs());
        assert_eq!(flat.pairs().unwrap().len(), 2);
        assert_eq!(Reply::from_wire(b"*1\r\n:1\r\n").unwrap().pairs(), None);
    }

    #[test]
    fn an_error_is_split_into_code_and_words() {
        let reply = Reply::from_wire(b"-NOPERM User x has no permissions\r\n").unwrap();
        let error = ErrorReply { code: "NOPERM".into(), words: "User x has no permissions".into() };
        assert_eq!(reply, Reply::Error(error));
    }

    #[test]
    fn half_a_reply_is_no_reply() {
        assert_eq!(Reply::from_wire(b"$5\r\nab"), None);
        assert_eq!(Reply::from_wire(b""), None);
    }
}
