//! The way of a session to a client that reads a response body instead of a WebSocket.
//!
//! The session appends to a queue, HTTP takes from it; nothing is taken ahead of the client, so
//! that a slow one is only an older position here too. The answer's status waits until the
//! session knows whether it can begin.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::oneshot;

use super::outgoing::Outgoing;
use super::read_refusal::ReadRefusal;

/// How a stream of events begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// With events.
    Events,
    /// There is nothing more to come: the job has ended, and the client has seen it.
    Over,
    /// Not at all.
    Refused(ReadRefusal),
}

#[derive(Default)]
struct Shared {
    outgoing: Outgoing,
    /// Bytes that HTTP took since the session last asked.
    taken: usize,
    ended: bool,
    client_gone: bool,
    reader: Option<Waker>,
    session: Option<Waker>,
}

/// The session's end.
pub struct EventPipe {
    shared: Rc<RefCell<Shared>>,
    opening: Option<oneshot::Sender<Opening>>,
}

/// HTTP's end: a body.
pub struct EventBody {
    shared: Rc<RefCell<Shared>>,
}

/// A pipe: what the session gets, the body, and where it is told how the stream begins.
pub fn event_pipe() -> (EventPipe, EventBody, oneshot::Receiver<Opening>) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    let (opening, begins) = oneshot::channel();
    let body = EventBody { shared: Rc::clone(&shared) };
    (EventPipe { shared, opening: Some(opening) }, body, begins)
}

impl EventPipe {
    /// Tells how the stream begins; only the first word counts. Whether it was that.
    pub fn open(&mut self, opening: Opening) -> bool {
        let Some(sender) = self.opening.take() else { return false };
        // A client that is gone is noticed by its body.
        let _ = sender.send(opening);
        true
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.shared.borrow_mut().outgoing.push(bytes);
    }

    pub(super) fn pending(&self) -> usize {
        self.shared.borrow().outgoing.pending()
    }

    /// No more will come.
    pub(super) fn end(&mut self) {
        // Whoever still waits for the beginning learns that there is none.
        self.open(Opening::Refused(ReadRefusal::Unavailable));
        let mut shared = self.shared.borrow_mut();
        shared.ended = true;
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut shared = self.shared.borrow_mut();
        let taken = std::mem::take(&mut shared.taken);
        if shared.client_gone {
            return (taken, Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())));
        }
        if shared.outgoing.pending() == 0 {
            return (taken, Poll::Ready(Ok(())));
        }
        shared.remember(context);
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
        (taken, Poll::Pending)
    }

    /// Ready when the client is gone.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.client_gone {
            return Poll::Ready(());
        }
        shared.remember(context);
        Poll::Pending
    }
}

impl Shared {
    /// Whom to wake. Writing in place has no task to wake, and must not take the place of one.
    fn remember(&mut self, context: &Context<'_>) {
        if !context.waker().will_wake(Waker::noop()) {
            self.session = Some(context.waker().clone());
        }
    }
}

impl Drop for EventPipe {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(bytes) = shared.outgoing.pop() {
            shared.taken += bytes.len();
            if shared.outgoing.pending() == 0
                && let Some(session) = shared.session.take()
            {
                session.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        shared.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.client_gone = true;
        if let Some(session) = shared.session.take() {
            session.wake();
        }
    }
}
