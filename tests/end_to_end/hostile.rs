//! Clients that break the rules, flood, vanish or never read: each gets its own end, and nobody
//! else notices.

mod crowd;
mod floods;
mod frames;
mod vanished;

use serde_json::json;

use crate::harness::client::{Client, id_of};
use crate::harness::deployment::Deployment;

/// A gateway with one client that behaves, and is not to be disturbed.
struct Neighbourhood {
    deployment: Deployment,
    neighbour: Client,
}

impl Neighbourhood {
    async fn start(arguments: &[&str]) -> Self {
        let deployment = Deployment::with_arguments(arguments).await;
        deployment.publish_history("steady", 0..1, 0).await;
        let mut neighbour = deployment.client().await;
        neighbour.subscribed("steady", None).await;
        Self { deployment, neighbour }
    }

    /// The client that behaves still gets what happens.
    async fn assert_undisturbed(&mut self) {
        let id = self.deployment.publisher.publish("steady", "progress", &json!({})).await;
        assert_eq!(id_of(&self.neighbour.expect("event").await["event"]), id);
    }

    /// The same, and the process has never panicked.
    async fn assert_unharmed(mut self) {
        self.assert_undisturbed().await;
        let gateway = &mut self.deployment.gateway;
        assert!(gateway.is_running());
        assert_eq!(gateway.times_logged("panicked"), 0);
    }
}
