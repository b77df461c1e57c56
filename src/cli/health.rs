//! `jobwire health`: asks a gateway on this machine whether it is ready, as a container's health
//! check does that has no other program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::outcome::Failure;
use crate::config::Settings;
use crate::http::READINESS;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  ready
  1  not ready, or no gateway answers
  2  wrong usage or configuration; the sentence on standard error names the setting";

/// A gateway that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// What `jobwire health` takes.
#[derive(Args, Debug)]
pub(super) struct HealthArguments {
    /// Configuration file of the gateway, for its admin address
    #[arg(long, env = "JOBWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The gateway's admin address [default: 127.0.0.1:8081]
    #[arg(long, env = "JOBWIRE_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

pub(super) fn run(arguments: HealthArguments) -> anyhow::Result<()> {
    let settings = Settings { admin_listen: arguments.admin_listen, ..Settings::default() };
    let address = reachable(settings.resolve(arguments.config.as_deref())?.admin_listen);
    let (status, text) = super::block_on(async {
        let answer = tokio::time::timeout(PATIENCE, readiness(address)).await;
        answer
            .with_context(|| format!("{address} does not answer within {PATIENCE:?}"))?
            .with_context(|| format!("no gateway answers at {address}"))
    })?;
    if status == StatusCode::OK {
        println!("ready");
        return Ok(());
    }
    Err(Failure::failed(format!("not ready: {}", text.trim())).into())
}

/// What a gateway says of its readiness at its admin address.
pub(super) async fn readiness(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let uri: Uri = format!("http://{address}{READINESS}").parse()?;
    let answer = client.get(uri).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Who listens on all addresses is asked on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
