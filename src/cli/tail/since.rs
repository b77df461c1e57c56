//! Only the events of the last time, by what they say themselves.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::event::StoredBody;

/// A moment, and what comes after it.
#[derive(Debug)]
pub(super) struct Since(OffsetDateTime);

impl Since {
    /// So long before now.
    pub(super) fn ago(time: Duration) -> Self {
        let now = OffsetDateTime::now_utc();
        let span = time::Duration::try_from(time).unwrap_or(time::Duration::MAX);
        Self(now.checked_sub(span).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Whether an event is not older. One whose time cannot be read is shown: better too much.
    pub(super) fn includes(&self, body: &StoredBody<'_>) -> bool {
        timestamp(body).is_none_or(|at| at >= self.0)
    }
}

/// When an event happened, if it says so in a way that can be read.
pub(super) fn timestamp(body: &StoredBody<'_>) -> Option<OffsetDateTime> {
    let text: String = serde_json::from_str(body.timestamp?.get()).ok()?;
    // A time without a zone is UTC.
    let zoned = OffsetDateTime::parse(&text, &Rfc3339);
    zoned.or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_by_its_own_time_and_one_without_counts_always() {
        let since = Since(OffsetDateTime::parse("2026-03-01T10:00:00Z", &Rfc3339).expect("a time"));
        let includes = |timestamp: &str| {
            let event = format!("{{\"timestamp\":{timestamp}}}");
            since.includes(&StoredBody::parse(event.as_bytes()).expect("an event"))
        };
        assert!(!includes("\"2026-03-01T09:59:59.9Z\""));
        assert!(!includes("\"2026-03-01T09:59:59\""));
        assert!(!includes("\"2026-03-01T11:59:59+02:00\""));
        assert!(includes("\"2026-03-01T10:00:00Z\"") && includes("\"soon\"") && includes("null"));
    }

    #[test]
    fn a_time_before_all_time_is_no_limit() {
        assert_eq!(Since::ago(Duration::MAX).0, OffsetDateTime::UNIX_EPOCH);
    }
}
