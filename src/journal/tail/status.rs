//! How the tail is doing, for readiness and for metrics.

/// How the tail is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailStatus {
    /// No answer from NATS yet.
    Connecting(String),
    /// The stream does not exist.
    NoStream(String),
    /// The stream cannot be used as it is.
    Unsuitable(String),
    /// NATS does not permit our user what it needs.
    Denied(String),
    /// Reading up to the end that was seen at the start.
    CatchingUp,
    /// Following the end.
    Following,
    /// Was following, and lost NATS or its consumer; the window still serves.
    Interrupted(String),
}

impl TailStatus {
    /// Whether messages of the stream come in.
    pub fn is_reading(&self) -> bool {
        matches!(self, Self::CatchingUp | Self::Following)
    }

    /// Whether watchers may be sent here.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Following | Self::Interrupted(_))
    }
}

impl std::fmt::Display for TailStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connecting(reason) => write!(formatter, "waiting for NATS: {reason}"),
            Self::NoStream(name) => {
                write!(formatter, "there is no stream {name}; `jobwire stream apply` makes one")
            }
            Self::Unsuitable(reason) => write!(formatter, "the stream is unsuitable: {reason}"),
            Self::Denied(reason) => formatter.write_str(reason),
            Self::CatchingUp => formatter.write_str("reading the newest part of the stream"),
            Self::Following => formatter.write_str("following the stream"),
            Self::Interrupted(reason) => {
                write!(formatter, "interrupted, serving from memory: {reason}")
            }
        }
    }
}
