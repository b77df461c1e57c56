//! Streams that let go of what is old, are made anew, or set back; and consumers that vanish.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use futures_util::TryStreamExt;
use tempfile::TempDir;

use crate::chaos::{Chaos, Least, Length, connect};
use crate::harness::deployment::Backend;
use crate::harness::publisher::{STREAM, job_stream};
use crate::stage::gateway;
use crate::stage::link::{Link, random_pause};

/// Watchers are kept away until some of what they want is gone, from the stream and from the
/// gateway's window, and others begin with cursors around the stream's first event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_is_told() {
    let keeps = i64::from(Length::from_environment().rate) * 3;
    let definition = stream::Config { max_messages: keeps, ..job_stream() };
    let backend = Backend::with_stream(definition).await;
    let gateway = gateway(&backend.nats.url()).await;
    let link = Link::to(&[gateway.address]).await;
    let chaos = Chaos::begin("retention", &backend.nats.url(), link.address).await;
    let mut chaos = chaos.without_latecomers();
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.begins("watchers are kept away");
        link.change(|weather| weather.holds = true);
        link.cut();
        backend.publisher.publish_other_jobs(8 << 20).await;
        random_pause(Duration::ZERO, Duration::from_secs(4)).await;
        link.cut();
        link.change(|weather| weather.holds = false);
        let first = chaos.bounds().await.0;
        for cursor in first.saturating_sub(2)..first + 2 {
            chaos.watch_some(usize::try_from(cursor).unwrap_or(0), cursor.max(1));
        }
        chaos.ends("watchers are kept away");
    }
    chaos.finish(Least { faults: 2, closed: 20, truncations: 5, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_is_told_and_read_from_its_beginning() {
    replace_streams("stream-recreated", |_| None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_with_higher_ids_is_told_and_read_from_its_beginning() {
    replace_streams("stream-recreated-above", |last| Some(last + 1_000)).await;
}

async fn replace_streams(name: &'static str, first: fn(u64) -> Option<u64>) {
    let backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let mut chaos = Chaos::begin(name, &backend.nats.url(), gateway.address).await;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.calm().await;
        let silence = chaos.silence().await;
        let definition =
            stream::Config { first_sequence: first(chaos.bounds().await.1), ..job_stream() };
        chaos.begins("deleted and created");
        backend.publisher.delete_stream().await;
        chaos.stream_is_replaced();
        backend.publisher.create_stream(definition).await;
        chaos.ends("deleted and created");
        drop(silence);
    }
    chaos.finish(Least { faults: 2, resets: 20, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_set_back_is_told_and_read_from_its_beginning() {
    let mut backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let mut chaos = Chaos::begin("stream-restored", &backend.nats.url(), gateway.address).await;
    let mut copy: Option<TempDir> = None;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.calm().await;
        let silence = chaos.silence().await;
        chaos.begins("set back");
        backend.nats.stop();
        match &copy {
            None => copy = Some(backend.nats.copy_of_storage()),
            Some(copy) => {
                backend.nats.restore_storage(copy);
                chaos.stream_is_replaced();
            }
        }
        backend.nats.restart().await;
        chaos.ends("set back");
        drop(silence);
    }
    chaos.finish(Least { faults: 2, resets: 15, ..Least::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_somebody_deletes_lose_nothing() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend.nats.url()).await;
    let mut chaos = Chaos::begin("consumer-deleted", &backend.nats.url(), gateway.address).await;
    let context = jetstream::new(connect(&backend.nats.url()).await);
    let stream = context.get_stream(STREAM).await.unwrap();
    let mut deleted = 0;
    while chaos.goes_on() {
        chaos.calm().await;
        chaos.begins("consumers deleted");
        let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        for name in names {
            // One that was only there for a page may be gone by now.
            deleted += usize::from(stream.delete_consumer(&name).await.is_ok());
        }
        chaos.ends("consumers deleted");
    }
    assert!(deleted >= 4, "only {deleted} consumers were deleted");
    chaos.finish(Least { faults: 4, ..Least::default() }).await;
}
