//! Three nats-servers that keep one stream three times, with a network of ours between each two.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::jetstream;
use serde_json::Value;

use super::link::Link;
use crate::harness::nats::NatsServer;
use crate::harness::plain_http::get;
use crate::harness::publisher::{STREAM, job_stream};
use crate::harness::{eventually_within, free_address};

/// How long a cluster may take to agree on something.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

const NODES: usize = 3;

/// Three servers.
pub struct Cluster {
    /// The servers.
    pub nodes: Vec<NatsServer>,
    monitors: Vec<SocketAddr>,
    /// `links[from][to]`: over what a node reaches another one.
    links: Vec<Vec<Link>>,
}

impl Cluster {
    /// Starts three servers, and creates the stream with three replicas.
    pub async fn start() -> Self {
        let addresses: Vec<SocketAddr> = distinct_addresses(3 * NODES);
        let (clients, rest) = addresses.split_at(NODES);
        let (routes, monitors) = rest.split_at(NODES);
        let links = links_between(routes).await;
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let mut server = NatsServer::idle_at(clients[node]);
            server.configure(&configuration(node, routes[node], monitors[node], &links[node]));
            server.launch();
            nodes.push(server);
        }
        for node in &nodes {
            node.ready().await;
        }
        let cluster = Self { nodes, monitors: monitors.to_vec(), links };
        cluster.create_stream().await;
        cluster
    }

    /// All servers, with commas.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// The node that leads the stream.
    pub async fn leader(&self) -> usize {
        self.leader_other_than("").await
    }

    /// Lets the stream's leader step down, and waits until another one leads.
    pub async fn step_down(&self) {
        let before = self.leader().await;
        let client = crate::chaos::connect(&self.url()).await;
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}");
        let answer = client.request(subject, "".into()).await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        assert_eq!(answer["success"], true, "{answer}");
        self.leader_other_than(&name(before)).await;
    }

    /// The node to which the gateway's tail is connected.
    pub async fn node_of_the_tail(&self) -> usize {
        eventually_within(AGREED_WITHIN, "the tail is connected to a node", async || {
            for (node, monitor) in self.monitors.iter().enumerate() {
                if get(*monitor, "/connz").await.body.contains("\"jobwire tail\"") {
                    return Some(node);
                }
            }
            None
        })
        .await
    }

    /// Cuts a node off from the two others, in both directions, or joins it again.
    pub fn set_apart(&self, node: usize, apart: bool) {
        for (from, links) in self.links.iter().enumerate() {
            for (to, link) in links.iter().enumerate() {
                if from != to && (from == node || to == node) {
                    link.change(|weather| weather.holds = apart);
                }
            }
        }
    }

    /// Waits until every node has all of the stream.
    pub async fn whole(&self) {
        eventually_within(AGREED_WITHIN, "every replica is current", async || {
            let cluster = self.info().await?["cluster"].take();
            let replicas = cluster["replicas"].as_array()?;
            let current = replicas.iter().filter(|replica| replica["current"] == true).count();
            (cluster["leader"].is_string() && current == NODES - 1).then_some(())
        })
        .await;
    }

    async fn create_stream(&self) {
        let context = jetstream::new(crate::chaos::connect(&self.url()).await);
        let definition = jetstream::stream::Config { num_replicas: NODES, ..job_stream() };
        eventually_within(AGREED_WITHIN, "the cluster creates the stream", async || {
            context.create_stream(definition.clone()).await.ok()
        })
        .await;
        self.whole().await;
    }

    async fn leader_other_than(&self, old: &str) -> usize {
        eventually_within(AGREED_WITHIN, "the stream has another leader", async || {
            let leader = self.info().await?["cluster"]["leader"].as_str()?.to_owned();
            (leader != old).then(|| (0..NODES).find(|node| name(*node) == leader)).flatten()
        })
        .await
    }

    /// What the leader says of the stream.
    async fn info(&self) -> Option<Value> {
        let client = crate::chaos::try_connect(&self.url()).await?;
        let answer = client.request(format!("$JS.API.STREAM.INFO.{STREAM}"), "".into()).await;
        let info: Value = serde_json::from_slice(&answer.ok()?.payload).ok()?;
        info["error"].is_null().then_some(info)
    }
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

fn distinct_addresses(count: usize) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    while addresses.len() < count {
        let address = free_address();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

async fn links_between(routes: &[SocketAddr]) -> Vec<Vec<Link>> {
    let mut links = Vec::new();
    for _ in routes {
        let mut of_node = Vec::new();
        for to in routes {
            of_node.push(Link::to(&[*to]).await);
        }
        links.push(of_node);
    }
    links
}

/// A node knows the others by the links to them alone: at the address that it tells of itself
/// nobody listens.
fn configuration(node: usize, route: SocketAddr, monitor: SocketAddr, links: &[Link]) -> String {
    let others = links.iter().enumerate().filter(|(to, _)| *to != node);
    let routes: Vec<String> =
        others.map(|(_, link)| format!("\"nats-route://{}\"", link.address)).collect();
    format!(
        "server_name: {name}\nhttp: \"{monitor}\"\njetstream {{}}\ncluster {{\n  name: jobs\n  \
         listen: \"{route}\"\n  advertise: \"127.0.0.1:1\"\n  no_advertise: true\n  routes: \
         [{routes}]\n}}\n",
        name = name(node),
        routes = routes.join(", "),
    )
}
