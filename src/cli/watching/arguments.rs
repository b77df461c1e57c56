//! What is to be told of a gateway to reach it.

use std::path::PathBuf;

use clap::Args;

use super::address::{Address, DEFAULT_ADDRESS};
use super::gateway::Gateway;
use super::tokens::Tokens;
use crate::cli::outcome::Failure;

/// Where the gateway is, and who we are to it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Gateway")]
pub(in crate::cli) struct GatewayArguments {
    /// Address of the gateway, such as https://jobs.example.com [default: http://127.0.0.1:8080]
    #[arg(id = "gateway_url", long = "url", env = "JOBWIRE_URL", value_name = "URL")]
    pub(in crate::cli) url: Option<String>,
    /// Token, where the gateway asks for one. Prefer the variable or a file: others can read
    /// command lines
    #[arg(
        id = "gateway_token",
        long = "token",
        env = "JOBWIRE_TOKEN",
        value_name = "TEXT",
        hide_env_values = true,
        conflicts_with = "gateway_token_file"
    )]
    token: Option<String>,
    /// File that holds the token; it is read anew before the token expires
    #[arg(
        id = "gateway_token_file",
        long = "token-file",
        env = "JOBWIRE_TOKEN_FILE",
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,
    /// Certificate authority that the gateway's certificate is checked against (PEM), instead of
    /// the system's
    #[arg(long, env = "JOBWIRE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl GatewayArguments {
    /// The gateway, not asked for anything yet.
    ///
    /// # Errors
    /// Wrong usage: no address, no token in what should hold one, no certificates.
    pub(in crate::cli) fn gateway(&self) -> Result<Gateway, Failure> {
        let url = self.url.as_deref().filter(|url| !url.is_empty()).unwrap_or(DEFAULT_ADDRESS);
        let address: Address =
            url.parse().map_err(|error| Failure::usage(format!("--url: {error}")))?;
        let tokens = self.tokens();
        tokens.current().map_err(|error| Failure::usage(error.to_string()))?;
        Gateway::new(address, tokens, self.ca.as_deref())
            .map_err(|error| Failure::usage(error.to_string()))
    }

    fn tokens(&self) -> Tokens {
        match (&self.token, &self.token_file) {
            (_, Some(path)) => Tokens::File(path.clone()),
            // A variable that is set to nothing is what a template leaves that has no token.
            (Some(text), None) if !text.is_empty() => Tokens::Text(text.clone()),
            _ => Tokens::None,
        }
    }
}
