//! What most tests start with: a server, a stream, and a gateway in front of it.

use std::io::Write;
use std::ops::Range;

use async_nats::jetstream::stream;
use serde_json::Value;

use super::client::Client;
use super::event_reader::EventReader;
use super::eventually;
use super::gateway::{Gateway, GatewayCommand};
use super::nats::NatsServer;
use super::publisher::{Publisher, ids, job_stream};
use super::raw_client::RawClient;

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
        Self::of(NatsServer::start().await).await
    }

    /// A server without any stream, where gateways may read any.
    pub async fn for_foreign_streams() -> Self {
        Self::of(NatsServer::start_with_foreign_streams().await).await
    }

    /// A server of one's own, as it is.
    pub async fn of(nats: NatsServer) -> Self {
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

    /// The whole, with a configuration file of this text.
    pub async fn deploy_configured(self, configuration: &str) -> Deployment {
        self.deploy_configured_with(configuration, &[]).await
    }

    /// The same, with arguments too.
    pub async fn deploy_configured_with(
        self,
        configuration: &str,
        arguments: &[&str],
    ) -> Deployment {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(configuration.as_bytes()).expect("a written file");
        let path = file.path().to_str().expect("a path in UTF-8").to_owned();
        // The gateway reads it once, before it listens.
        self.deploy(&[&["--config", &path], arguments].concat()).await
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

    /// Everything, with a configuration file of this text.
    pub async fn configured(configuration: &str) -> Self {
        Backend::start().await.deploy_configured(configuration).await
    }

    /// A connected client of any path.
    pub async fn raw_client(&self, path: &str) -> RawClient {
        RawClient::connect(self.gateway.address, path).await
    }

    /// A reader of a job's events, from the first or as `query` says; `job` is `kind/id`.
    pub async fn events(&self, job: &str, query: &str) -> EventReader {
        let path = format!("/api/v1/jobs/{job}/events{query}");
        EventReader::open(self.gateway.address, &path, &[]).await
    }

    /// A sample of the gateway's metrics.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.gateway.admin_get("/metrics").await.body;
        let mut samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let value = samples.find_map(|rest| rest.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    /// Publishes events of one job, `kind/id`, and waits until the gateway lists the last one.
    pub async fn tell(&self, job: &str, events: &[(&str, Value)]) -> Vec<u64> {
        let mut ids = Vec::new();
        for (event_type, payload) in events {
            ids.push(self.publisher.publish_of(job, event_type, payload).await);
        }
        self.lists(job, *ids.last().expect("an event")).await;
        ids
    }

    /// Waits until the gateway lists this event, or a newer one, as the last of a job, `kind/id`.
    pub async fn lists(&self, job: &str, id: u64) {
        let (kind, name) = job.split_once('/').expect("kind/id");
        eventually(&format!("the gateway lists event {id} of {job}"), async || {
            let listed = self.gateway.public_get("/api/v1/jobs").await.json();
            let jobs = listed["jobs"].as_array().expect("a list of jobs");
            let job = jobs.iter().find(|job| job["kind"] == kind && job["jobId"] == name)?;
            (job["lastEventId"].as_u64()? >= id).then_some(())
        })
        .await;
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
