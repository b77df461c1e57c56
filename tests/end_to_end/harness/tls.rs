//! Certificates as an operator mounts them, and clients that trust them.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// A certificate and its key, in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
    /// The certificate as a client sees it.
    pub der: CertificateDer<'static>,
}

/// An authority, and a directory with a certificate in the way Kubernetes mounts a secret: the
/// files are links into a directory that is itself a link, and only that one is ever moved.
pub struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
    mounted: usize,
}

impl Certificates {
    /// An authority, with nothing mounted yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let directory = tempfile::tempdir().expect("a directory");
        symlink("..data/tls.crt", directory.path().join("tls.crt")).expect("a link");
        symlink("..data/tls.key", directory.path().join("tls.key")).expect("a link");
        Self { authority, directory, mounted: 0 }
    }

    /// The same with a certificate mounted.
    pub fn mounted() -> (Self, Issued) {
        let mut certificates = Self::new();
        let issued = certificates.issue();
        certificates.mount(&issued.certificate, &issued.key);
        (certificates, issued)
    }

    /// The authority's own certificate, in PEM.
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// A new certificate for this machine, with a key of its own.
    pub fn issue(&self) -> Issued {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// Puts other contents in the place of those that are mounted, both at once.
    pub fn mount(&mut self, certificate: &str, key: &str) {
        self.mounted += 1;
        let root = self.directory.path();
        let name = format!("..version-{}", self.mounted);
        std::fs::create_dir(root.join(&name)).expect("a directory");
        std::fs::write(root.join(&name).join("tls.crt"), certificate).expect("a file");
        std::fs::write(root.join(&name).join("tls.key"), key).expect("a file");
        symlink(name, root.join("..next")).expect("a link");
        std::fs::rename(root.join("..next"), root.join("..data")).expect("a moved link");
    }

    /// What a gateway is told.
    pub fn arguments(&self) -> [String; 2] {
        let root = self.directory.path().display();
        [format!("--tls-certificate={root}/tls.crt"), format!("--tls-key={root}/tls.key")]
    }

    /// A connection that trusts the authority.
    pub async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let stream = within("the connection", TcpStream::connect(address)).await;
        self.secure(stream.expect("a connection")).await.expect("a TLS handshake")
    }

    /// The same over a connection of one's own, where a handshake may fail.
    pub async fn secure(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.secure_with(stream, rustls::DEFAULT_VERSIONS, &["http/1.1"]).await
    }

    /// The same with versions of TLS and offered protocols of one's own.
    pub async fn secure_with(
        &self,
        stream: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        within("the handshake", handshake).await
    }

    /// The certificate that a new connection sees.
    pub async fn seen(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connect(address).await;
        let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
        chain[0].clone()
    }
}
