//! Encoded events, kept beside the stored ones so that each is encoded once.

use std::sync::atomic::Ordering;

use foldhash::HashMap;

use super::exclusion::{AtomicUsize, Mutex};
use crate::encoded::EncodedEvent;

/// How many encodings of one event can be kept.
pub const FRAME_VARIANTS: usize = 32;

/// Which encoding of an event: one number per dialect and form. What a number means is the
/// reader's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameVariant(u8);

impl FrameVariant {
    /// A variant by number; `None` from [`FRAME_VARIANTS`] on.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < FRAME_VARIANTS { Some(Self(number)) } else { None }
    }

    /// The number again.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// The encodings of one segment's events. `None` is kept too: the event cannot be encoded.
#[derive(Default)]
pub struct FrameTable {
    frames: Mutex<HashMap<(u32, FrameVariant), Option<EncodedEvent>>>,
}

/// How many bytes the encodings of all tables take, and may take.
#[derive(Clone, Copy)]
pub struct FrameBudget<'a> {
    /// What they take.
    pub bytes: &'a AtomicUsize,
    /// What they may take.
    pub most: usize,
}

/// Rough cost of a table entry beside its bytes.
const ENTRY_COST: usize = 96;

impl FrameTable {
    /// The kept encoding, or the one that `encode` makes now. It is kept where the budget has
    /// room for it.
    pub fn get_or_encode(
        &self,
        index: u32,
        variant: FrameVariant,
        budget: FrameBudget<'_>,
        encode: impl FnOnce() -> Option<EncodedEvent>,
    ) -> Option<EncodedEvent> {
        let mut frames = self.frames.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(kept) = frames.get(&(index, variant)) {
            return kept.clone();
        }
        let encoded = encode();
        let cost = cost(encoded.as_ref());
        if budget.bytes.load(Ordering::Relaxed) + cost <= budget.most {
            budget.bytes.fetch_add(cost, Ordering::Relaxed);
            frames.insert((index, variant), encoded.clone());
        }
        encoded
    }

    /// Forgets every encoding and tells how many bytes that gave back.
    pub fn clear(&mut self) -> usize {
        let frames = self.frames.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let freed = frames.values().map(|encoded| cost(encoded.as_ref())).sum();
        *frames = HashMap::default();
        freed
    }
}

fn cost(encoded: Option<&EncodedEvent>) -> usize {
    ENTRY_COST + encoded.map_or(0, EncodedEvent::cost)
}
