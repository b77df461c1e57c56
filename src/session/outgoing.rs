//! The bytes that wait for one socket: whole frames, of which the first may be half written.
//! Pure.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// How many frames one write gathers.
pub const GATHER: usize = 64;
/// With so many bytes or frames waiting a queue is full. A frame costs memory beside its bytes:
/// half a megabyte of empty pongs cost 17 MB (measured).
const FULL: (usize, usize) = (512 * 1024, 1_024);
/// A drained queue keeps room for no more frames than this: idle connections are many.
const KEPT_ROOM: usize = 4;

/// See the module's text.
#[derive(Default)]
pub struct Outgoing {
    frames: VecDeque<Bytes>,
    pending: usize,
}

impl Outgoing {
    /// Appends whole frames.
    pub fn push(&mut self, frames: Bytes) {
        self.pending += frames.len();
        self.frames.push_back(frames);
    }

    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Whether so much waits that nothing should be done for the client that makes more.
    pub fn is_full(&self) -> bool {
        self.pending > FULL.0 || self.frames.len() > FULL.1
    }

    /// Takes the first frame, or what is left of it.
    pub fn pop(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        self.pending -= first.len();
        Some(first)
    }

    /// The only frame, if there is one and no other.
    pub fn only(&self) -> Option<&[u8]> {
        if self.frames.len() == 1 { self.frames.front().map(|frame| &**frame) } else { None }
    }

    /// The next bytes to write, without copying them.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; GATHER]) -> usize {
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        count
    }

    /// Forgets bytes that were written.
    pub fn advance(&mut self, mut written: usize) {
        self.pending -= written.min(self.pending);
        while written > 0
            && let Some(first) = self.frames.front_mut()
        {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.frames.pop_front();
        }
        if self.frames.is_empty() && self.frames.capacity() > KEPT_ROOM {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_whatever_each_write_takes() {
        for step in 1..40 {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for number in 0..100u8 {
                let frame = vec![number; usize::from(number % 7)];
                expected.extend_from_slice(&frame);
                outgoing.push(frame.into());
            }
            let mut written = Vec::new();
            while outgoing.pending() > 0 {
                let mut slices = [IoSlice::new(&[]); GATHER];
                let count = outgoing.gather(&mut slices);
                let bytes: Vec<u8> =
                    slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = step.min(bytes.len());
                written.extend_from_slice(&bytes[..taken]);
                outgoing.advance(taken);
            }
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_queue_is_full_with_many_bytes_or_many_frames() {
        for (frame, count) in [(vec![0; 600_000], 1), (vec![0; 2], 1_025)] {
            let mut outgoing = Outgoing::default();
            for _ in 0..count {
                assert!(!outgoing.is_full());
                outgoing.push(frame.clone().into());
            }
            assert!(outgoing.is_full());
        }
    }

    #[test]
    fn a_drained_queue_gives_its_room_back() {
        let mut outgoing = Outgoing::default();
        for _ in 0..1_000 {
            outgoing.push(Bytes::from_static(b"x"));
        }
        outgoing.advance(1_000);
        assert!(outgoing.frames.capacity() <= KEPT_ROOM);
    }
}
