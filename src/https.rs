//! Speaking HTTP and HTTPS to others, with the certificate authorities of this system.

use std::io;
use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// Why HTTPS cannot be spoken at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// There is nothing to check certificates with.
    #[error("this system has no certificate authorities: {0}")]
    Authorities(io::Error),
    /// The TLS library refuses its own protocol versions.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Makes ready to connect; without `tls` to plain addresses alone.
///
/// # Errors
/// [`ConnectorError`] if TLS is needed and there can be none.
pub fn connector(tls: bool) -> Result<HttpsConnector<HttpConnector>, ConnectorError> {
    // Named here, so that no other crate's choice of features can make the library panic.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectorError::Tls)?;
    let builder = if tls {
        builder.with_native_roots().map_err(ConnectorError::Authorities)?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(builder.with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .build())
}
