//! Takes the bytes of one connection apart: frames, and in them the stamps of events.
//!
//! Nothing is kept here but how far into a large frame it is; what was not used up is given again
//! with the bytes that follow.

use super::frames::{Header, MaskedByServer};
use super::stamp::{self, Stamp};

/// Frames up to this size are looked at when they are whole; larger ones pass through.
pub(super) const WHOLE: usize = 32 * 1024;

/// Who is told what the bytes hold.
pub(super) trait Sink {
    /// An event.
    fn event(&mut self, stamp: Stamp);

    /// A whole frame of at most [`WHOLE`] bytes ended, after its events were told. `tail` is
    /// what follows its last stamp, and the whole payload if it has none.
    fn frame(&mut self, opcode: u8, tail: &[u8], has_events: bool);
}

/// Where a connection is in its bytes.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Bytes of the large frame that are still to come.
    passing: u64,
}

impl Scanner {
    /// At the beginning of WebSocket frames.
    pub(super) fn frames() -> Self {
        Self { passing: 0 }
    }

    /// In bytes without frames, such as an event stream.
    pub(super) fn plain() -> Self {
        Self { passing: u64::MAX }
    }

    /// Goes on with these bytes; how many of them are used up. The others, fewer than [`WHOLE`]
    /// and a header, come again, before new ones.
    ///
    /// # Errors
    /// [`MaskedByServer`]: these bytes are no frames of a server.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, MaskedByServer> {
        let mut rest = bytes;
        loop {
            let used =
                if self.passing > 0 { self.pass(rest, sink) } else { self.frame(rest, sink)? };
            rest = rest.get(used..).unwrap_or_default();
            if used == 0 || rest.is_empty() {
                return Ok(bytes.len() - rest.len());
            }
        }
    }

    /// One frame, if it is whole; the header alone if the frame is large.
    fn frame(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, MaskedByServer> {
        let Some(header) = Header::read(bytes)? else { return Ok(0) };
        match usize::try_from(header.payload) {
            Ok(length) if length <= WHOLE => {
                let end = header.size + length;
                let Some(payload) = bytes.get(header.size..end) else { return Ok(0) };
                let after = stamp::scan(payload, |stamp| sink.event(stamp));
                sink.frame(header.opcode, payload.get(after..).unwrap_or_default(), after > 0);
                Ok(end)
            }
            _ => {
                self.passing = header.payload;
                Ok(header.size)
            }
        }
    }

    /// A part of a large frame; what may be the beginning of a stamp is left.
    fn pass(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let part = usize::try_from(self.passing).map_or(bytes.len(), |left| left.min(bytes.len()));
        let part = bytes.get(..part).unwrap_or_default();
        let after = stamp::scan(part, |stamp| sink.event(stamp));
        let is_end = part.len() as u64 == self.passing;
        let kept = if is_end { 0 } else { (part.len() - after).min(stamp::LENGTH - 1) };
        let used = part.len() - kept;
        if self.passing != u64::MAX {
            self.passing -= used as u64;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frames::{self, PING, TEXT};

    #[derive(Default, Debug, PartialEq, Clone)]
    struct Seen {
        numbers: Vec<u32>,
        frames: Vec<(u8, bool)>,
    }

    impl Sink for Seen {
        fn event(&mut self, stamp: Stamp) {
            self.numbers.push(stamp.number);
        }

        fn frame(&mut self, opcode: u8, _: &[u8], has_events: bool) {
            self.frames.push((opcode, has_events));
        }
    }

    fn events(numbers: std::ops::Range<u32>, size: usize) -> Vec<u8> {
        numbers.flat_map(|number| Stamp { due: 1, job: 0, number }.payload(size)).collect()
    }

    /// Gives the bytes in pieces that end at these places, as a connection reads them.
    fn in_pieces(scanner: &mut Scanner, bytes: &[u8], ends: &[usize]) -> Seen {
        let (mut seen, mut kept, mut start) = (Seen::default(), Vec::new(), 0);
        for end in ends.iter().copied().chain([bytes.len()]) {
            kept.extend_from_slice(&bytes[start..end]);
            let used = scanner.scan(&kept, &mut seen).expect("frames of a server");
            kept.drain(..used);
            assert!(kept.len() < WHOLE + 14, "{} bytes are kept", kept.len());
            start = end;
        }
        assert!(scanner.passing > 0 || kept.is_empty(), "{} bytes are left over", kept.len());
        seen
    }

    #[test]
    fn small_frames_are_read_alike_wherever_they_are_split() {
        let bytes = [
            frames::of_server(TEXT, &events(0..1, 200)),
            frames::of_server(PING, b""),
            frames::of_server(TEXT, &events(1..4, 150)),
            frames::of_server(TEXT, b"other"),
        ]
        .concat();
        let whole = in_pieces(&mut Scanner::frames(), &bytes, &[]);
        assert_eq!(whole.numbers, [0, 1, 2, 3]);
        assert_eq!(whole.frames, [(TEXT, true), (PING, false), (TEXT, true), (TEXT, false)]);
        for first in 0..=bytes.len() {
            assert_eq!(in_pieces(&mut Scanner::frames(), &bytes, &[first]), whole, "{first}");
        }
        let every: Vec<_> = (1..bytes.len()).collect();
        assert_eq!(in_pieces(&mut Scanner::frames(), &bytes, &every), whole, "byte by byte");
    }

    #[test]
    fn frames_around_the_largest_that_is_kept_whole_lose_no_event() {
        for size in [WHOLE - 1, WHOLE, WHOLE + 1, 65_535, 65_536, 262_144] {
            let mut payload = events(0..100, 260);
            payload.resize(size, b'x');
            let bytes =
                [frames::of_server(TEXT, &payload), frames::of_server(TEXT, b"after")].concat();
            for piece in [1_000, 4_096, 10_007] {
                let ends: Vec<_> = (piece..bytes.len()).step_by(piece).collect();
                let seen = in_pieces(&mut Scanner::frames(), &bytes, &ends);
                assert_eq!(seen.numbers, (0..100).collect::<Vec<_>>(), "{size} by {piece}");
                assert_eq!(seen.frames.last(), Some(&(TEXT, false)), "{size} by {piece}");
            }
        }
    }

    #[test]
    fn a_large_frame_is_read_alike_wherever_it_is_split() {
        let mut payload = vec![b'x'; WHOLE];
        payload.extend(events(0..2, 150));
        let bytes = frames::of_server(TEXT, &payload);
        for first in WHOLE..bytes.len() {
            let seen = in_pieces(&mut Scanner::frames(), &bytes, &[first]);
            assert_eq!(seen.numbers, [0, 1], "{first}");
        }
    }

    #[test]
    fn bytes_without_frames_are_read_alike_wherever_they_are_split() {
        let bytes = events(0..3, 150);
        for first in 0..bytes.len() {
            let seen = in_pieces(&mut Scanner::plain(), &bytes, &[first]);
            assert_eq!(seen.numbers, [0, 1, 2], "{first}");
        }
    }

    #[test]
    fn masked_frames_are_refused() {
        let bytes = frames::of_client(TEXT, b"x");
        let refused = Scanner::frames().scan(&bytes, &mut Seen::default());
        assert_eq!(refused, Err(MaskedByServer));
    }
}
