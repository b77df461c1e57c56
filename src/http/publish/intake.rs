//! The body of a request on its way into memory, bounded for one request and for all together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
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

/// A body in memory, and the room that it takes.
pub struct Received {
    /// The body.
    pub body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Default for Intake {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ALL_BODIES / UNIT)) }
    }
}

impl Intake {
    /// Takes a body as a whole.
    ///
    /// # Errors
    /// [`HttpError::BodyTooLarge`], [`HttpError::BodyTooSlow`], [`Reason::Bodies`], and
    /// [`HttpError::BodyBroken`] for a client that is gone.
    pub async fn receive(&self, body: &mut Incoming) -> Result<Received, HttpError> {
        // Without a length it may become as large as any.
        let told = body.size_hint().upper().unwrap_or(MAX_BODY as u64);
        let length = usize::try_from(told).unwrap_or(usize::MAX);
        if length > MAX_BODY {
            return Err(HttpError::BodyTooLarge);
        }
        let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(units);
        let room = room.map_err(|_| HttpError::Refused(Reason::Bodies))?;
        let collecting = Limited::new(body, MAX_BODY).collect();
        let collected = tokio::time::timeout(BODY_TIME, collecting)
            .await
            .map_err(|_| HttpError::BodyTooSlow)?
            .map_err(|error| {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                if too_large { HttpError::BodyTooLarge } else { HttpError::BodyBroken }
            })?;
        Ok(Received { body: collected.to_bytes(), _room: room })
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
