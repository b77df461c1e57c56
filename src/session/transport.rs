//! What carries a WebSocket's bytes: TCP, or TLS over it.
//!
//! With TLS there are two queues: what is to be encrypted, and what is encrypted and was not taken
//! by the kernel yet. The library would call bytes of the second one written; here they wait.
//! Only what the kernel takes counts, so that a client is alive or stuck as it is without TLS.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::outgoing::{GATHER, Outgoing};
use crate::tls::BUFFERED;

/// See the module's text.
pub enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS, whose handshake is done.
    Tls(Box<TlsStream<TcpStream>>),
    /// A model of a connection.
    #[cfg(test)]
    Model(tokio::io::DuplexStream),
}

impl Transport {
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(test)]
            Self::Model(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// Bytes that were taken from the queue and wait here: none, or at most about so many.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Tls(stream) if stream.get_ref().1.wants_write() => BUFFERED,
            _ => 0,
        }
    }

    /// Sends the queue; tells how many bytes the kernel took, and whether anything is left here
    /// or in the queue.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        outgoing: &mut Outgoing,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut taken = 0;
        while self.held() > 0 || outgoing.pending() > 0 {
            let sent = match self {
                Self::Tcp(stream) => poll_send_plain(stream, context, outgoing),
                Self::Tls(stream) => poll_send_encrypted(stream, context, outgoing),
                #[cfg(test)]
                Self::Model(stream) => poll_send_plain(stream, context, outgoing),
            };
            match sent {
                Poll::Ready(Ok(0)) => {
                    return (taken, Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(bytes)) => taken += bytes,
                Poll::Ready(Err(error)) => return (taken, Poll::Ready(Err(error))),
                Poll::Pending => return (taken, Poll::Pending),
            }
        }
        (taken, Poll::Ready(Ok(())))
    }

    /// Ends our side of the stream; with TLS by `close_notify` before the end.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(test)]
            Self::Model(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    /// Makes the connection end with a reset when it is dropped: the kernel then frees what it
    /// had queued.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn reset_on_drop(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Tls(stream) => stream.get_ref().0.set_zero_linger(),
            #[cfg(test)]
            Self::Model(_) => Ok(()),
        }
    }
}

fn poll_send_plain(
    stream: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
    outgoing: &mut Outgoing,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let written = match outgoing.only() {
        Some(frame) => ready!(stream.poll_write(context, frame))?,
        None => {
            let mut slices = [IoSlice::new(&[]); GATHER];
            let count = outgoing.gather(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            ready!(stream.poll_write_vectored(context, slices))?
        }
    };
    outgoing.advance(written);
    Poll::Ready(Ok(written))
}

/// Encrypts no more before the kernel has all that was encrypted: that bounds what waits here.
fn poll_send_encrypted(
    stream: &mut TlsStream<TcpStream>,
    context: &mut Context<'_>,
    outgoing: &mut Outgoing,
) -> Poll<io::Result<usize>> {
    let (tcp, session) = stream.get_mut();
    if !session.wants_write() {
        let mut slices = [IoSlice::new(&[]); GATHER];
        let count = outgoing.gather(&mut slices);
        let encrypted = session.writer().write_vectored(slices.get(..count).unwrap_or_default())?;
        outgoing.advance(encrypted);
    }
    match session.write_tls(&mut Kernel { tcp, context }) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        written => Poll::Ready(written),
    }
}

/// The connection as the TLS library writes to it.
struct Kernel<'a, 'b> {
    tcp: &'a mut TcpStream,
    context: &'a mut Context<'b>,
}

impl Kernel<'_, '_> {
    fn written<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
        match poll {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Kernel<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::written(Pin::new(&mut *self.tcp).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::written(Pin::new(&mut *self.tcp).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
