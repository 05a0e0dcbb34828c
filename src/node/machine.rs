//! The node as a pure machine: `step(event) -> effects`, without I/O, clock or threads.
//!
//! Owns what a node does next: when it polls and beats, what it claims, what it stops, when it takes no more and when it
//! leaves. The loop (`daemon`) only carries effects out and brings events back, so the same code can be simulated.

mod messages;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

pub use self::messages::{Effect, Event, Pause, Said, Settings, View};
use super::liveness::{Liveness, Moment};
use crate::git::ObjectId;
use crate::task::TaskName;

/// How many attempts in a row must fail at once before the node takes itself to be broken.
const BROKEN_AFTER: u32 = 3;

/// An attempt that fails within this time failed at once.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How many rounds in a row a hub may answer without taking a single claim before that counts as a refusal.
const REFUSALS: u32 = 4;

/// The node's whole state.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    settings: Settings,
    held: BTreeMap<usize, Held>,
    begun: usize,
    set_aside: HashSet<TaskName>,
    poll_at: Moment,
    polled_at: Moment,
    poll_pause: Duration,
    /// Until when the hub asked to be left alone.
    quiet_until: Moment,
    beat_at: Moment,
    fleet: usize,
    draining: bool,
    paused: bool,
    deaf: bool,
    claiming: bool,
    syncing: bool,
    refusals: u32,
    failures: u32,
    rest_until: Moment,
    liveness: Liveness,
    left: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    task: TaskName,
    claim: ObjectId,
    stopped: bool,
}

impl Machine {
    /// A node that has not looked yet; its first effect is to read the hub.
    pub fn new(settings: Settings) -> (Self, Vec<Effect>) {
        let machine = Self {
            poll_pause: settings.poll,
            quiet_until: Moment::ZERO,
            // A node that stays is listed at once; a run that may find nothing is listed with its first claim.
            beat_at: if settings.watch { Duration::ZERO } else { settings.heartbeat },
            settings,
            held: BTreeMap::new(),
            begun: 0,
            set_aside: HashSet::new(),
            poll_at: Duration::ZERO,
            polled_at: Duration::ZERO,
            fleet: 1,
            draining: false,
            paused: false,
            deaf: false,
            claiming: false,
            syncing: true,
            refusals: 0,
            failures: 0,
            rest_until: Duration::ZERO,
            liveness: Liveness::default(),
            left: false,
        };
        (machine, vec![Effect::Sync])
    }

    /// The moment at which time alone makes something due.
    pub fn due(&self) -> Moment {
        self.beat_at.min(self.poll_at)
    }

