//! Watching over `/ws/optimization`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::watch::{End, Watch};
use crate::harness::client::{Client, Ended, events_in, subscribe_request};

/// How long a connection may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

/// After so much silence a ping is sent, and after as much again the connection is given up.
const SILENCE: Duration = Duration::from_millis(1_500);

/// One connection from its opening to its end; `None` if there was none.
pub async fn visit(watch: &mut Watch, address: SocketAddr) -> Option<End> {
    let connecting = timeout(CONNECTED_WITHIN, Client::try_connect(address));
    let mut client = connecting.await.ok()?.ok()?;
    watch.subscribes();
    let mut request = subscribe_request(&watch.job, Some(watch.last));
    request["position"] = true.into();
    if let Some(epoch) = &watch.epoch {
        request["epoch"] = epoch.as_str().into();
    }
    if client.try_send(&request).await.is_err() {
        return watch.closed(End::BROKEN);
    }
    let end = read_to_the_end(watch, &mut client).await;
    watch.closed(end)
}

async fn read_to_the_end(watch: &mut Watch, client: &mut Client) -> End {
    let mut pinged = false;
    loop {
        match timeout(SILENCE, client.read()).await {
            Ok(Ok(message)) => {
                pinged = false;
                if !take(watch, &message) {
                    return End::BROKEN;
                }
            }
            Ok(Err(ended)) => return end_of(&ended),
            Err(_) if pinged => return End::BROKEN,
            Err(_) => {
                pinged = true;
                if client.try_send(&json!({ "type": "ping" })).await.is_err() {
                    return End::BROKEN;
                }
            }
        }
    }
}

/// Takes a message; false if there is no subscription.
fn take(watch: &mut Watch, message: &Value) -> bool {
    match message["type"].as_str() {
        Some("subscribed") => watch.epoch = message["epoch"].as_str().map(str::to_owned),
        Some("event" | "replay") => {
            let job = message["jobId"].as_str().expect("a job in every message of events");
            for event in events_in(message) {
                watch.takes_event(job, &event);
            }
        }
        Some("position") => watch.takes_position(message["id"].as_u64().expect("a position")),
        Some("error") => return watch.takes_error(message),
        Some("pong") => {}
        _ => panic!("not part of the protocol: {message}"),
    }
    true
}

fn end_of(ended: &Ended) -> End {
    let Ended::Closed(Some(frame)) = ended else { return End::BROKEN };
    let milliseconds = frame.reason.parse().ok().map(Duration::from_millis);
    let code = u16::from(frame.code);
    End { code, come_back_after: milliseconds.filter(|_| code == 1012) }
}
