//! The mark that every measured event carries: whose it is, which one, and when it was due.
//!
//! It is text of a fixed length behind a key that occurs nowhere else, so that it is found in the
//! bytes of any wire format without taking the message apart.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Before the digits.
const KEY: &[u8] = b"@bench@";
const SENT: usize = 18;
const JOB: usize = 6;
const NUMBER: usize = 9;
/// Bytes of a stamp.
pub(super) const LENGTH: usize = KEY.len() + SENT + JOB + NUMBER;
/// Events of one job that a stamp can count.
pub(super) const MOST_EVENTS: u64 = 1_000_000_000;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));

/// What an event says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was due to be published, in nanoseconds of [`super::clock::now`].
    pub(super) due: u64,
    /// Which job, from 0.
    pub(super) job: u32,
    /// Which event of the job, without holes.
    pub(super) number: u32,
}

impl Stamp {
    /// An event's stored body with this stamp in it, padded to `size` bytes. It is longer if it
    /// does not fit: see [`least_size`].
    pub(super) fn payload(self, size: usize) -> Vec<u8> {
        let Self { due, job, number } = self;
        let head = format!(
            r#"{{"eventType":"progress","iteration":{number},"data":{{"stamp":"@bench@{due:018}{job:06}{number:09}","note":""#
        );
        let tail = r#""},"timestamp":"2026-01-02T03:04:05.678Z"}"#;
        let padding = size.saturating_sub(head.len() + tail.len());
        format!("{head}{:x<padding$}{tail}", "").into_bytes()
    }
}

/// Bytes that the body of an event has at least.
pub(super) fn least_size() -> usize {
    Stamp { due: 0, job: 0, number: u32::MAX }.payload(0).len()
}

/// Calls `found` for every whole stamp in the bytes; the place after the last of them.
pub(super) fn scan(bytes: &[u8], mut found: impl FnMut(Stamp)) -> usize {
    let mut end = 0;
    while let Some(rest) = bytes.get(end..)
        && let Some(place) = FINDER.find(rest)
        && let Some(stamp) = rest.get(place..place + LENGTH)
    {
        end += place + LENGTH;
        if let Some(stamp) = parse(stamp) {
            found(stamp);
        }
    }
    end
}

fn parse(stamp: &[u8]) -> Option<Stamp> {
    let digits = stamp.get(KEY.len()..)?;
    let (due, rest) = digits.split_at_checked(SENT)?;
    let (job, number) = rest.split_at_checked(JOB)?;
    Some(Stamp {
        due: decimal(due)?,
        job: u32::try_from(decimal(job)?).ok()?,
        number: u32::try_from(decimal(number)?).ok()?,
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoredBody;

    const STAMP: Stamp = Stamp { due: 123_456_789_012, job: 7, number: 42 };

    fn found(bytes: &[u8]) -> (Vec<Stamp>, usize) {
        let mut stamps = Vec::new();
        let end = scan(bytes, |stamp| stamps.push(stamp));
        (stamps, end)
    }

    #[test]
    fn a_payload_is_an_event_of_the_wanted_size_and_gives_its_stamp_back() {
        for size in [least_size(), 260, 5_000] {
            let payload = STAMP.payload(size);
            assert_eq!(payload.len(), size);
            StoredBody::parse(&payload).expect("within the contract");
            assert_eq!(found(&payload).0, [STAMP]);
        }
    }

    #[test]
    fn every_stamp_is_found_and_half_a_one_is_left() {
        let one = STAMP.payload(200);
        let other = Stamp { number: 43, ..STAMP }.payload(200);
        let both = [one, other].concat();
        let (stamps, end) = found(&both);
        assert_eq!(stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>(), [42, 43]);
        for cut in end - LENGTH..end {
            assert_eq!(found(&both[..cut]).0.len(), 1, "cut at {cut}");
        }
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_passed_over() {
        let mut bytes = b"@bench@ no digits at all, but long enough for one".to_vec();
        assert_eq!(found(&bytes).0, []);
        bytes.extend(STAMP.payload(200));
        assert_eq!(found(&bytes).0, [STAMP]);
    }
}
