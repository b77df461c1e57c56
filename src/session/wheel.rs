//! Timers of many connections, as one wheel instead of one timer each. Pure.

use std::time::{Duration, Instant};

/// Length of a tick: how exact a timer is.
pub const TICK: Duration = Duration::from_millis(50);
/// Ticks of one turn, 51 s; what is due later is looked at once a turn.
const SLOTS: usize = 1024;

/// A wheel of keys. A key may stand in it more than once; its owner knows what is due.
pub struct Wheel<K> {
    slots: Vec<Vec<K>>,
    started: Instant,
    tick: u64,
}

impl<K> Wheel<K> {
    /// An empty wheel.
    pub fn new(now: Instant) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), started: now, tick: 0 }
    }

    /// The tick at which something that is due at `at` will be handed out, within one turn.
    pub fn tick_for(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.started).as_millis() / TICK.as_millis();
        let last = self.tick + SLOTS as u64 - 1;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1).clamp(self.tick + 1, last)
    }

    /// Puts a key in at a tick from [`Wheel::tick_for`].
    pub fn insert(&mut self, tick: u64, key: K) {
        if let Some(slot) = self.slots.get_mut(slot_of(tick)) {
            slot.push(key);
        }
    }

    /// Moves on to `now`, and hands out what has become due, with the tick it stood at.
    pub fn advance(&mut self, now: Instant, mut due: impl FnMut(u64, K)) {
        let ticks = now.saturating_duration_since(self.started).as_millis() / TICK.as_millis();
        let target = u64::try_from(ticks).unwrap_or(u64::MAX);
        // After a long pause every slot is due once, not once for each tick of the pause.
        let first = self.tick.max(target.saturating_sub(SLOTS as u64));
        for tick in first + 1..=target {
            self.tick = tick;
            let keys = self.slots.get_mut(slot_of(tick)).map(std::mem::take).unwrap_or_default();
            for key in keys {
                due(tick, key);
            }
        }
        self.tick = self.tick.max(target);
    }
}

fn slot_of(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_out_within_a_tick_after_it_is_due() {
        let start = Instant::now();
        for due_in in [0, 1, 49, 50, 51, 1_000, 30_000, 51_000] {
            let mut wheel = Wheel::new(start);
            let due_at = start + Duration::from_millis(due_in);
            let tick = wheel.tick_for(due_at);
            wheel.insert(tick, ());
            let mut out_at = None;
            for millisecond in 0..60_000 {
                let now = start + Duration::from_millis(millisecond);
                wheel.advance(now, |_, ()| out_at = Some(millisecond));
                if out_at.is_some() {
                    break;
                }
            }
            let out_at = out_at.unwrap();
            assert!((due_in..=due_in + 50).contains(&out_at), "{due_in} came at {out_at}");
        }
    }

    #[test]
    fn what_is_due_beyond_a_turn_is_looked_at_within_it() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let tick = wheel.tick_for(start + Duration::from_secs(3_600));
        wheel.insert(tick, ());
        let mut out = 0;
        wheel.advance(start + TICK * SLOTS as u32, |_, ()| out += 1);
        assert_eq!(out, 1);
    }

    #[test]
    fn a_long_pause_hands_everything_out_once() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for key in 0..5_000u64 {
            let tick = wheel.tick_for(start + Duration::from_millis(key * 10));
            wheel.insert(tick, key);
        }
        let mut out = Vec::new();
        wheel.advance(start + Duration::from_secs(86_400), |_, key| out.push(key));
        out.sort_unstable();
        assert_eq!(out, (0..5_000).collect::<Vec<_>>());
    }
}
