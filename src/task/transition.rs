//! The one table of legal moves between phases (DESIGN.md 2.3).
//!
//! Owns which phase may follow which in a claim chain, how attempts are counted along it, and what a task becomes when
//! an attempt is taken away. Who may make a move, and when, is the business of `protocol`.

use std::time::Duration;

use super::phase::{Phase, Reason};

/// How many attempts a chain has begun and how many of them ended charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Attempts {
    /// Attempts begun so far; only a move to `running` adds one.
    pub begun: u32,
    /// Attempts that ended and were charged.
    pub charged: u32,
}

/// Says whether a claim commit of phase `to` may follow one of phase `from` (`None`: the chain begins).
pub const fn is_legal(from: Option<Phase>, to: Phase) -> bool {
    use Phase::{Assigned, Cancelled, Completed, Conflict, Failed, Merged, Released, Running};
    match from {
        // `completed` on a fresh chain never happens: a claim ref is never created to finish.
        None => matches!(to, Assigned | Running | Released | Cancelled),
        Some(Assigned) => matches!(to, Running | Released | Cancelled),
        // `running` again is a takeover.
        Some(Running) => matches!(to, Running | Completed | Failed | Released | Cancelled),
        // `completed`: a late finish of the attempt released, which nobody retook. `failed`: the same, found at the maximum.
        Some(Released) => matches!(to, Assigned | Running | Released | Completed | Cancelled),
        Some(Completed) => matches!(to, Merged | Conflict | Failed | Released | Cancelled),
        Some(Failed) => matches!(to, Released | Cancelled),
        Some(Conflict) => matches!(to, Merged | Released | Cancelled),
        // An unsealed `merged` whose result is not in the target is put back.
        Some(Merged) => matches!(to, Completed),
        // Only where nothing can be deleted: a reopening that says so.
        Some(Cancelled) => matches!(to, Released),
    }
}

/// Returns the counts after a move to `to` for `reason`; `reason` is that of the new commit.
pub fn count(before: Attempts, from: Option<Phase>, to: Phase, reason: Option<Reason>) -> Attempts {
    let mut after = before;
    match to {
        // A takeover ends the old attempt as lost and begins the next in one commit.
        Phase::Running if from == Some(Phase::Running) => {
            after.charged = after.charged.saturating_add(1);
            after.begun = after.begun.saturating_add(1);
        }
        Phase::Running => after.begun = after.begun.saturating_add(1),
        Phase::Failed | Phase::Released if reason == Some(Reason::Retry) => after.charged = 0,
        Phase::Failed | Phase::Released => {
            // Only what is under way, or done and not yet accepted, can end: a release of a release ends nothing.
            let ends = matches!(from, Some(Phase::Running | Phase::Completed));
            if ends && reason.is_some_and(Reason::is_charged) {
                after.charged = after.charged.saturating_add(1);
            }
        }
        _ => {}
    }
    after
}

/// Returns what a task becomes when its running attempt is taken away for `reason`: `released`, or `failed` once that
/// brings the charged attempts to `max_attempts`.
pub fn taken_away(before: Attempts, reason: Reason, max_attempts: u32) -> Phase {
    let charged = before.charged.saturating_add(u32::from(reason.is_charged()));
    if reason.is_charged() && charged >= max_attempts { Phase::Failed } else { Phase::Released }
}

/// Returns what a task becomes when its running attempt ended badly: `failed`, or `released` for another try, as long as
/// the policy wants one. Attempts that ended by themselves are tried again `retry_failed` times; what could not even be
/// started, or whose session vanished, is tried elsewhere, up to `max_attempts`.
pub fn ended_badly(before: Attempts, reason: Reason, retry_failed: u32, max_attempts: u32) -> Phase {
    let charged = before.charged + u32::from(reason.is_charged());
    let again = match reason {
        Reason::Exit | Reason::Timeout | Reason::Stall | Reason::Verify => charged <= retry_failed,
        Reason::Spawn | Reason::Lost => true,
        _ => false,
    };
    if again && charged < max_attempts { Phase::Released } else { Phase::Failed }
}

/// Returns how long a task rests before its next attempt: doubled with each charged one, up to a bound.
pub fn rest(charged: u32, wait: Duration, most: Duration) -> Duration {
    match charged {
        0 => Duration::ZERO,
        _ => wait.saturating_mul(2u32.saturating_pow(charged - 1)).min(most),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phases() -> impl Strategy<Value = Phase> {
        proptest::sample::select(Phase::ALL)
    }

    fn reasons() -> impl Strategy<Value = Option<Reason>> {
        proptest::option::of(proptest::sample::select(Reason::ALL))
    }

    #[test]
    fn nothing_is_finished_without_having_run() {
        for end in [Phase::Completed, Phase::Failed, Phase::Merged, Phase::Conflict] {
            assert!(!is_legal(None, end), "{end} begins a chain");
            assert!(!is_legal(Some(Phase::Assigned), end), "{end} follows assigned");
        }
        assert!(!is_legal(Some(Phase::Failed), Phase::Running), "failed is claimed without a release");
        assert!(!is_legal(Some(Phase::Completed), Phase::Running), "finished work is claimed");
        assert!(!is_legal(Some(Phase::Merged), Phase::Cancelled), "what is in the target is cancelled");
    }

    #[test]
    fn what_ended_by_itself_is_tried_again_as_often_as_is_wanted() {
        let after =
            |charged, reason, retries| ended_badly(Attempts { begun: charged + 1, charged }, reason, retries, 3);
        assert_eq!(after(0, Reason::Exit, 0), Phase::Failed);
        assert_eq!((after(0, Reason::Exit, 1), after(1, Reason::Exit, 1)), (Phase::Released, Phase::Failed));
        assert_eq!(after(2, Reason::Timeout, 9), Phase::Failed, "never beyond the maximum");
        assert_eq!((after(0, Reason::Spawn, 0), after(2, Reason::Spawn, 0)), (Phase::Released, Phase::Failed));
        assert_eq!(after(0, Reason::Secrets, 9), Phase::Failed);
    }

    #[test]
    fn rests_double_up_to_a_bound() {
        let rest = |charged| rest(charged, Duration::from_secs(30), Duration::from_secs(100)).as_secs();
        assert_eq!([rest(0), rest(1), rest(2), rest(3), rest(99)], [0, 30, 60, 100, 100]);
    }

    proptest! {
        #[test]
        fn counts_never_fall_but_by_a_retry(walk in proptest::collection::vec((phases(), reasons()), 1..40)) {
            let (mut from, mut counts, mut late) = (None, Attempts::default(), 0);
            for (to, reason) in walk {
                if !is_legal(from, to) { continue; }
                let next = count(counts, from, to, reason);
                prop_assert!(next.begun >= counts.begun);
                prop_assert!(next.charged >= counts.charged || reason == Some(Reason::Retry));
                late += u32::from((from, to) == (Some(Phase::Released), Phase::Completed));
                prop_assert!(next.charged <= next.begun + late, "charged more often than begun");
                (from, counts) = (Some(to), next);
            }
        }

        #[test]
        fn taking_away_at_the_maximum_fails(charged in 0u32..10, max in 1u32..10, at in 0usize..13) {
            let reason = Reason::ALL[at];
            let before = Attempts { begun: charged + 1, charged };
            let phase = taken_away(before, reason, max);
            let after = count(before, Some(Phase::Running), phase, Some(reason));
            prop_assert_eq!(phase == Phase::Failed, reason.is_charged() && after.charged >= max);
        }
    }
}
