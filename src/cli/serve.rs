//! `jobwire serve`: runs the gateway.

use crate::config::Config;

/// Serves until the process is told to stop.
pub fn run(config: Config) -> anyhow::Result<()> {
    println!("listening on {:?}", config.listen);
    Ok(())
}
