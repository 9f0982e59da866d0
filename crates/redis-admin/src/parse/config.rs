//! `CONFIG GET`: names and values.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Malformed, shown};
use crate::reply::Reply;

/// The settings in the reply. A name that the server does not know is absent.
pub fn configuration(reply: &Reply) -> Result<BTreeMap<String, String>, Malformed> {
    let wrong = || Malformed::new("CONFIG GET", "not a list of names and values");
    let pairs = reply.pairs().ok_or_else(wrong)?;
    pairs
        .into_iter()
        .map(|(name, value)| Some((name.text()?.into_owned(), value.text()?.into_owned())))
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

/// A setting in milliseconds.
pub fn milliseconds(config: &BTreeMap<String, String>, name: &str) -> Result<Duration, Malformed> {
    number(config, name).map(Duration::from_millis)
}

/// A setting in bytes, as the server writes it: plain digits, without a unit.
pub fn bytes(config: &BTreeMap<String, String>, name: &str) -> Result<u64, Malformed> {
    number(config, name)
}

fn number(config: &BTreeMap<String, String>, name: &str) -> Result<u64, Malformed> {
    let text = config.get(name).ok_or_else(|| Malformed::new("CONFIG GET", format!("no {name}")))?;
    text.parse().map_err(|_| Malformed::new("CONFIG GET", format!("{name} is {}", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_give_the_same_settings() {
        let flat = Reply::from_wire(b"*4\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$1\r\nx\r\n$0\r\n\r\n").unwrap();
        let map = Reply::from_wire(b"%2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$1\r\nx\r\n$0\r\n\r\n").unwrap();
        assert_eq!(configuration(&flat).unwrap(), configuration(&map).unwrap());
        assert_eq!(bytes(&configuration(&flat).unwrap(), "maxmemory"), Ok(0));
        assert!(bytes(&configuration(&flat).unwrap(), "x").is_err());
        assert!(bytes(&configuration(&flat).unwrap(), "absent").is_err());
    }

    #[test]
    fn other_replies_are_refused() {
        for wrong in
            [&b"*1\r\n$1\r\na\r\n"[..], b"$1\r\na\r\n", b"*2\r\n:1\r\n$1\r\na\r\n", b"*-1\r\n", b"-ERR x\r\n"]
        {
            assert!(configuration(&Reply::from_wire(wrong).unwrap()).is_err());
        }
    }
}
