//! The body of an answer: whole, or one event after the other.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::places::Place;
use crate::session::{Charge, EventBody};

/// See the module's text.
pub enum AnswerBody {
    /// There as a whole.
    Whole(Full<Bytes>),
    /// The same, counted among the bytes that wait for clients until it has left.
    Counted {
        /// The answer.
        body: Full<Bytes>,
        /// What it counts.
        _charge: Charge,
        /// Its place: the process does not stop before the answer has left.
        _place: Place,
    },
    /// Events as they come.
    Events(EventBody),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) | Self::Counted { body, .. } => Pin::new(body).poll_frame(context),
            Self::Events(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) | Self::Counted { body, .. } => body.is_end_stream(),
            Self::Events(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) | Self::Counted { body, .. } => body.size_hint(),
            Self::Events(body) => body.size_hint(),
        }
    }
}
