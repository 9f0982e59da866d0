//! A connection that sends any command and gives the bytes of the reply: for tests that need commands which the product
//! never says, and for recording what servers write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// A blocking connection. RESP2 unless `HELLO 3` is sent.
pub struct RawConnection(BufReader<TcpStream>);

impl RawConnection {
    /// Connects; every reply may take up to `patience`.
    pub fn open(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and returns its reply as it came over the wire, errors included.
    pub fn ask_raw(&mut self, words: &[&str]) -> Result<Vec<u8>> {
        let mut packed = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            write!(packed, "${}\r\n{word}\r\n", word.len())?;
        }
        self.0.get_mut().write_all(&packed)?;
        let mut reply = Vec::new();
        let mut pending = 1_usize;
        while pending > 0 {
            pending += self.read_element(&mut reply)?;
            pending -= 1;
        }
        Ok(reply)
    }

    /// Sends a command; an error reply is an error. A text comes without its framing, anything else as on the wire.
    pub fn ask(&mut self, words: &[&str]) -> Result<String> {
        let reply = self.ask_raw(words)?;
        let text = String::from_utf8_lossy(&reply);
        match text.split_at_checked(1).context("an empty reply")? {
            ("-", error) => bail!("{}: {}", words.first().unwrap_or(&""), error.trim_end()),
            ("+" | ":", line) => Ok(line.trim_end().to_owned()),
            ("$", bulk) => {
                let (_, body) = bulk.split_once("\r\n").context("a bulk string without length")?;
                Ok(body.strip_suffix("\r\n").unwrap_or(body).to_owned())
            }
            _ => Ok(text.into_owned()),
        }
    }

    /// Reads one line and the bytes that belong to it; tells how many elements follow in it.
    fn read_element(&mut self, reply: &mut Vec<u8>) -> Result<usize> {
        let start = reply.len();
        self.0.read_until(b'\n', reply)?;
        let line = String::from_utf8_lossy(&reply[start..]).trim_end().to_owned();
        ensure!(reply.ends_with(b"\r\n"), "the connection ended after {line:?}");
        let (kind, count) = line.split_at_checked(1).context("an empty line")?;
        let count = || count.parse::<i64>().with_context(|| format!("the length of {line:?}"));
        match kind {
            "$" | "=" => {
                if let Ok(length) = usize::try_from(count()?) {
                    let body = reply.len();
                    reply.resize(body + length + 2, 0);
                    self.0.read_exact(&mut reply[body..])?;
                }
                Ok(0)
            }
            "*" | "~" | ">" => Ok(usize::try_from(count()?).unwrap_or(0)),
            "%" => Ok(usize::try_from(count()?).unwrap_or(0) * 2),
            "+" | "-" | ":" | "_" | "," | "#" | "(" => Ok(0),
            _ => bail!("an unknown kind of reply: {line:?}"),
        }
    }
}
