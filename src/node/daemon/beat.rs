//! What the node says of itself: its record, which every beat replaces.

use super::{Daemon, Running};
use crate::exec::capture;
use crate::executor::slot::{Slot, SlotRecord};
use crate::git::ObjectId;
use crate::hub::Answer;
use crate::hub::nodes::{NodeRecord, Tail};
use crate::hub::outbox;
use crate::protocol::{claim, pick};

/// How much of a running task's output rides on a beat, in bytes: some screenfuls of lines.
const TAIL: u64 = 4096;

/// How often a beat is tried where the hub answers and leaves the last one: what it does not take is sure at the second.
const BEATS: u32 = 3;

impl Daemon<'_> {
    /// The claims that this node holds: of what runs, is about to be started, or waits in the outbox for a hub that does
    /// not take it now.
    pub(super) fn held_claims(&self) -> Vec<ObjectId> {
        let (waiting, _) = outbox::list(&self.session.state).unwrap_or_default();
        let waiting = waiting.into_iter().filter(outbox::Waiting::is_open);
        let waiting = waiting.filter_map(|waiting| ObjectId::from_hex(waiting.claim.as_bytes()).ok());
        let running = self.running.values().map(|running| running.won.claim.id);
        running.chain(self.won.keys().copied()).chain(waiting).collect()
    }

    /// What this node says of itself now; beats are numbered, so that none is like another.
    pub(super) fn record(&mut self, state: &str) -> NodeRecord {
        self.beat += 1;
        NodeRecord {
            slots: self.options.slots as u32,
            executors: self.executors(),
            beat_seconds: self.machine.beat_interval().as_secs_f64(),
            state: state.to_owned(),
            claims: self.held_claims().iter().map(ObjectId::to_string).collect(),
            output: self.tails(),
            beat: self.beat,
            ..pick::own_record(self.session)
        }
    }

    /// The executors that this node offers now; those that are out of quota are not among them.
    fn executors(&self) -> Vec<String> {
        let resting = self.resting();
        let offered = pick::executors(self.session, &self.session.node);
        offered.into_iter().filter(|executor| !resting.contains(executor)).collect()
    }

    /// The last lines of what runs in the slots.
    fn tails(&self) -> Vec<Tail> {
        let work_dir = self.session.work_dir();
        let tail = |(slot, running): (&usize, &Running)| {
            let claim = &running.won.claim;
            let slot = SlotRecord::of(&Slot::at(&work_dir, *slot))?;
            // Before its executor begins, a slot holds the output of the task before.
            let is_its = slot.begun && slot.claim == claim.id.to_string().as_str();
            let (from, text) = capture::tail(&slot.log_dir(&work_dir), TAIL).ok().filter(|_| is_its)?;
            Some(Tail { task: claim.record.task.clone(), claim: slot.claim, from, text, at: None })
        };
        self.running.iter().filter_map(tail).collect()
    }

    /// A beat that is lost is followed by the next; says whether it got through.
    pub(super) fn send_beat(&mut self) -> bool {
        let session = self.session;
        for _ in 0..BEATS {
            let record = self.record(self.machine.state());
            let Ok(edit) = session.hub.beat(&session.node, &record, &session.by, &session.ambient) else {
                return false;
            };
            match session.hub.publish(std::slice::from_ref(&edit)) {
                Ok(answers) if claim::all_yes(&answers) => return true,
                // The hub answers and leaves the old one as it is: the next one descends from it, once that is sure.
                Ok(answers) if answers[0] == Answer::Unknown => {}
                _ => return false,
            }
        }
        false
    }

    /// A node told to stop, or with nothing left, stays listed as stopped. One that never began says nothing.
    pub(super) fn say_goodbye(&mut self) {
        if self.has_begun {
            self.send_beat();
        }
    }
}
