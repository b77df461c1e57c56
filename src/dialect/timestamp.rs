//! Times as the wire formats write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// ISO 8601 in UTC, from nanoseconds since 1970.
pub fn iso8601(nanoseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // 64 bits of nanoseconds end in the year 2262, which RFC 3339 can write.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_time_is_written_in_utc() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso8601(1_790_230_470_084_404_000), "2026-09-24T06:14:30.084404Z");
    }
}
