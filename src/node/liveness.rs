//! Who lives: judged by what we have seen ourselves, on our own monotonic clock (DESIGN.md 3).
//!
//! Pure. Owns the rule that a node is lost when its beat stood still for so many of its own intervals, over at least
//! three polls in which we could hear. After an outage of the hub nobody is lost: we have only been deaf.

use std::collections::BTreeMap;
use std::time::Duration;

/// A moment on the observer's own clock: the time since it started.
pub type Moment = Duration;

/// How many polls must have seen the same beat before silence counts.
pub const POLLS: u32 = 3;

/// What one poll saw of a node, or of a claim that its node does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// What changes with every sign of life.
    pub mark: String,
    /// How long it may stand still before it is lost.
    pub patience: Duration,
}

/// What has been seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Liveness {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    mark: String,
    patience: Duration,
    since: Moment,
    polls: u32,
    moved: bool,
}

impl Liveness {
    /// Takes in one poll that got through: every node and claim to be watched, by name.
    pub fn hear(&mut self, now: Moment, beats: &[(String, Beat)]) {
        self.seen.retain(|name, _| beats.iter().any(|(known, _)| known == name));
        for (name, beat) in beats {
            match self.seen.get_mut(name) {
                Some(seen) if seen.mark == beat.mark => {
                    seen.polls += 1;
                    seen.patience = beat.patience;
                }
                known => {
                    let (mark, patience) = (beat.mark.clone(), beat.patience);
                    let seen = Seen { mark, patience, since: now, polls: 1, moved: known.is_some() };
                    self.seen.insert(name.clone(), seen);
                }
            }
        }
    }

    /// Takes in that a poll did not get through: whatever silence there was proves nothing.
    pub fn deaf(&mut self) {
        self.seen.clear();
    }

    /// Says whether what stands under this name has not given a sign of life since we began to listen.
    pub fn is_silent(&self, name: &str) -> bool {
        self.seen.get(name).is_some_and(|seen| !seen.moved)
    }

    /// Says whether what stands under this name is lost.
    pub fn is_lost(&self, now: Moment, name: &str) -> bool {
        self.seen
            .get(name)
            .is_some_and(|seen| seen.polls >= POLLS && now.saturating_sub(seen.since) >= seen.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(mark: &str) -> Vec<(String, Beat)> {
        vec![("n".into(), Beat { mark: mark.into(), patience: Duration::from_secs(300) })]
    }

    fn at(second: u64) -> Moment {
        Duration::from_secs(second)
    }

    #[test]
    fn a_beat_that_stands_still_is_lost_after_its_own_time_and_three_polls() {
        let mut liveness = Liveness::default();
        liveness.hear(at(0), &beat("1"));
        liveness.hear(at(1000), &beat("1"));
        assert!(!liveness.is_lost(at(1000), "n"), "two polls are no proof");
        liveness.hear(at(1001), &beat("1"));
        assert!(liveness.is_lost(at(1001), "n"));
        liveness.hear(at(1002), &beat("2"));
        assert!(!liveness.is_lost(at(1002), "n"), "it moved");
    }

    #[test]
    fn many_polls_in_a_short_time_are_no_proof_either() {
        let mut liveness = Liveness::default();
        for second in 0..299 {
            liveness.hear(at(second), &beat("1"));
            assert!(!liveness.is_lost(at(second), "n"));
        }
    }

    #[test]
    fn silence_during_an_outage_does_not_count() {
        let mut liveness = Liveness::default();
        for second in [0, 100, 200] {
            liveness.hear(at(second), &beat("1"));
        }
        liveness.deaf();
        for second in [5000, 5001, 5002] {
            liveness.hear(at(second), &beat("1"));
        }
        assert!(!liveness.is_lost(at(5002), "n"), "an hour without the hub is not an hour of silence");
        liveness.hear(at(5300), &beat("1"));
        assert!(liveness.is_lost(at(5300), "n"));
    }
}
