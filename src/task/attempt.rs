//! The attempts of a task, put together from its events: who tried it when, and what came of that.
//!
//! Pure. An attempt of which only the end is told begins when its executor was started.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Reason;
use super::event::Event;

/// One try at a task by one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Who tried.
    pub node: String,
    /// The slot of that node, from 1; `None` where that is not told.
    pub slot: Option<u32>,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// `running`, `completed`, `failed`, `released`, `lost`, `cancelled`.
    pub outcome: String,
    /// Why it ended, where that is told.
    pub reason: Option<Reason>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Attempt {
    /// Returns how long it took, or takes already, in seconds.
    pub fn seconds(&self, now: Timestamp) -> f64 {
        self.ended.unwrap_or(now).duration_since(self.begun).as_secs_f64().max(0.0)
    }
}

/// Reads the attempts out of a task's events, which are in the order in which they are told.
pub fn attempts(events: &[Event]) -> Vec<Attempt> {
    let mut found: BTreeMap<u32, Attempt> = BTreeMap::new();
    for event in events {
        let Some(number) = event.attempt else { continue };
        match event.event.as_str() {
            "running" => {
                begin(&mut found, number, event, event.at);
            }
            outcome @ ("completed" | "failed" | "released" | "lost") => {
                let begun = event.started_at.or(event.completed_at).unwrap_or(event.at);
                end(begin(&mut found, number, event, begun), outcome, event);
            }
            // Only what was under way ends by it.
            "cancelled" => {
                if let Some(attempt) = found.get_mut(&number).filter(|attempt| attempt.ended.is_none()) {
                    end(attempt, "cancelled", event);
                }
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

fn begin<'a>(
    found: &'a mut BTreeMap<u32, Attempt>,
    number: u32,
    event: &Event,
    begun: Timestamp,
) -> &'a mut Attempt {
    let attempt = found.entry(number).or_insert_with(|| Attempt {
        number,
        node: String::new(),
        slot: None,
        begun,
        ended: None,
        outcome: "running".to_owned(),
        reason: None,
        error: None,
    });
    attempt.begun = attempt.begun.min(begun);
    attempt.slot = attempt.slot.or(event.slot);
    if let Some(node) = event.node.as_ref().filter(|_| attempt.node.is_empty()) {
        attempt.node.clone_from(node);
    }
    attempt
}

fn end(attempt: &mut Attempt, outcome: &str, event: &Event) {
    // Work that was accepted may be rejected later: it breaks the verification, or what it was built on is gone.
    let is_later = attempt.ended.is_some();
    if is_later && !(attempt.outcome == "completed" && outcome == "failed") {
        return;
    }
    outcome.clone_into(&mut attempt.outcome);
    attempt.reason = event.reason;
    attempt.error.clone_from(&event.error);
    if !is_later {
        attempt.ended = Some(event.completed_at.unwrap_or(event.at).max(attempt.begun));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn event(name: &str, attempt: u32, second: i64) -> Event {
        let mut event = Event::new(name, at(second));
        event.attempt = Some(attempt);
        event.node = Some("a".into());
        event
    }

    #[test]
    fn each_attempt_has_its_span_and_its_outcome() {
        let mut lost = event("lost", 1, 50);
        lost.reason = Some(Reason::Lost);
        let mut done = event("completed", 2, 99);
        done.completed_at = Some(at(90));
        let events = [event("enqueued", 0, 0), event("running", 1, 10), lost, event("running", 2, 60), done];
        let told: Vec<(u32, String, f64)> = attempts(&events[1..])
            .iter()
            .map(|one| (one.number, one.outcome.clone(), one.seconds(at(0))))
            .collect();
        assert_eq!(told, [(1, "lost".into(), 40.0), (2, "completed".into(), 30.0)]);
    }

    #[test]
    fn what_runs_has_no_end_and_what_was_called_off_has() {
        let runs = attempts(&[event("running", 1, 10)]);
        assert_eq!((runs[0].ended, runs[0].seconds(at(25))), (None, 15.0));
        let off = attempts(&[event("running", 1, 10), event("cancelled", 1, 12)]);
        assert_eq!((off[0].outcome.as_str(), off[0].ended), ("cancelled", Some(at(12))));
        let after = attempts(&[event("running", 1, 10), event("completed", 1, 20), event("cancelled", 1, 30)]);
        assert_eq!((after[0].outcome.as_str(), after[0].ended), ("completed", Some(at(20))));
    }

    #[test]
    fn work_that_was_rejected_later_keeps_its_span() {
        let mut rejected = event("failed", 1, 500);
        rejected.reason = Some(Reason::Verify);
        let told = attempts(&[event("running", 1, 10), event("completed", 1, 20), rejected]);
        assert_eq!(
            (told[0].outcome.as_str(), told[0].ended, told[0].reason),
            ("failed", Some(at(20)), Some(Reason::Verify))
        );
    }

    #[test]
    fn an_end_alone_tells_when_it_began() {
        let mut end = event("failed", 3, 100);
        (end.started_at, end.completed_at, end.slot) = (Some(at(40)), Some(at(90)), Some(2));
        let told = attempts(&[end]);
        assert_eq!((told[0].number, told[0].begun, told[0].ended), (3, at(40), Some(at(90))));
        assert_eq!(told[0].slot, Some(2));
    }
}
