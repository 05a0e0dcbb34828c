//! Following the output of one attempt while it grows, in a slot of this clone or on another node.
//!
//! Owns which part of it was told: another node's output comes with its heartbeats, of which each brings the last lines
//! only. What nobody saw in between is said to be left out until the attempt has ended and its log is published.

use super::stamp::{marks, stamped};
use super::{Output, find, is_here};
use crate::exec::capture::{self, Mark};
use crate::executor::slot::SlotRecord;
use crate::executor::work::LOG_LIMIT;
use crate::git::ObjectId;
use crate::hub::history::Histories;
use crate::hub::snapshot::Snapshot;
use crate::protocol::Session;
use crate::protocol::error::Result;
use crate::task::name::NameKind;
use crate::task::{Name, Phase, TaskName};

/// One attempt's output, as far as it was told.
#[derive(Debug, Clone)]
pub struct Follower {
    task: TaskName,
    claim: ObjectId,
    attempt: u32,
    told: u64,
    /// Whether each line is told with its time.
    timed: bool,
}

/// What came since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Whole lines, or nothing; the attempt is under way.
    More(Vec<u8>),
    /// The rest: the attempt has ended.
    Ended(Vec<u8>),
}

impl Follower {
    /// Begins to follow a task's running attempt, if it has one, and that of this number if one is given.
    pub fn new(snapshot: &Snapshot, task: &TaskName, attempt: Option<u32>, timed: bool) -> Option<Self> {
        let claim = snapshot.get(task)?.claim_in(Phase::Running)?;
        let running = claim.record.attempts.begun;
        let is_wanted = attempt.is_none_or(|attempt| attempt == running);
        is_wanted.then(|| Self { task: task.clone(), claim: claim.id, attempt: running, told: 0, timed })
    }

    /// Takes what came since in a slot of this clone; `None` where the attempt does not run here.
    pub fn here(&mut self, session: &Session) -> Option<Vec<u8>> {
        let work_dir = session.work_dir();
        let slot = SlotRecord::list(&work_dir).into_iter().find(|slot| is_here(slot, self.claim))?;
        let folder = slot.log_dir(&work_dir);
        let (from, text) = capture::since(&folder, self.told).ok()?;
        Some(self.take(from, &text, &capture::marks(&folder), false))
    }

    /// Takes what is known since the last sync.
    pub fn there(&mut self, session: &Session, snapshot: &Snapshot) -> Result<Step> {
        let task = snapshot.get(&self.task);
        let running = task.and_then(|task| task.claim_in(Phase::Running)).filter(|claim| claim.id == self.claim);
        let Some(claim) = running else { return self.rest(session, snapshot).map(Step::Ended) };
        let node = Name::new(NameKind::Node, claim.record.node.as_deref().unwrap_or_default());
        let tail = node.ok().and_then(|node| session.hub.tail(&node, &self.task, &self.claim.to_string()));
        let Some(tail) = tail else { return Ok(Step::More(Vec::new())) };
        // It came no later than with its node's beat.
        let marks: Vec<Mark> = tail.at.map(|at| Mark { from: 0, second: at.as_second() }).into_iter().collect();
        Ok(Step::More(self.take(tail.from, &tail.text, &marks, false)))
    }

    fn rest(&mut self, session: &Session, snapshot: &Snapshot) -> Result<Vec<u8>> {
        // An attempt that was given back leaves no log.
        let Ok(Output { text, times, .. }) = find(session, snapshot, &self.task, Some(self.attempt)) else {
            return Ok(Vec::new());
        };
        let length = text.len() as u64;
        let events = match snapshot.get(&self.task) {
            Some(task) => Histories::load_for(&session.hub, task)?.of(&session.hub, task),
            None => Vec::new(),
        };
        let ours = events.iter().rev().filter(|event| event.attempt == Some(self.attempt));
        let total = ours.filter_map(|event| event.log_bytes).next().unwrap_or(length);
        if total == length {
            return Ok(self.take(0, &text, &marks(&text, &times, 0), true));
        }
        // Its middle was not kept; the end stands there without a gap.
        let kept = LOG_LIMIT.min(length).min(total);
        let end = text.len() - usize::try_from(kept).unwrap_or(0);
        let mut marks = marks(&text, &times, 0);
        for mark in &mut marks {
            mark.from = (mark.from + total).saturating_sub(length);
        }
        Ok(self.take(total - kept, &text[end..], &marks, true))
    }

    /// Takes output that begins at byte `from`: what was not told yet, up to the last line's end, or all of it.
    fn take(&mut self, from: u64, text: &[u8], marks: &[Mark], all: bool) -> Vec<u8> {
        let skipped = usize::try_from(self.told.saturating_sub(from)).unwrap_or(usize::MAX);
        let fresh = text.get(skipped..).unwrap_or_default();
        let whole_lines = || fresh.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let length = if all { fresh.len() } else { whole_lines() };
        if length == 0 {
            return Vec::new();
        }
        let left_out = from.saturating_sub(self.told);
        let mut taken = match left_out {
            0 => Vec::new(),
            _ => format!("[git-dispatch: {left_out} bytes left out]\n").into_bytes(),
        };
        let begins = self.told.max(from);
        match self.timed {
            true => taken.extend(stamped(&fresh[..length], begins, marks)),
            false => taken.extend_from_slice(&fresh[..length]),
        }
        self.told = begins + length as u64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower() -> Follower {
        let id = ObjectId::null(gix::hash::Kind::Sha1);
        Follower { task: TaskName::parse("p/a").unwrap(), claim: id, attempt: 1, told: 0, timed: false }
    }

    #[test]
    fn each_line_is_told_once_and_a_gap_is_said() {
        let mut follower = follower();
        let mut take =
            |from, text: &str, all| String::from_utf8(follower.take(from, text.as_bytes(), &[], all)).unwrap();
        assert_eq!(take(0, "one\ntw", false), "one\n");
        assert_eq!(take(0, "one\ntw", false), "");
        assert_eq!(take(2, "e\ntwo\n", false), "two\n");
        assert_eq!(take(20, "three\nfo", false), "[git-dispatch: 12 bytes left out]\nthree\n");
        assert_eq!(take(0, "whatever was there\n\nthree\nfour", true), "four");
        assert_eq!(take(0, "whatever was there\n\nthree\nfour", true), "");
    }
}
