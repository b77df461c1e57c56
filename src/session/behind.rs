//! Who has fallen behind: subscriptions that had caught up with the stream and read on by
//! themselves now.
//!
//! Only these are looked at, and only once a second: how slow the slowest reader is costs nothing
//! where everybody follows.

use std::cell::RefCell;
use std::rc::Rc;

use super::watch::Watch;

/// No place in the list.
pub const NOWHERE: usize = usize::MAX;

/// See the module's text.
#[derive(Default)]
pub struct Behind {
    list: RefCell<Vec<Rc<Watch>>>,
}

impl Behind {
    /// Takes note of a subscription, once.
    pub(super) fn add(&self, watch: &Rc<Watch>) {
        if watch.behind_place.get() == NOWHERE {
            let mut list = self.list.borrow_mut();
            watch.behind_place.set(list.len());
            list.push(Rc::clone(watch));
        }
    }

    /// Forgets a subscription that is over.
    pub(super) fn remove(&self, watch: &Watch) {
        let place = watch.behind_place.replace(NOWHERE);
        let mut list = self.list.borrow_mut();
        if place < list.len() {
            list.swap_remove(place);
            if let Some(moved) = list.get(place) {
                moved.behind_place.set(place);
            }
        }
    }

    /// Stream events between the slowest of them and the tail; those that follow again are
    /// forgotten.
    pub(super) fn most(&self) -> u64 {
        let mut most = 0;
        self.list.borrow_mut().retain(|watch| {
            let machine = watch.machine.borrow();
            let stays = !machine.is_following();
            if stays {
                let head = watch.feed.source.window.read().head();
                most = most.max(head.saturating_sub(machine.position()));
            }
            watch.behind_place.set(NOWHERE);
            stays
        });
        for (place, watch) in self.list.borrow().iter().enumerate() {
            watch.behind_place.set(place);
        }
        most
    }
}
