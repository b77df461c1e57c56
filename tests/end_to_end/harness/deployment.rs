//! What most tests start with: a server, a stream, and a gateway in front of it.

use std::ops::Range;

use async_nats::jetstream::stream;

use super::client::Client;
use super::eventually;
use super::gateway::{Gateway, GatewayCommand};
use super::nats::NatsServer;
use super::publisher::{Publisher, ids, job_stream};

/// A nats-server with the stream in it, and no gateway yet.
pub struct Backend {
    /// Writes to the stream.
    pub publisher: Publisher,
    /// The server.
    pub nats: NatsServer,
}

impl Backend {
    /// A server with the stream as it should be.
    pub async fn start() -> Self {
        Self::with_stream(job_stream()).await
    }

    /// A server with a stream of one's own definition.
    pub async fn with_stream(definition: stream::Config) -> Self {
        let backend = Self::without_a_stream().await;
        backend.publisher.create_stream(definition).await;
        backend
    }

    /// A server without any stream.
    pub async fn without_a_stream() -> Self {
        let nats = NatsServer::start().await;
        Self { publisher: Publisher::connect(&nats).await, nats }
    }

    /// How a gateway in front of it is started.
    pub fn gateway_command(&self, arguments: &[&str]) -> GatewayCommand {
        GatewayCommand::in_front_of(&self.nats.url(), arguments)
    }

    /// A ready gateway in front of it.
    pub async fn gateway(&self, arguments: &[&str]) -> Gateway {
        self.gateway_command(arguments).start().await
    }

    /// The whole: this server and a ready gateway.
    pub async fn deploy(self, arguments: &[&str]) -> Deployment {
        let gateway = self.gateway(arguments).await;
        Deployment { gateway, publisher: self.publisher, nats: self.nats }
    }
}

/// A ready gateway in front of a stream.
pub struct Deployment {
    /// The gateway.
    pub gateway: Gateway,
    /// Writes to the stream.
    pub publisher: Publisher,
    /// The server.
    pub nats: NatsServer,
}

impl Deployment {
    /// Everything with its defaults, and nothing in the stream.
    pub async fn start() -> Self {
        Self::with_arguments(&[]).await
    }

    /// The same, with arguments for the gateway.
    pub async fn with_arguments(arguments: &[&str]) -> Self {
        Backend::start().await.deploy(arguments).await
    }

    /// A connected client.
    pub async fn client(&self) -> Client {
        Client::connect(self.gateway.address).await
    }

    /// Publishes numbered events of a job and waits until the gateway knows them.
    pub async fn publish_history(&self, job: &str, numbers: Range<u64>, size: usize) -> Vec<u64> {
        let published = ids(&self.publisher.publish_padded(job, numbers, size).await);
        self.knows(job, *published.last().expect("an event")).await;
        published
    }

    /// Publishes events of other jobs and waits until the gateway has had them all.
    pub async fn publish_other_jobs(&self, bytes: usize) {
        self.publisher.publish_other_jobs(bytes).await;
        self.publish_history("after-the-others", 0..1, 0).await;
    }

    /// Waits until the gateway tells this event, or a newer one, as the job's last.
    pub async fn knows(&self, job: &str, id: u64) {
        let mut client = self.client().await;
        eventually(&format!("the gateway knows event {id} of {job}"), async || {
            client.subscribe(job, None).await;
            let told = client.next_answer().await["lastEventId"].as_u64()?;
            (told >= id).then_some(())
        })
        .await;
    }
}
