//! The body of a request on its way into memory, bounded for one request and for all together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::answer::HttpError;
use crate::session::Reason;

/// Bytes of one body.
pub const MAX_BODY: usize = 4 * 1024 * 1024;
/// Bytes of all bodies that are in memory.
const ALL_BODIES: usize = 64 * 1024 * 1024;
/// What bodies are counted in.
const UNIT: usize = 1024;
/// Bytes of a refused body that are read all the same, and for how long.
const DISCARDED: usize = 4 * MAX_BODY;
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The room for bodies. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    room: Arc<Semaphore>,
}

/// A body in memory. Its room is given back with the last piece of it, wherever that is: an event
/// that NATS has not taken yet still counts.
struct Received {
    body: BytesMut,
    room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ALL_BODIES / UNIT)) }
    }
}

impl Intake {
    /// Takes a body as a whole. Room is taken as it comes: a length that is only announced keeps
    /// nobody else out.
    ///
    /// # Errors
    /// [`HttpError::BodyTooLarge`], [`HttpError::BodyTooSlow`], [`Reason::Bodies`], and
    /// [`HttpError::BodyBroken`] for a client that is gone.
    pub async fn receive(&self, body: &mut Incoming) -> Result<Bytes, HttpError> {
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(HttpError::BodyTooLarge);
        }
        tokio::time::timeout(BODY_TIME, self.collect(body))
            .await
            .unwrap_or(Err(HttpError::BodyTooSlow))
    }

    async fn collect(&self, body: &mut Incoming) -> Result<Bytes, HttpError> {
        let mut received = Received { body: BytesMut::new(), room: self.room_for(UNIT)? };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| HttpError::BodyBroken)?;
            let Some(piece) = frame.data_ref() else { continue };
            let length = received.body.len() + piece.len();
            if length > MAX_BODY {
                return Err(HttpError::BodyTooLarge);
            }
            if length > received.body.capacity() {
                let wanted = length.max(2 * received.body.capacity()).min(MAX_BODY);
                received.room.merge(self.room_for(wanted - received.body.capacity())?);
                received.body.reserve(wanted - received.body.len());
            }
            received.body.extend_from_slice(piece);
        }
        Ok(Bytes::from_owner(received))
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HttpError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(units);
        room.map_err(|_| HttpError::Refused(Reason::Bodies))
    }
}

/// Reads the rest of a refused body, and forgets it: a client that is still sending would meet a
/// closed connection instead of its answer.
pub async fn discard(body: &mut Incoming) {
    let mut left = DISCARDED;
    let discarding = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Who is slower than that has had its chance.
    let _ = tokio::time::timeout(DISCARD_TIME, discarding).await;
}
