//! Owns the flag by which work is told to stop. Does not know why: signals, deadlines and people
//! raise it elsewhere.
//!
//! Whoever waits is called when it is raised, so nobody has to look at it in turns with something
//! else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// A flag that goes up once and never comes down; clones share it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// What keeps a child flag tied to its parent; taken off when the last clone of the child goes.
    _parent: Option<Subscription>,
}

#[derive(Default)]
struct State {
    raised: bool,
    next: u64,
    waiting: BTreeMap<u64, Callback>,
}

type Callback = Box<dyn FnOnce() + Send>;

impl Cancel {
    /// Makes a flag that is down.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Makes a flag that goes up with this one, but can also be raised alone.
    ///
    /// For one task among many: the second Ctrl-C stops all of them, a `cancel` only one.
    pub fn child(&self) -> Cancel {
        // The parent must not keep the child alive: a node makes one for each task it ever runs.
        let inner = Arc::new_cyclic(|weak: &std::sync::Weak<Inner>| {
            let weak = weak.clone();
            Inner { state: Mutex::default(), _parent: Some(self.tie(move || weak.upgrade().map(Cancel))) }
        });
        let child = Cancel(inner);
        // A parent that was up already called back before the child was there to be found.
        if self.is_raised() {
            child.raise();
        }
        child
    }

    /// Raises the flag and calls all who wait for it, on this thread. A second time does nothing.
    pub fn raise(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.raised = true;
            std::mem::take(&mut state.waiting)
        };
        // Outside the lock: a callback may well ask or subscribe again.
        for callback in waiting.into_values() {
            callback();
        }
    }

    /// Tells whether the flag is up.
    pub fn is_raised(&self) -> bool {
        self.0.lock().raised
    }

    /// Has `callback` called once when the flag goes up, at once if it is up; dropping the
    /// subscription calls it off.
    ///
    /// The callback runs on the raising thread and should do no more than send on a channel.
    pub fn subscribe(&self, callback: impl FnOnce() + Send + 'static) -> Subscription {
        let key = {
            let mut state = self.0.lock();
            if state.raised {
                None
            } else {
                let key = state.next;
                state.next += 1;
                state.waiting.insert(key, Box::new(callback) as Callback);
                return Subscription { flag: self.clone(), key: Some(key) };
            }
        };
        callback();
        Subscription { flag: self.clone(), key }
    }

    /// Sleeps until the flag goes up, for `time` at most; tells whether it is up.
    pub fn wait_for(&self, time: Duration) -> bool {
        let (told, tells) = mpsc::sync_channel(1);
        let _subscription = self.subscribe(move || {
            let _ = told.try_send(());
        });
        // The sender can go only by being called, so any answer but the timeout means "raised".
        !matches!(tells.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout)) || self.is_raised()
    }

    fn tie(&self, child: impl FnOnce() -> Option<Cancel> + Send + 'static) -> Subscription {
        self.subscribe(move || {
            if let Some(child) = child() {
                child.raise();
            }
        })
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_raised()).finish()
    }
}

impl Inner {
    /// A panic elsewhere cannot leave a flag half raised, so a poisoned lock is as good as any.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a callback registered with a [`Cancel`] until it is dropped.
#[must_use = "dropping it calls the callback off"]
pub struct Subscription {
    flag: Cancel,
    key: Option<u64>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.flag.0.lock().waiting.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn wakes_whoever_waits() {
        let cancel = Cancel::new();
        let waiter = thread::spawn({
            let cancel = cancel.clone();
            move || cancel.wait_for(Duration::from_secs(60))
        });
        assert!(!cancel.is_raised());
        cancel.raise();
        assert!(waiter.join().unwrap());
        assert!(!Cancel::new().wait_for(Duration::ZERO));
    }

    #[test]
    fn calls_late_subscribers_at_once_and_dropped_ones_never() {
        let (told, tells) = mpsc::channel();
        let cancel = Cancel::new();
        drop(cancel.subscribe({
            let told = told.clone();
            move || told.send("dropped").unwrap()
        }));
        cancel.raise();
        cancel.raise();
        let _late = cancel.subscribe(move || told.send("late").unwrap());
        assert_eq!(tells.iter().collect::<Vec<_>>(), ["late"]);
    }

    #[test]
    fn a_child_follows_its_parent_but_not_the_other_way_round() {
        let parent = Cancel::new();
        let (one, two) = (parent.child(), parent.child());
        one.raise();
        assert!(!parent.is_raised() && !two.is_raised());
        parent.raise();
        assert!(two.is_raised() && parent.child().is_raised());
    }

    #[test]
    fn a_parent_forgets_children_that_are_gone() {
        let parent = Cancel::new();
        for _ in 0..10 {
            drop(parent.child());
        }
        assert!(parent.0.lock().waiting.is_empty());
    }
}
