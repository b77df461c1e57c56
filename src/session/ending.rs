//! How a connection ends, and the one place where that becomes a close code (PROTOCOLS
//! section 6).

use std::time::Duration;

use super::refusals::Reason;

/// A WebSocket close code of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(pub u16);

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The client closed it.
    ClientClosed,
    /// The job that the connection was about has ended.
    JobEnded,
    /// Nothing happened for too long.
    Idle,
    /// There is no such job.
    UnknownJob,
    /// What the client has seen is no longer part of what there is.
    CursorLost,
    /// NATS did not answer.
    Unavailable,
    /// It broke, or the client went away without a word.
    Lost,
    /// The client broke RFC 6455.
    Violation,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A binary message, where only text is spoken.
    Binary,
    /// Bytes were pending, and the socket took none for too long.
    Stuck,
    /// A ping stayed unanswered.
    NoPong,
    /// The token that allowed the connection has expired.
    TokenExpired,
    /// The client is refused something, and the connection with it.
    Refused(Reason),
    /// The connection's task panicked.
    Failed,
    /// The process stops; the client may come back after this time.
    Restart(Duration),
}

/// What is sent when a connection is closed by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// The close code.
    pub code: CloseCode,
    /// At most 123 bytes.
    pub reason: String,
}

impl Ending {
    /// Every ending there is, refusals as far as they end a connection, and a restart with some time to
    /// wait.
    pub const ALL: [Self; 22] = [
        Self::ClientClosed,
        Self::JobEnded,
        Self::Idle,
        Self::UnknownJob,
        Self::CursorLost,
        Self::Unavailable,
        Self::Lost,
        Self::Violation,
        Self::NotUtf8,
        Self::Binary,
        Self::Stuck,
        Self::NoPong,
        Self::TokenExpired,
        Self::Refused(Reason::Connections),
        Self::Refused(Reason::Address),
        Self::Refused(Reason::AddressRate),
        Self::Refused(Reason::Subject),
        Self::Refused(Reason::Job),
        Self::Refused(Reason::MessageRate),
        Self::Refused(Reason::MessageSize),
        Self::Failed,
        Self::Restart(Duration::from_millis(2_500)),
    ];

    /// The close frame to send; `None` where nothing can or need be sent.
    pub fn farewell(&self) -> Option<Farewell> {
        let (code, reason) = match self {
            Self::ClientClosed | Self::Lost | Self::Stuck => return None,
            Self::JobEnded => (1000, "the job has ended".to_owned()),
            Self::Idle => (1001, "nothing happened for too long".to_owned()),
            Self::UnknownJob => (1008, "job not found".to_owned()),
            Self::CursorLost => (1011, "the cursor is lost".to_owned()),
            Self::Unavailable => (1013, "the event store does not answer".to_owned()),
            Self::Violation => (1002, "protocol error".to_owned()),
            Self::NotUtf8 => (1007, "text that is not UTF-8".to_owned()),
            Self::Binary => (1003, "only text messages are understood".to_owned()),
            Self::TokenExpired => (4001, "the token has expired".to_owned()),
            Self::NoPong => (4002, "no pong".to_owned()),
            Self::Refused(reason) => (refusal_code(*reason), reason.sentence().to_owned()),
            Self::Failed => (1011, "the gateway failed".to_owned()),
            Self::Restart(wait) => (1012, wait.as_millis().to_string()),
        };
        Some(Farewell { code: CloseCode(code), reason })
    }

    /// The reason as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client",
            Self::JobEnded => "job_ended",
            Self::Idle => "idle",
            Self::UnknownJob => "unknown_job",
            Self::CursorLost => "cursor_lost",
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
            Self::Violation | Self::NotUtf8 | Self::Binary => "protocol",
            Self::Stuck => "stuck",
            Self::NoPong => "no_pong",
            Self::TokenExpired => "token_expired",
            Self::Refused(_) => "refused",
            Self::Failed => "failed",
            Self::Restart(_) => "restart",
        }
    }
}

fn refusal_code(reason: Reason) -> u16 {
    match reason {
        Reason::MessageSize => 1009,
        _ => 1013,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_into_a_close_frame() {
        let longest = Ending::Restart(Duration::MAX);
        for ending in Ending::ALL.into_iter().chain([longest]) {
            let reason = ending.farewell().map(|farewell| farewell.reason);
            assert!(reason.is_none_or(|reason| reason.len() <= 123), "{ending:?}");
        }
    }

    #[test]
    fn a_restart_tells_the_milliseconds_to_wait() {
        let farewell = Ending::Restart(Duration::from_millis(2_500)).farewell().unwrap();
        assert_eq!((farewell.code, &*farewell.reason), (CloseCode(1012), "2500"));
    }
}
