//! Watching over Server-Sent Events, as a browser's `EventSource` comes back: with the last id.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::watch::{End, Watch};
use crate::harness::event_reader::{Block, EventReader};
use crate::harness::plain_http::request;

/// How long an answer may take to begin: an unknown cursor is waited for, and so is a silent NATS.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A stream that is silent for so long is given up.
const SILENCE: Duration = Duration::from_secs(12);

/// One connection from its opening to its end; `None` if there was none.
pub async fn visit(watch: &mut Watch, address: SocketAddr) -> Option<End> {
    let stream = timeout(ANSWERED_WITHIN, TcpStream::connect(address)).await.ok()?.ok()?;
    let mut path = format!("/api/v1/jobs/optimization/{}/events", watch.job);
    if let Some(epoch) = &watch.epoch {
        path = format!("{path}?epoch={epoch}");
    }
    let request = request(address, &path, &[("Last-Event-ID", &watch.last.to_string())]);
    watch.subscribes();
    let end = timeout(ANSWERED_WITHIN, EventReader::try_ask(stream, &request)).await;
    let Ok(Ok(reader)) = end else { return watch.closed(End::BROKEN) };
    if reader.head.starts_with("http/1.1 200 ") {
        read_to_the_end(watch, reader).await;
    } else {
        let refusal = timeout(ANSWERED_WITHIN, reader.into_body()).await.ok()?.ok()?;
        let error: Value = serde_json::from_str(&refusal)
            .unwrap_or_else(|error| panic!("a refusal is JSON, not {refusal:?}: {error}"));
        watch.takes_error(&error);
    }
    watch.closed(End::BROKEN)
}

async fn read_to_the_end(watch: &mut Watch, mut reader: EventReader) {
    while let Ok(Ok(Some(block))) = timeout(SILENCE, reader.read_block()).await {
        if !take(watch, &block) {
            return;
        }
    }
}

/// Takes a block; false if there is no subscription.
fn take(watch: &mut Watch, block: &Block) -> bool {
    if block.is_comment || block.data.is_null() {
        return true;
    }
    if block.name == "error" {
        return watch.takes_error(&block.data);
    }
    assert_eq!(block.id, block.data["id"].as_u64(), "one id in a block: {block:?}");
    let job = watch.job.clone();
    watch.takes_event(&job, &block.data);
    true
}
