//! HTTP: listeners, routes, the upgrade to WebSocket, the page, the admin port.
//!
//! Connections are accepted in one place and handed to the workers' threads, where they are
//! served and, once upgraded, stay. Which path means what is decided in [`routes`] alone. What
//! happens on an upgraded connection is `session`'s business.

mod access;
mod admin;
mod answer;
mod body;
mod events;
mod job;
mod jobs;
mod metrics;
mod origin;
mod page;
mod peer;
mod places;
mod polling;
mod publish;
mod query;
mod routes;
mod server;
mod upgrade;

pub use admin::{Admin, READINESS, Readiness};
pub use answer::HttpError;
pub use events::cursor;
pub use jobs::Place as PlaceInList;
pub use metrics::HttpMetrics;
pub use origin::Origins;
pub use peer::OpenConnections;
pub use places::Places;
pub use publish::{Intake, PublishMetrics, Publishing, batch};
pub use server::{BindError, KernelQueue, Public, PublicSource, Serving, bind, serve_admin};
