//! The locks and counters that the window's threads share: the standard library's, or those of a
//! model checker, which tries the orders in which threads can take them.

#[cfg(feature = "shuttle")]
pub use shuttle::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicUsize};
#[cfg(not(feature = "shuttle"))]
pub use std::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicUsize};
