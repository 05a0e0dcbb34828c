//! A node of the simulation: the real machine, and a loop that carries its effects out against the simulated hub as
//! `node::daemon` does against a real one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use git_dispatch::git::ObjectId;
use git_dispatch::node::liveness::{Beat as Sign, Moment};
use git_dispatch::node::machine::{Effect, Event, Machine, Pause, Settings, View};
use git_dispatch::task::transition::{count, taken_away};
use git_dispatch::task::{Phase, Reason, TaskName};

use super::cost::{self, Pace};
use super::hub::{Beat, Commit, Edit, MAX_ATTEMPTS, Refs, Standing, Task, Time};
use super::net::{Answer, Net};
use super::outbox::Waiting;

pub(crate) const HEARTBEAT: Time = 20_000;
pub(crate) const LOST_AFTER: u32 = 5;

pub(crate) fn name_of(task: Task) -> TaskName {
    TaskName::parse(&format!("p/S{task:02}")).unwrap()
}

fn number_of(name: &TaskName) -> Task {
    name.id.as_str()[1..].parse().unwrap()
}

pub(crate) struct Running {
    pub(crate) claim: ObjectId,
    pub(crate) started: Time,
    ends: Time,
    pub(crate) well: bool,
    pub(crate) given_back: bool,
}

/// What lives in a process, and dies with it.
pub(crate) struct Process {
    machine: Machine,
    slots: usize,
    started: Time,
    work: VecDeque<Effect>,
    pub(crate) running: BTreeMap<usize, Running>,
    settled: bool,
    beat: u64,
    deaf_at: Time,
}

/// A node: a clone, and its process while it lives.
pub(crate) struct Node {
    pub(crate) me: usize,
    instance: u64,
    pub(crate) mirror: Refs,
    pub(crate) outbox: Vec<Waiting>,
    process: Option<Process>,
    /// How many of the claims that landed it has fetched.
    seen: usize,
}

/// The process was killed in the middle of a step.
pub(crate) struct Killed;

impl Node {
    pub(crate) fn new(me: usize) -> Self {
        Self { me, instance: 0, mirror: Refs::default(), outbox: Vec::new(), process: None, seen: 0 }
    }

    pub(crate) const fn lives(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn start(&mut self, now: Time, slots: usize, pace: &Pace) {
        self.instance += 1;
        let (machine, effects) = Machine::new(Settings {
            slots,
            max: None,
            watch: true,
            poll: pace.poll,
            poll_max: pace.poll_max,
            heartbeat: pace.heartbeat,
            max_beats_per_minute: pace.max_beats_per_minute,
        });
        let work = effects.into();
        self.process = Some(Process {
            machine,
            slots,
            started: now,
            work,
            running: BTreeMap::new(),
            settled: false,
            beat: 0,
            deaf_at: now,
        });
    }

    /// The next moment at which something is due here.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        let process = self.process.as_ref()?;
        if !process.work.is_empty() {
            return Some(now);
        }
        let due = process.started + process.machine.due().as_millis() as Time + 1;
        process.running.values().map(|running| running.ends).chain([due]).min()
    }

    pub(crate) fn signal(&mut self, now: Time, number: u32, net: &mut Net) {
        if self.process.is_some() {
            self.step(now, Event::Signal(number));
            self.work(net);
        }
    }

    /// Takes in whatever is due, and carries out what follows.
    pub(crate) fn turn(&mut self, net: &mut Net) {
        let now = net.hub.now;
        let Some(process) = &self.process else { return };
        let ended = process.running.iter().find(|(_, running)| running.ends <= now).map(|(slot, _)| *slot);
        match ended {
            Some(slot) => {
                self.process().running.get_mut(&slot).unwrap().ends = Time::MAX;
                self.step(now, Event::Ended { slot });
            }
            None => self.step(now, Event::Time),
        }
        self.work(net);
    }

