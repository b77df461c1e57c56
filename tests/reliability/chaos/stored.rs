//! What the stream holds in the end, asked of NATS itself.

use async_nats::jetstream::{self, consumer};
use futures_util::StreamExt;
use serde_json::Value;

use super::payload;
use super::recorder::Recorder;
use crate::harness::publisher::STREAM;
use crate::harness::{eventually, within_time};
use crate::history::What;

/// How long the stream may take to be read.
const READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

/// The stream's first and last sequence.
pub async fn bounds(client: &async_nats::Client) -> (u64, u64) {
    let context = jetstream::new(client.clone());
    let stream = eventually("the stream answers", async || context.get_stream(STREAM).await.ok());
    let state = stream.await.cached_info().state.clone();
    (state.first_sequence, state.last_sequence)
}

/// Writes down every stored event, and the stream's bounds.
pub async fn dump(client: &async_nats::Client, recorder: &Recorder) {
    let (first, last) = bounds(client).await;
    recorder.note(What::StreamBounds { first, last });
    let reader = consumer::pull::OrderedConfig::default();
    let stream = jetstream::new(client.clone()).get_stream(STREAM).await.expect("the stream");
    let reader = stream.create_consumer(reader).await.expect("a reader of the stream");
    let mut messages = reader.messages().await.expect("the stream's messages");
    let mut read = first.saturating_sub(1);
    while read < last {
        let next = within_time(READ_WITHIN, "a stored event is read", messages.next()).await;
        let message = next.expect("an event before the last").expect("a stored event");
        read = message.info().expect("a place in the stream").stream_sequence;
        let event: Value = serde_json::from_slice(&message.payload).expect("JSON as stored");
        let job = payload::job_of(&message.subject).expect("an event's subject").to_owned();
        recorder.note(What::Stored { job, id: read, hash: payload::hash_of(&event) });
    }
}
