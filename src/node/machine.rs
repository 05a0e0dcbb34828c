//! The node as a pure machine: `step(event) -> effects`, without I/O, clock or threads.
//!
//! Owns what a node does next: when it polls and beats, what it claims, what it stops, when it takes no more and when it
//! leaves. The loop (`daemon`) only carries effects out and brings events back, so the same code can be simulated.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::liveness::{Beat, Liveness, Moment};
use crate::git::ObjectId;
use crate::task::TaskName;

/// How many attempts in a row must fail at once before the node takes itself to be broken.
const BROKEN_AFTER: u32 = 3;

/// An attempt that fails within this time failed at once.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How many rounds in a row a hub may answer without taking a single claim before that counts as a refusal.
const REFUSALS: u32 = 4;

/// How the node is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many tasks at once.
    pub slots: usize,
    /// How many in all at most.
    pub max: Option<usize>,
    /// Whether it stays when nothing is left.
    pub watch: bool,
    /// How often it looks for work.
    pub poll: Duration,
    /// How far that backs off while there is none.
    pub poll_max: Duration,
    /// How often it says that it lives.
    pub heartbeat: Duration,
    /// The beats of the whole fleet a minute.
    pub max_beats_per_minute: u32,
}

/// What the node sees of the fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The tasks that may start here now, best first.
    pub ready: Vec<TaskName>,
    /// The claims that are the tips of their chains.
    pub tips: HashSet<ObjectId>,
    /// What is watched for signs of life: nodes, and claims that their nodes do not list.
    pub beats: Vec<(String, Beat)>,
    /// The claims that beats keep alive, each with the name under which it is watched.
    pub watched: Vec<(TaskName, ObjectId, String)>,
    /// The claims whose stated time is over.
    pub expired: Vec<(TaskName, ObjectId)>,
    /// How many nodes are up.
    pub fleet: usize,
    /// Whether this node, or the fleet, is paused.
    pub paused: bool,
    /// A random fraction, for jitter.
    pub jitter: f64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time went by; nothing else.
    Time,
    /// The hub was read.
    Synced(View),
    /// What is known here was looked at again, without the hub.
    Looked(View),
    /// The hub did not answer.
    Deaf,
    /// Our own beat did not get through, so the others' may not have either.
    Mute,
    /// Claims were tried.
    Claimed {
        /// What was won.
        won: Vec<(TaskName, ObjectId)>,
        /// What is not to be tried again in this state of things.
        set_aside: Vec<TaskName>,
        /// Whether the hub took none of them though it answered.
        refused: bool,
    },
    /// The executor in a slot ended, or was stopped.
    Ended {
        /// The slot.
        slot: usize,
    },
    /// What ended in a slot was published, kept, or given back.
    Settled {
        /// The slot.
        slot: usize,
        /// Whether the attempt went well.
        well: bool,
        /// How long the executor ran.
        took: Duration,
    },
    /// Something on this machine hints that it is worth looking.
    Hint,
    /// A signal: the first or a later one.
    Signal(u32),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the hub; answers `Synced` or `Deaf`.
    Sync,
    /// Look at what is known here; answers `Looked`, or `Deaf` where something was to be mended first.
    Look,
    /// Try to claim these, in one push; answers `Claimed`.
    Claim(Vec<TaskName>),
    /// Start what was won in a slot.
    Start {
        /// The slot.
        slot: usize,
        /// The task.
        task: TaskName,
        /// The claim.
        claim: ObjectId,
    },
    /// Stop the executor in a slot; answers `Ended` by and by.
    Stop {
        /// The slot.
        slot: usize,
    },
    /// Publish what ended in a slot; answers `Settled`.
    Settle {
        /// The slot.
        slot: usize,
    },
    /// Take claims of lost nodes back.
    Reclaim(Vec<(TaskName, ObjectId)>),
    /// Say that the node lives; answers `Mute` where that does not get through.
    Beat,
    /// Tell people.
    Tell(Said),
    /// The hub refuses every claim: give up.
    GiveUp,
    /// There is nothing left to do, or the node was told to go.
    Leave,
}

/// What people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The hub does not answer; work under way goes on.
    HubAway,
    /// The hub answers again.
    HubBack,
    /// Tasks fail at once, one after the other: the node waits before it tries one more.
    Broken,
    /// The node takes no more, and finishes what runs.
    Draining,
    /// The node, or the fleet, was paused.
    Paused,
    /// It was resumed.
    Resumed,
}

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
                self.poll_at = self.poll_at.min(now.max(self.polled_at + gap));
            }
            Event::Synced(view) => self.synced(now, &view, &mut effects),
            Event::Looked(view) => self.fill(now, &view, &mut effects, false),
            Event::Deaf => self.went_deaf(now, &mut effects),
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
        if self.settings.watch {
            // What could not be built on then may be built on now.
            self.set_aside.clear();
        }
        self.liveness.hear(now, &view.beats);
        let own: HashSet<ObjectId> = self.held.values().map(|held| held.claim).collect();
        let lost: Vec<(TaskName, ObjectId)> = view
            .watched
            .iter()
            .filter(|(_, claim, name)| !own.contains(claim) && self.liveness.is_lost(now, name))
            .map(|(task, claim, _)| (task.clone(), *claim))
            .chain(view.expired.iter().cloned())
            .collect();
        if !lost.is_empty() {
            effects.push(Effect::Reclaim(lost));
        }
        self.fill(now, view, effects, true);
        if !self.claiming {
            let found_nothing = self.held.len() == self.settings.slots || view.ready.is_empty();
            self.poll_pause = match found_nothing && self.held.is_empty() {
                true => self.poll_pause.mul_f64(1.5).min(self.settings.poll_max),
                false => self.settings.poll,
            };
            self.poll_at = now + self.poll_pause.mul_f64(0.75 + 0.5 * view.jitter);
        }
    }

    /// Claims for all free slots at once; leaves where there is nothing left to wait for.
    fn fill(&mut self, now: Moment, view: &View, effects: &mut Vec<Effect>, is_fresh: bool) {
        if self.claiming {
            return;
        }
        let left = self.settings.max.map_or(usize::MAX, |max| max.saturating_sub(self.begun));
        let mut free = self.settings.slots.saturating_sub(self.held.len()).min(left);
        if self.failures >= BROKEN_AFTER {
            // Resting; then one task, to see whether it was the node or the tasks.
            free = if now >= self.rest_until && self.held.is_empty() { free.min(1) } else { 0 };
        }
        if self.draining || self.paused {
            free = 0;
        }
        let held: HashSet<&TaskName> = self.held.values().map(|held| &held.task).collect();
        let ready = view.ready.iter().filter(|task| !held.contains(task) && !self.set_aside.contains(*task));
        let wanted: Vec<TaskName> = ready.take(free).cloned().collect();
        if !wanted.is_empty() {
            self.claiming = true;
            effects.push(Effect::Claim(wanted));
            return;
        }
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

    fn went_deaf(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        // With both under way it was the sync, and the claim is still to be tried: what it wins must not be left behind.
        let is_claim_ahead = self.syncing && self.claiming;
        self.syncing = false;
        self.claiming = false;
        self.liveness.deaf();
        self.poll_pause = self.poll_pause.mul_f64(1.5).min(self.settings.poll_max);
        self.poll_at = now + self.poll_pause;
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