    fn work(&mut self, net: &mut Net) {
        while let Some(effect) = self.process.as_mut().and_then(|process| process.work.pop_front()) {
            if net.kills() || self.carry_out(effect, net).is_err() {
                return self.kill();
            }
        }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a process that lives")
    }

    fn step(&mut self, now: Time, event: Event) {
        let process = self.process();
        let moment: Moment = Duration::from_millis(now - process.started);
        let effects = process.machine.step(moment, event);
        process.work.extend(effects);
    }

    fn carry_out(&mut self, effect: Effect, net: &mut Net) -> Result<(), Killed> {
        let now = net.hub.now;
        let event = match effect {
            Effect::Sync => Some(self.sync(net)?),
            Effect::Look => Some(Event::Looked(self.view(net))),
            Effect::Claim { tasks, over } => {
                over.iter().for_each(|claim| self.judge_reclaim(*claim, net));
                Some(self.claim(&tasks, &over, net))
            }
            Effect::Start { slot, claim, .. } => {
                net.hub.begin(claim);
                let (from, to) = net.pace.work;
                let (ends, well) = (now + net.dice.between(from, to), !net.pace.fails || !net.dice.one_in(5));
                let running = Running { claim, started: now, ends, well, given_back: false };
                self.process().running.insert(slot, running);
                None
            }
            Effect::Stop { slot } => {
                if let Some(running) = self.process().running.get_mut(&slot).filter(|one| one.ends != Time::MAX) {
                    (running.ends, running.given_back) = (now + 100, true);
                }
                None
            }
            Effect::Settle { slot } => self.settle(slot, net)?,
            Effect::Reclaim(claims) => {
                for (_, claim) in claims {
                    self.judge_reclaim(claim, net);
                    self.release(claim, Reason::Lost, net);
                }
                None
            }
            Effect::Beat => {
                let is_stopped = self.process().machine.state() == "stopped";
                (self.beat(is_stopped, net) != Answer::Yes).then_some(Event::Mute)
            }
            Effect::Leave => {
                self.beat(true, net);
                return Err(Killed);
            }
            Effect::Tell(_) | Effect::GiveUp => None,
        };
        if let Some(event) = event {
            if matches!(event, Event::Deaf(_)) {
                self.process().deaf_at = now;
            }
            self.step(now, event);
        }
        Ok(())
    }

    /// Invariant 7: nobody is taken over because we could not reach the hub.
    fn judge_reclaim(&mut self, claim: ObjectId, net: &Net) {
        let holder = net.hub.get(claim).holder;
        let Some(beat) = net.hub.refs.beats.get(&holder.0) else { return };
        if net.hub.refs.tips.get(&net.hub.get(claim).task) != Some(&claim) || !beat.claims.contains(&claim) {
            return;
        }
        let quiet_from = self.process().deaf_at.max(self.mirror.beats[&holder.0].landed);
        let patience = beat.interval * Time::from(LOST_AFTER);
        assert!(
            net.hub.now >= quiet_from + patience,
            "invariant 7: node {} was held to be lost {} ms after its last sign of life",
            holder.0,
            net.hub.now - quiet_from
        );
    }

    pub(crate) fn fetch(&mut self, net: &mut Net) -> bool {
        let is_up = net.reaches(self.me);
        if is_up {
            net.bill.fetched(&net.hub, self.me, &mut self.seen);
            self.mirror = net.hub.refs.clone();
        }
        is_up
    }

    fn sync(&mut self, net: &mut Net) -> Result<Event, Killed> {
        if !self.fetch(net) {
            return Ok(Event::Deaf(Pause::default()));
        }
        for waiting in self.outbox.clone() {
            if !self.publish(waiting, net)? {
                return Ok(Event::Deaf(Pause::default()));
            }
        }
        if !std::mem::replace(&mut self.process().settled, true) {
            self.recover(net);
        }
        let held = self.process().machine.claims();
        for (_, tip) in self.mirror.tips.clone() {
            let commit = *net.hub.get(tip);
            let is_own = commit.holder == (self.me, self.instance) && commit.phase == Phase::Running;
            let waits = self.outbox.iter().any(|waiting| waiting.claim == tip);
            if is_own && !held.contains(&tip) && !waits && self.is_live(&commit, tip, net) {
                self.release(tip, Reason::Drained, net);
            }
        }
        Ok(Event::Synced(self.view(net)))
    }

