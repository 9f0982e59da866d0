//! A connection over which a server can't say more than an answer may have. Whoever may set users on one node could
//! otherwise fill the memory of the operator, which looks after other clusters too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of one connection: how many bytes may still come.
#[derive(Clone)]
pub(crate) struct Allowance {
    left: Arc<AtomicUsize>,
    exceeded: Arc<AtomicBool>,
    most: usize,
}

impl Allowance {
    /// So many bytes for each time that it is renewed.
    pub(crate) fn new(most: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(most)), exceeded: Arc::default(), most }
    }

    /// A new question is about to be asked.
    pub(crate) fn renew(&self) {
        self.left.store(self.most, Ordering::Relaxed);
    }

    /// Whether the answer had to be cut off.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            self.exceeded.store(true, Ordering::Relaxed);
            io::Error::other("the answer is too long")
        })
    }
}

/// A stream that ends with an error when more comes than is allowed.
pub(crate) struct Limited<S> {
    stream: S,
    allowance: Allowance,
}

impl<S> Limited<S> {
    /// Reads of `stream` count.
    pub(crate) const fn new(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.allowance.take(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn an_answer_may_be_so_long_and_no_longer() {
        let (mut server, client) = tokio::io::duplex(64);
        let allowance = Allowance::new(10);
        let mut client = Limited::new(client, allowance.clone());
        let mut answer = [0; 8];
        for _ in 0..3 {
            server.write_all(b"12345678").await.unwrap();
            allowance.renew();
            client.read_exact(&mut answer).await.unwrap();
        }
        server.write_all(b"12345678").await.unwrap();
        assert!(!allowance.is_exceeded());
        assert!(client.read_exact(&mut answer).await.is_err(), "without another question");
        assert!(allowance.is_exceeded());
    }
}
