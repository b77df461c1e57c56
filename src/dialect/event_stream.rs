//! Server-Sent Events: a job's events over plain HTTP, each with its id, so that a browser that
//! reconnects says by itself where to go on. WHATWG HTML, section 9.2.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::optimization::{self, Code, Naming};
use crate::event::{EventView, JobKey, MalformedEvent};

/// A comment that keeps the connection in use; no client sees it.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

/// Types that a browser's `EventSource` has a use of its own for.
const RESERVED: [&str; 3] = ["open", "error", "message"];

/// A stored event. Its data is the event object of the `optimization` dialect, its name the event
/// type, with `job-` in front of one that browsers use otherwise.
///
/// # Errors
/// [`MalformedEvent`] if the stored message is no event.
pub fn encode(job: &JobKey, event: EventView<'_>) -> Result<Bytes, MalformedEvent> {
    let encoded = optimization::encode_event(job, event, Naming { with_kind: false })?;
    let prefix = if RESERVED.contains(&event.event_type) { "job-" } else { "" };
    let mut block = format!("id: {}\nevent: {prefix}{}\n", event.id, event.event_type).into_bytes();
    block.reserve(encoded.body().len() + 16);
    push_data(&mut block, encoded.body());
    Ok(block.into())
}

/// An error of the gateway, which browsers tell as an `error` event with data. It has no id: the
/// client's position stays. `fields` are written besides `error` and `code`.
pub fn error(code: Code, sentence: &str, fields: &[(&str, Value)]) -> Bytes {
    let mut object = Map::new();
    object.insert("error".into(), sentence.into());
    object.insert("code".into(), code.as_str().into());
    object.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let mut block = b"event: error\n".to_vec();
    push_data(&mut block, Value::Object(object).to_string().as_bytes());
    block.into()
}

/// How long a client shall wait before it reconnects, in milliseconds.
pub fn retry(milliseconds: u64) -> Bytes {
    format!("retry: {milliseconds}\n\n").into()
}

/// The data and the end of a block. In JSON a line can only end between values, so that it does
/// not matter which of the three line endings the client puts back.
fn push_data(block: &mut Vec<u8>, json: &[u8]) {
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        block.extend_from_slice(b"data: ");
        block.extend_from_slice(line);
        block.push(b'\n');
    }
    block.push(b'\n');
}

#[cfg(test)]
mod tests;