    fn is_live(&self, commit: &Commit, tip: ObjectId, net: &Net) -> bool {
        net.hub.standing(&self.mirror, commit.task) == Standing::Claimed(tip)
    }

    fn recover(&mut self, net: &mut Net) {
        for (task, tip) in self.mirror.tips.clone() {
            let commit = *net.hub.get(tip);
            match net.hub.standing(&self.mirror, task) {
                Standing::Claimed(_) => {
                    let is_dead = commit.holder.0 == self.me && commit.holder.1 != self.instance;
                    let waits = self.outbox.iter().any(|waiting| waiting.claim == tip);
                    if commit.phase == Phase::Running && is_dead && !waits {
                        self.release(tip, Reason::Lost, net);
                    }
                }
                Standing::Sealed { leftover: Some(tip), .. } => {
                    self.push(&Edit::Claim { task, old: Some(tip), new: None }, net);
                }
                _ => {}
            }
        }
    }

    /// A push of one edit.
    pub(crate) fn push(&mut self, edit: &Edit, net: &mut Net) -> Answer {
        net.bill.pushed(&net.hub, std::slice::from_ref(edit));
        self.send(edit, net)
    }

    fn send(&mut self, edit: &Edit, net: &mut Net) -> Answer {
        let answer = net.push(self.me, edit);
        if let (Answer::Yes, Edit::Claim { task, new, .. }) = (answer, edit) {
            match new {
                Some(new) => self.mirror.tips.insert(*task, *new),
                None => self.mirror.tips.remove(task),
            };
        }
        answer
    }

    fn beat(&mut self, stopped: bool, net: &mut Net) -> Answer {
        let edit = self.beat_edit(&[], stopped);
        self.push(&edit, net)
    }

    fn beat_edit(&mut self, bids: &[ObjectId], stopped: bool) -> Edit {
        let (instance, node) = (self.instance, self.me);
        let process = self.process();
        process.beat += 1;
        let held = process.running.values().map(|running| running.claim).chain(bids.iter().copied());
        let interval = process.machine.beat_interval().as_millis() as Time;
        let number = (instance, process.beat);
        Edit::Beat { node, beat: Beat { number, claims: held.collect(), interval, stopped, landed: 0 } }
    }

    /// As `node::view` makes it.
    fn view(&self, net: &mut Net) -> View {
        let jitter = net.dice.below(1000) as f64 / 1000.0;
        let hub = &net.hub;
        let mut view = View { jitter, ..View::default() };
        let mut fresh = Vec::new();
        view.fleet = self.mirror.beats.values().filter(|beat| !beat.stopped).count();
        let sign = |mark: String, interval| Sign { mark, patience: Duration::from_millis(interval) * LOST_AFTER };
        for (node, beat) in self.mirror.beats.iter().filter(|(node, _)| **node != self.me) {
            view.beats.push((format!("node {node}"), sign(format!("{:?}", beat.number), beat.interval)));
        }
        for task in 0..net.tasks {
            let claimed = match hub.standing(&self.mirror, task) {
                Standing::Fresh => None,
                Standing::Sealed { .. } => continue,
                Standing::Claimed(tip) => Some(tip),
            };
            view.tips.extend(claimed);
            let Some(tip) = claimed.filter(|tip| hub.get(*tip).phase != Phase::Released) else {
                fresh.push(task);
                continue;
            };
            let commit = hub.get(tip);
            if commit.phase != Phase::Running || commit.holder == (self.me, self.instance) {
                continue;
            }
            let beat = self.mirror.beats.get(&commit.holder.0);
            let mut name = format!("node {}", commit.holder.0);
            if !beat.is_some_and(|beat| beat.claims.contains(&tip)) {
                name = format!("claim {tip}");
                let interval = beat.map_or(HEARTBEAT, |beat| beat.interval);
                view.beats.push((name.clone(), sign(tip.to_string(), interval)));
            }
            view.watched.push((name_of(task), tip, name));
            if taken_away(commit.attempts, Reason::Lost, MAX_ATTEMPTS) == Phase::Released {
                fresh.push(task);
            }
        }
        view.ready = match net.pace.is_spread {
            // A node with no slot free takes nothing, whatever there is.
            true if self.is_full() => Vec::new(),
            true => cost::choice(&net.pace, &fresh, self.me, &self.mirror),
            false => fresh.into_iter().map(name_of).collect(),
        };
        view
    }