    /// The state that the node says it is in.
    pub fn state(&self) -> &'static str {
        match (self.left, self.draining, self.paused, self.held.is_empty()) {
            (true, ..) => "stopped",
            (_, true, ..) => "draining",
            (_, _, true, _) => "paused",
            (.., false) => "busy",
            _ => "idle",
        }
    }

    /// How many more of the tasks that it sees the node has slots for, and may begin.
    pub fn room(&self, now: Moment, view: &View) -> usize {
        if self.draining || view.paused || self.claiming {
            return 0;
        }
        let lost: HashSet<TaskName> = self.lost(now, view).into_iter().map(|(task, _)| task).collect();
        let is_at_work = |task: &TaskName| view.watched.iter().any(|(other, ..)| other == task);
        let is_held = |task: &TaskName| self.held.values().any(|held| held.task == *task);
        let is_aside = |task: &TaskName| !self.settings.watch && self.set_aside.contains(task);
        let is_free =
            |task: &&TaskName| !is_held(task) && !is_aside(task) && (lost.contains(*task) || !is_at_work(task));
        let left = self.settings.max.map_or(usize::MAX, |max| max.saturating_sub(self.begun));
        let slots = self.settings.slots.saturating_sub(self.held.len()).min(left);
        view.ready.iter().filter(is_free).take(slots).count()
    }

    /// The claims that the node holds.
    pub fn claims(&self) -> Vec<ObjectId> {
        self.held.values().map(|held| held.claim).collect()
    }

    /// Takes one event in and says what is to be done about it.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        let mut effects = Vec::new();
        match event {
            Event::Time => {}
            Event::Hint => {
                // At once, unless we have only just looked: hints come in swarms, and one who is busy could take nothing.
                let is_busy = self.held.len() >= self.settings.slots;
                let gap = if is_busy { self.settings.poll } else { self.settings.poll / 10 };
                self.poll_at = self.poll_at.min(now.max(self.polled_at + gap)).max(self.quiet_until);
            }
            Event::Synced(view) => self.synced(now, &view, &mut effects),
            Event::Looked(view) => {
                self.fill(now, &view, &[], &mut effects, false);
            }
            Event::Deaf(pause) => self.went_deaf(now, pause, &mut effects),
            Event::Mute => self.liveness.deaf(),
            Event::Claimed { won, set_aside, refused } => self.claimed(now, won, set_aside, refused, &mut effects),
            Event::Ended { slot } => effects.push(Effect::Settle { slot }),
            Event::Settled { slot, well, took } => self.settled(now, slot, well, took, &mut effects),
            Event::Signal(number) => self.signalled(number, &mut effects),
        }
        self.on_time(now, &mut effects);
        effects
    }

    fn on_time(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.left {
            return;
        }
        if now >= self.beat_at {
            self.beat_at = now + self.beat_pause();
            effects.push(Effect::Beat);
        }
        if now >= self.poll_at && !self.syncing && !self.claiming {
            self.syncing = true;
            self.polled_at = now;
            effects.push(Effect::Sync);
        }
    }

    /// Beats slow down as the fleet grows, so that all together stay under the bound.
    fn beat_pause(&self) -> Duration {
        let share = Duration::from_secs(60) * u32::try_from(self.fleet).unwrap_or(u32::MAX)
            / self.settings.max_beats_per_minute.max(1);
        self.settings.heartbeat.max(share)
    }

    /// Says how long it is between two of this node's beats now: others judge its silence by that.
    pub fn beat_interval(&self) -> Duration {
        self.beat_pause()
    }

    fn synced(&mut self, now: Moment, view: &View, effects: &mut Vec<Effect>) {
        self.syncing = false;
        self.fleet = view.fleet.max(1);
        // Of a fleet that shrank the others expect beats sooner: whatever rides on a push states the new interval.
        self.beat_at = self.beat_at.min(now + self.beat_pause());
        if std::mem::take(&mut self.deaf) {
            effects.push(Effect::Tell(Said::HubBack));
        }
        if view.paused != self.paused {
            self.paused = view.paused;
            effects.push(Effect::Tell(if view.paused { Said::Paused } else { Said::Resumed }));
            effects.push(Effect::Beat);
        }
        for (slot, held) in &mut self.held {
            if !held.stopped && !view.tips.contains(&held.claim) {
                // Cancelled, or taken over: what it makes from here on counts for nothing.
                held.stopped = true;
                effects.push(Effect::Stop { slot: *slot });
            }
        }
        self.liveness.hear(now, &view.beats);
        let lost = self.lost(now, view);
        // What was tried in vain is not taken over, so that it is given back at the second look.
        let (mut given_back, lost): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(task, _)| self.set_aside.contains(task));
        if self.settings.watch {
            // What could not be built on then may be built on now.
            self.set_aside = given_back.iter().map(|(task, _)| task.clone()).collect();
        }
        let before = effects.len();
        let taken_over = self.fill(now, view, &lost, effects, true);
        given_back.extend(lost.into_iter().filter(|(_, claim)| !taken_over.contains(claim)));
        given_back.extend(view.expired.iter().cloned());
        if !given_back.is_empty() {
            // First: a run that finds nothing for itself leaves, and what it saw to be over is given back all the same.
            effects.insert(before, Effect::Reclaim(given_back));
        }
        if !self.claiming {
            let found_nothing = self.held.len() == self.settings.slots || view.ready.is_empty();
            self.poll_pause = match found_nothing && self.held.is_empty() {
                true => self.poll_pause.mul_f64(1.5).min(self.settings.poll_max),
                false => self.settings.poll,
            };
            self.poll_at = now + self.poll_pause.mul_f64(0.75 + 0.5 * view.jitter);
        }
    }

    /// The claims of nodes that are lost.
    fn lost(&self, now: Moment, view: &View) -> Vec<(TaskName, ObjectId)> {
        let own: HashSet<ObjectId> = self.held.values().map(|held| held.claim).collect();
        let is_lost = |claim: &ObjectId, name: &str| !own.contains(claim) && self.liveness.is_lost(now, name);
        let lost = view.watched.iter().filter(|(_, claim, name)| is_lost(claim, name));
        lost.map(|(task, claim, _)| (task.clone(), *claim)).collect()
    }

    /// Claims for all free slots at once, also what is lost elsewhere; leaves where there is nothing left to wait for.
    /// Says which claims it takes over.
    fn fill(
        &mut self,
        now: Moment,
        view: &View,
        lost: &[(TaskName, ObjectId)],
        effects: &mut Vec<Effect>,
        is_fresh: bool,
    ) -> Vec<ObjectId> {
        if self.claiming {
            return Vec::new();
        }
        let left = self.settings.max.map_or(usize::MAX, |max| max.saturating_sub(self.begun));
        let mut free = self.settings.slots.saturating_sub(self.held.len()).min(left);
        if self.failures >= BROKEN_AFTER {
            // Resting; then one task, to see whether it was the node or the tasks.
            free = if now >= self.rest_until && self.held.is_empty() { free.min(1) } else { 0 };
        }
        if self.draining || self.paused || now < self.quiet_until {
            free = 0;
        }
        let is_held_up = view.allowed.is_some_and(|allowed| allowed < free);
        free = view.allowed.map_or(free, |allowed| free.min(allowed));
        let lost: HashMap<&TaskName, ObjectId> = lost.iter().map(|(task, claim)| (task, *claim)).collect();
        let held: HashSet<&TaskName> = self.held.values().map(|held| &held.task).collect();
        let at_work: HashSet<&TaskName> =
            view.watched.iter().map(|(task, ..)| task).filter(|task| !lost.contains_key(task)).collect();
        let is_free =
            |task: &&TaskName| !held.contains(task) && !at_work.contains(task) && !self.set_aside.contains(*task);
        let mut places = HashSet::new();
        let mut has_room = |task: &&TaskName| {
            view.room.get(*task).is_none_or(|free| free.iter().any(|place| places.insert(place.as_str())))
        };
        let free_tasks = view.ready.iter().filter(is_free);
        let free_tasks: Vec<&TaskName> = free_tasks.filter(|task| has_room(task)).collect();
        let is_held_up = is_held_up && free_tasks.len() > free;
        let tasks: Vec<TaskName> = free_tasks.into_iter().take(free).cloned().collect();
        if !tasks.is_empty() {
            self.claiming = true;
            let over: Vec<ObjectId> = tasks.iter().filter_map(|task| lost.get(task).copied()).collect();
            effects.push(Effect::Claim { tasks, over: over.clone() });
            return over;
        }
        // What waits for slots that others have is not done.
        if !is_held_up {
            self.leave_if_done(now, left, effects, is_fresh);
        }
        Vec::new()
    }

    fn leave_if_done(&mut self, now: Moment, left: usize, effects: &mut Vec<Effect>, is_fresh: bool) {
        let may_leave = self.held.is_empty() && (self.draining || !self.settings.watch || left == 0);
        if !may_leave {
            return;
        }
        if is_fresh || self.draining {
            self.left = true;
            effects.push(Effect::Leave);
        } else {
            // Somebody may have enqueued or finished meanwhile.
            self.poll_at = now;
        }
    }

    fn claimed(
        &mut self,
        now: Moment,
        won: Vec<(TaskName, ObjectId)>,
        set_aside: Vec<TaskName>,
        refused: bool,
        effects: &mut Vec<Effect>,
    ) {
        self.claiming = false;
        self.refusals = if refused && won.is_empty() { self.refusals + 1 } else { 0 };
        // A claim has just looked at the hub; and one that refuses everything is not to be hammered.
        self.poll_pause = match self.refusals {
            0 => self.settings.poll,
            _ => self.poll_pause.mul_f64(1.5).min(self.settings.poll_max),
        };
        self.poll_at = self.poll_at.max(now + self.poll_pause);
        if self.refusals >= REFUSALS && !self.settings.watch && self.held.is_empty() {
            effects.push(Effect::GiveUp);
            return;
        }
        self.set_aside.extend(set_aside);
        for (task, claim) in won {
            let slot = (1..).find(|slot| !self.held.contains_key(slot)).unwrap_or(1);
            self.held.insert(slot, Held { task: task.clone(), claim, stopped: false });
            self.begun += 1;
            effects.push(Effect::Start { slot, task, claim });
        }
        if self.refusals < REFUSALS {
            effects.push(Effect::Look);
        }
    }

    fn settled(&mut self, now: Moment, slot: usize, well: bool, took: Duration, effects: &mut Vec<Effect>) {
        let Some(held) = self.held.remove(&slot) else { return };
        if !self.settings.watch {
            // One run does not try a task twice; a node that stays goes by the task's own state.
            self.set_aside.insert(held.task);
        }
        if well || held.stopped || took >= AT_ONCE {
            self.failures = 0;
        } else {
            self.failures += 1;
            if self.failures >= BROKEN_AFTER {
                let doublings = (self.failures - BROKEN_AFTER).min(6);
                let rest = self.settings.poll_max.min(self.settings.poll * 2u32.pow(doublings + 1));
                self.rest_until = now + rest;
                self.poll_at = self.poll_at.max(self.rest_until);
                if self.failures == BROKEN_AFTER && self.settings.watch {
                    effects.push(Effect::Tell(Said::Broken));
                }
            }
        }
        if !self.settings.watch {
            // A run that ends by itself tries each task once, broken or not.
            self.failures = 0;
        }
        effects.push(Effect::Look);
    }

    fn went_deaf(&mut self, now: Moment, pause: Pause, effects: &mut Vec<Effect>) {
        // With both under way it was the sync, and the claim is still to be tried: what it wins must not be left behind.
        let is_claim_ahead = self.syncing && self.claiming;
        self.syncing = false;
        self.claiming = false;
        self.liveness.deaf();
        self.poll_pause = self.poll_pause.mul_f64(1.5).min(self.settings.poll_max);
        self.quiet_until = now + pause.at_least;
        self.poll_at = self.quiet_until.max(now + self.poll_pause.mul_f64(0.75 + 0.5 * pause.jitter));
        // Beats wait as well, but not so long that the others take this node for lost.
        self.beat_at = self.beat_at.max(now + pause.at_least.min(self.beat_pause()));
        if !std::mem::replace(&mut self.deaf, true) {
            effects.push(Effect::Tell(Said::HubAway));
        }
        if self.held.is_empty() && !is_claim_ahead && (self.draining || !self.settings.watch) {
            self.left = true;
            effects.push(Effect::Leave);
        }
    }

    fn signalled(&mut self, number: u32, effects: &mut Vec<Effect>) {
        self.draining = true;
        if number == 1 {
            if self.held.is_empty() && !self.claiming {
                self.left = true;
                effects.push(Effect::Leave);
            } else {
                effects.push(Effect::Tell(Said::Draining));
                effects.push(Effect::Beat);
            }
            return;
        }
        for (slot, held) in &mut self.held {
            if !std::mem::replace(&mut held.stopped, true) {
                effects.push(Effect::Stop { slot: *slot });
            }
        }
    }
}

#[cfg(test)]
mod tests;
