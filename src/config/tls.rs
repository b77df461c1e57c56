//! TLS on the public listener: the settings, and what they become.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{ConfigError, invalid};
use crate::tls::{Pair, PemFiles};

/// The certificate that clients see. `None` means: not given here.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "TLS")]
pub struct TlsSettings {
    /// Certificate that clients see, with its chain (PEM); read again when it changes
    #[arg(long = "tls-certificate", env = "JOBWIRE_TLS_CERTIFICATE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Key of the certificate (PEM, without a passphrase)
    #[arg(long = "tls-key", env = "JOBWIRE_TLS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// TLS on the public listener, checked.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where certificate and key are.
    pub files: PemFiles,
    /// What was in the files when the settings were read.
    pub pair: Pair,
}

impl TlsSettings {
    /// Reads the files, so that a mistake is told before any socket is bound; `None`: no TLS.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where one of the two is missing, or a file cannot be used.
    pub fn resolve(self) -> Result<Option<TlsConfig>, ConfigError> {
        let files = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => PemFiles { certificate, key },
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(invalid(
                    "tls.key",
                    "tls.certificate needs it: name the file of its key",
                ));
            }
            (None, Some(_)) => {
                let problem = "tls.key needs it: name the file of the certificate with its chain";
                return Err(invalid("tls.certificate", problem));
            }
        };
        let pair = files.load().map_err(|error| invalid(error.setting, error.to_string()))?;
        Ok(Some(TlsConfig { files, pair }))
    }
}