    fn is_full(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.running.len() >= process.slots)
    }

    /// One push for all, one sync, and the look again.
    fn claim(&mut self, tasks: &[TaskName], over: &[ObjectId], net: &mut Net) -> Event {
        let mut bids = Vec::new();
        for task in tasks.iter().map(number_of) {
            let parent = match net.hub.standing(&self.mirror, task) {
                Standing::Fresh => None,
                Standing::Claimed(tip) if net.hub.get(tip).phase == Phase::Released || over.contains(&tip) => {
                    Some(tip)
                }
                _ => continue,
            };
            let before = parent.map(|tip| *net.hub.get(tip));
            let from = before.map(|commit| commit.phase);
            let attempts = before.map(|commit| commit.attempts).unwrap_or_default();
            let commit = Commit {
                task,
                phase: Phase::Running,
                reason: None,
                parent,
                attempts: count(attempts, from, Phase::Running, None),
                holder: (self.me, self.instance),
                work: None,
                reopens: None,
            };
            bids.push((task, parent, net.hub.make(commit)));
        }
        let ids: Vec<ObjectId> = bids.iter().map(|(_, _, id)| *id).collect();
        let mut is_refused = !bids.is_empty();
        let mut edits: Vec<Edit> =
            bids.iter().map(|(task, old, id)| Edit::Claim { task: *task, old: *old, new: Some(*id) }).collect();
        edits.push(self.beat_edit(&ids, false));
        net.bill.pushed(&net.hub, &edits);
        for edit in &edits {
            let answer = self.send(edit, net);
            is_refused &= answer == Answer::Unknown || matches!(edit, Edit::Beat { .. });
        }
        if !self.fetch(net) {
            return Event::Deaf(Pause::default());
        }
        let mut won = Vec::new();
        for (task, _, id) in bids {
            match net.hub.standing(&self.mirror, task) {
                Standing::Claimed(tip) if tip == id => won.push((name_of(task), id)),
                Standing::Sealed { leftover: Some(tip), .. } if tip == id => {
                    self.push(&Edit::Claim { task, old: Some(id), new: None }, net);
                }
                _ => {}
            }
        }
        net.bill.won += won.len() as u64;
        Event::Claimed { refused: is_refused && won.is_empty(), won, set_aside: Vec::new() }
    }

    pub(crate) fn following(net: &Net, before: ObjectId, phase: Phase, reason: Option<Reason>) -> Commit {
        let commit = *net.hub.get(before);
        let attempts = count(commit.attempts, Some(commit.phase), phase, reason);
        Commit { phase, reason, parent: Some(before), attempts, work: None, reopens: None, ..commit }
    }

    pub(crate) fn release(&mut self, claim: ObjectId, reason: Reason, net: &mut Net) -> Answer {
        let before = *net.hub.get(claim);
        let phase = taken_away(before.attempts, reason, MAX_ATTEMPTS);
        let commit = Self::following(net, claim, phase, Some(reason));
        let id = net.hub.make(commit);
        self.push(&Edit::Claim { task: before.task, old: Some(claim), new: Some(id) }, net)
    }
}
