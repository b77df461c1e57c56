//! What the tail's thread may do between any two looks of a worker at the window.
//!
//! A worker is one thread, and the window is all that it shares with the tail: whatever two threads
//! can do to each other is an order of their takings of its lock. A simulation on one thread goes
//! through these orders by letting the tail run before each look.

use std::cell::RefCell;

thread_local! {
    static OTHER_THREAD: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Sets what runs before each look on this thread; `None`: nothing.
pub fn set(run: Option<Box<dyn FnMut()>>) {
    OTHER_THREAD.set(run);
}

/// Runs it, unless it is running.
pub fn run() {
    let Some(mut other) = OTHER_THREAD.take() else { return };
    other();
    OTHER_THREAD.set(Some(other));
}
