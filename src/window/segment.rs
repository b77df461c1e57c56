//! A segment of the ring: a run of events whose payloads lie in one piece of memory.

use super::frames::FrameTable;
use crate::event::{EventView, TRACEPARENT};

/// Where one event lies in its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) stored_at: i64,
    pub(super) job: u32,
    pub(super) offset: u32,
    pub(super) payload: u32,
    pub(super) event_type: u8,
    /// A `traceparent` follows the payload.
    pub(super) is_traced: bool,
}

#[derive(Default)]
pub(super) struct Segment {
    /// Running number of the first slot.
    pub(super) base: u64,
    pub(super) slots: Vec<Slot>,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: FrameTable,
}

impl Segment {
    pub(super) fn view(&self, slot: &Slot) -> EventView<'_> {
        let start = slot.offset as usize;
        let middle = start + usize::from(slot.event_type);
        let end = middle + slot.payload as usize;
        EventView {
            id: slot.id,
            event_type: self
                .bytes
                .get(start..middle)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            stored_at: slot.stored_at,
            payload: self.bytes.get(middle..end).unwrap_or_default(),
            traceparent: slot
                .is_traced
                .then(|| self.bytes.get(end..end + TRACEPARENT))
                .flatten()
                .and_then(|bytes| std::str::from_utf8(bytes).ok()),
        }
    }

    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }
}
