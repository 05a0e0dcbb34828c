//! Slots that several clones of one daemon share, fair between them.
//!
//! Owns who may take how many. Free slots are dealt out one by one, each to whoever wants one and holds fewest, of equals to
//! whoever was served longest ago; what falls to others is kept for them, and they are told to look. It knows clones by
//! number, and nothing of tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a wish counts that nobody has come back for: one whose hub is away must not keep slots from the others.
const STANDS: Duration = Duration::from_secs(10);

type Wake = Box<dyn Fn() + Send>;

/// The slots, shared by the clones of a daemon.
#[derive(Clone)]
pub struct Pool(Arc<Mutex<Shares>>);

/// One clone's door to them.
#[derive(Clone)]
pub struct Share {
    pool: Pool,
    number: usize,
}

struct Shares {
    slots: usize,
    served: u64,
    members: Vec<Member>,
}

#[derive(Default)]
struct Member {
    held: usize,
    wanted: usize,
    wanted_at: Option<Instant>,
    served: u64,
    wake: Option<Wake>,
}

impl Pool {
    /// Makes a pool of so many slots.
    pub fn new(slots: usize) -> Self {
        Self(Arc::new(Mutex::new(Shares { slots, served: 0, members: Vec::new() })))
    }

    /// Lets one more clone in.
    pub fn join(&self) -> Share {
        let number = self.with(|shares| {
            shares.members.push(Member::default());
            shares.members.len() - 1
        });
        Share { pool: self.clone(), number }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Shares) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Share {
    /// Has `wake` called when slots became free that this clone waits for.
    pub fn on_free(&self, wake: impl Fn() + Send + 'static) {
        self.pool.with(|shares| shares.members[self.number].wake = Some(Box::new(wake)));
    }

    /// Says that this clone could start so many more tasks, and returns how many it may; they are its own from now on, until
    /// it says what it holds.
    pub fn ask(&self, wanted: usize) -> usize {
        self.ask_at(wanted, Instant::now())
    }

    fn ask_at(&self, wanted: usize, now: Instant) -> usize {
        self.pool.with(|shares| {
            let member = &mut shares.members[self.number];
            (member.wanted, member.wanted_at) = (wanted, Some(now));
            let granted = shares.dealt(now)[self.number];
            shares.served += 1;
            let served = shares.served;
            let member = &mut shares.members[self.number];
            member.held += granted;
            member.wanted -= granted;
            if granted > 0 {
                member.served = served;
            }
            granted
        })
    }

    /// Says how many tasks this clone has under way; the rest of what it was given is free for others.
    pub fn hold(&self, held: usize) {
        self.pool.with(|shares| {
            let before = std::mem::replace(&mut shares.members[self.number].held, held);
            if held < before {
                let others = shares.members.iter().enumerate().filter(|(number, _)| *number != self.number);
                others.filter(|(_, other)| other.wanted > 0).for_each(|(_, other)| {
                    if let Some(wake) = &other.wake {
                        wake();
                    }
                });
            }
        });
    }

    /// Takes the wish back: this clone has gone deaf, or is gone.
    pub fn want_nothing(&self) {
        self.pool.with(|shares| shares.members[self.number].wanted = 0);
    }
}

impl Shares {
    /// Deals the free slots out; returns what falls to each.
    fn dealt(&self, now: Instant) -> Vec<usize> {
        let mut dealt = vec![0; self.members.len()];
        let free = self.slots.saturating_sub(self.members.iter().map(|member| member.held).sum());
        for _ in 0..free {
            let wants = |number: &usize| {
                let member = &self.members[*number];
                let stands = member.wanted_at.is_some_and(|at| now.saturating_duration_since(at) < STANDS);
                stands && member.wanted > dealt[*number]
            };
            let next = (0..self.members.len()).filter(wants).min_by_key(|number| {
                let member = &self.members[*number];
                (member.held + dealt[*number], member.served)
            });
            let Some(next) = next else { break };
            dealt[next] += 1;
        }
        dealt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_slot_goes_round() {
        let pool = Pool::new(1);
        let (a, b) = (pool.join(), pool.join());
        assert_eq!((a.ask(5), b.ask(5)), (1, 0));
        a.hold(1);
        a.hold(0);
        assert_eq!(a.ask(4), 0, "it is the other's turn");
        assert_eq!(b.ask(5), 1);
        b.hold(0);
        assert_eq!((b.ask(4), a.ask(4)), (0, 1));
    }

    #[test]
    fn whoever_is_alone_may_have_all_and_gives_way_as_slots_come_free() {
        let pool = Pool::new(4);
        let (a, b) = (pool.join(), pool.join());
        assert_eq!(a.ask(9), 4);
        assert_eq!(b.ask(9), 0);
        a.hold(3);
        assert_eq!((a.ask(5), b.ask(9)), (0, 1));
        a.hold(2);
        assert_eq!((a.ask(5), b.ask(8)), (0, 1));
        a.hold(1);
        assert_eq!(a.ask(5), 1, "half of it is its own");
    }

    #[test]
    fn a_wish_that_nobody_comes_back_for_keeps_no_slot() {
        let pool = Pool::new(1);
        let (a, b) = (pool.join(), pool.join());
        let start = Instant::now();
        assert_eq!((a.ask_at(1, start), b.ask_at(1, start)), (1, 0));
        a.hold(0);
        assert_eq!(a.ask_at(1, start + STANDS / 2), 0);
        assert_eq!(a.ask_at(1, start + STANDS), 1);
        a.hold(0);
        b.ask_at(0, start + STANDS);
        b.want_nothing();
        assert_eq!(a.ask_at(1, start + STANDS), 1);
    }

    proptest! {
        #[test]
        fn no_more_than_there_are_and_nobody_who_asks_goes_without(
            slots in 1usize..5, steps in prop::collection::vec((0usize..3, 0usize..4, any::<bool>()), 1..80)
        ) {
            let pool = Pool::new(slots);
            let shares = [pool.join(), pool.join(), pool.join()];
            let mut held = [0usize; 3];
            for (who, wanted, ends) in steps {
                if ends && held[who] > 0 {
                    held[who] -= 1;
                    shares[who].hold(held[who]);
                } else {
                    held[who] += shares[who].ask(wanted);
                }
                prop_assert!(held.iter().sum::<usize>() <= slots);
            }
            // All that runs ends; whoever asks then gets its share.
            for who in 0..3 {
                held[who] = 0;
                shares[who].hold(0);
                shares[who].want_nothing();
            }
            prop_assert_eq!(shares.iter().map(|share| share.ask(slots)).sum::<usize>(), slots);
        }
    }
}
