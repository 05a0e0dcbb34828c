//! The loop of `run`: carries the machine's effects out and brings events back.
//!
//! One thread a slot waits for its executor; this loop alone speaks to the hub, so that a beat is sent only by the one
//! who supervises the executors. It decides nothing: what to do next is `machine`'s.

mod beat;
mod memory;
mod tell;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::attempt::{Outcome, carry_out};
use super::hint::Hints;
use super::machine::{Effect, Event, Machine, Settings, View};
use super::pool::Share;
use super::recover;
use super::view::view;
use crate::exec::{Cancel, Signals};
use crate::executor::slot::{Slot, SlotRecord};
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::local::CloneLock;
use crate::hub::snapshot::read_claim;
use crate::hub::{Layout, outbox};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::claim::{self, Won};
use crate::protocol::finish::{self, Ending, Finished};
use crate::protocol::release::release;
use crate::protocol::takeover;
use crate::protocol::{Error, Result, Session};
use crate::task::{Hold, Phase, Reason, TaskName};

/// How long a `run` waits for the clone's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What is wanted of a run.
#[derive(Clone, Default)]
pub struct Options {
    /// The tasks wanted; empty: whatever is next.
    pub tasks: Vec<TaskName>,
    /// How many at once.
    pub slots: usize,
    /// How many in all at most.
    pub max: Option<usize>,
    /// Whether to stay when nothing is left.
    pub watch: bool,
    /// The slots that are shared with other clones.
    pub share: Option<Share>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// The tasks whose attempts ended here, in order of their ends.
    pub tasks: Vec<TaskName>,
    /// How many of them failed, or were fenced off.
    pub failed: usize,
}

/// Takes the clone's lock, waiting a while for another run that is about to end.
pub fn lock(session: &Session, cancel: &Cancel) -> Result<CloneLock> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        if let Some(lock) = session.state.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= until || cancel.wait_for(Duration::from_millis(50)) {
            return Err(Error::AlreadyRunning);
        }
    }
}

/// What reaches the loop from outside.
enum Message {
    Ended(usize, Box<Outcome>),
    Signal(u32),
    Hint,
}

/// Claims and runs until nothing is claimable; for good, with `watch`.
pub fn run(session: &Session, options: &Options, signals: &Signals, announce: &dyn Announce) -> Result<Ran> {
    let settled = match first_look(session, announce) {
        Ok(()) => true,
        Err(error) if options.watch && error.is_unreachable() => false,
        Err(error) => return Err(error),
    };
    let (sender, receiver) = channel();
    let on_signal = sender.clone();
    signals.on_signal(move |number, _| drop(on_signal.send(Message::Signal(number))));
    let on_hint = sender.clone();
    if let Some(share) = &options.share {
        let on_free = sender.clone();
        share.on_free(move || drop(on_free.send(Message::Hint)));
    }
    // Kept alive to the end: dropping it ends the watching.
    let _hints = options.watch.then(|| Hints::watch(session, move || drop(on_hint.send(Message::Hint))));
    let settings = session.config.node_settings(session.node.as_str());
    let (machine, effects) = Machine::new(Settings {
        slots: options.slots,
        max: options.max,
        watch: options.watch,
        poll: *settings.poll,
        poll_max: *settings.poll_max,
        heartbeat: *settings.heartbeat,
        max_beats_per_minute: session.config.max_beats_per_minute,
    });
    let mut daemon = Daemon {
        session,
        options,
        announce,
        machine,
        started: Instant::now(),
        work: effects.into(),
        won: HashMap::new(),
        running: BTreeMap::new(),
        ended: BTreeMap::new(),
        beat: 0,
        has_begun: options.watch,
        lost_memory: None,
        settled,
        resting: BTreeMap::new(),
        complaint: None,
        sender,
        ran: Ran::default(),
    };
    std::thread::scope(|scope| {
        let result = daemon.go(scope, &receiver);
        if result.is_err() {
            // Nobody would finish what runs: stop it, so that the threads end; the next start recovers the claims.
            daemon.running.values().for_each(|running| running.stop.raise());
        }
        result
    })?;
    Ok(daemon.ran)
}

/// Settles what an earlier start left, before anything is claimed.
fn first_look(session: &Session, announce: &dyn Announce) -> Result<()> {
    session.sync()?;
    refuse_taken_name(session)?;
    recover::recover(session, announce)
}

/// Refuses a name under which another clone lives: two nodes of one name would take each other's beats for their own.
fn refuse_taken_name(session: &Session) -> Result<()> {
    let snapshot = session.snapshot()?;
    let nodes = crate::protocol::nodes::nodes(session, &snapshot)?;
    let other = nodes.iter().find(|node| {
        node.record.name == session.node.as_str()
            && node.record.clone != session.state.clone_id
            && !matches!(node.state.as_str(), "lost" | "stopped")
    });
    match other {
        Some(node) => Err(Error::NameTaken { node: session.node.to_string(), host: node.record.host.clone() }),
        None => Ok(()),
    }
}

struct Running {
    won: Won,
    stop: Cancel,
}

struct Daemon<'a> {
    session: &'a Session,
    options: &'a Options,
    announce: &'a dyn Announce,
    machine: Machine,
    started: Instant,
    work: VecDeque<Effect>,
    /// What was won and is about to be started.
    won: HashMap<ObjectId, Won>,
    running: BTreeMap<usize, Running>,
    ended: BTreeMap<usize, Outcome>,
    beat: u64,
    has_begun: bool,
    /// What the hub was last said to have lost.
    lost_memory: Option<String>,
    /// Whether what an earlier start left has been settled: before that, nothing is claimed.
    settled: bool,
    /// The executors that are out of quota, and until when they are left alone.
    resting: BTreeMap<String, Instant>,
    /// What a hub that turns this clone away said last.
    complaint: Option<String>,
    sender: Sender<Message>,
    ran: Ran,
}

impl<'a> Daemon<'a> {
    fn go<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, receiver: &Receiver<Message>) -> Result<()>
    where
        'a: 'scope,
    {
        loop {
            while let Some(effect) = self.work.pop_front() {
                if effect == Effect::Leave {
                    self.say_goodbye();
                    return Ok(());
                }
                if let Some(event) = self.carry_out(scope, effect)? {
                    self.step(event);
                }
            }
            let pause = self.machine.due().saturating_sub(self.started.elapsed());
            match receiver.recv_timeout(pause) {
                Ok(Message::Ended(slot, outcome)) => {
                    self.ended.insert(slot, *outcome);
                    self.step(Event::Ended { slot });
                }
                Ok(Message::Signal(number)) => self.step(Event::Signal(number)),
                Ok(Message::Hint) => self.step(Event::Hint),
                Err(RecvTimeoutError::Timeout) => self.step(Event::Time),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn step(&mut self, event: Event) {
        if let (Event::Deaf(_), Some(share)) = (&event, &self.options.share) {
            share.want_nothing();
        }
        let effects = self.machine.step(self.started.elapsed(), event);
        self.work.extend(effects);
        let is_claiming = self.work.iter().any(|effect| matches!(effect, Effect::Claim { .. }));
        // What was given for claims that are not made, or that were lost, or have ended, is free for others.
        if let Some(share) = self.options.share.as_ref().filter(|_| !is_claiming) {
            share.hold(self.machine.claims().len());
        }
    }

    fn carry_out<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, effect: Effect) -> Result<Option<Event>>
    where
        'a: 'scope,
    {
        match effect {
            Effect::Sync => self.or_deaf(Self::sync).map(Some),
            Effect::Look => self.or_deaf(Self::look).map(Some),
            Effect::Claim { tasks, over } => self.or_deaf(|daemon| daemon.claim(tasks, over)).map(Some),
            Effect::Start { slot, claim, .. } => self.start(scope, slot, claim).map(|()| None),
            Effect::Stop { slot } => {
                if let Some(running) = self.running.get(&slot) {
                    running.stop.raise();
                }
                Ok(None)
            }
            Effect::Settle { slot } => self.settle(slot),
            Effect::Reclaim(claims) => self.reclaim(&claims).map(|()| None),
            Effect::Beat => Ok((!self.send_beat()).then_some(Event::Mute)),
            Effect::Tell(said) => {
                self.announce.happened(&Happened::Note(self.text(said)));
                Ok(None)
            }
            Effect::GiveUp => Err(self.session.hub.refused(self.session.hub.layout.claims()).into()),
            Effect::Leave => Ok(None),
        }
    }

    fn sync(&mut self) -> Result<Event> {
        let event = self.sync_and_settle()?;
        self.lost_memory = None;
        Ok(event)
    }

    fn sync_and_settle(&mut self) -> Result<Event> {
        if self.settled {
            self.session.sync()?;
        } else {
            first_look(self.session, self.announce)?;
            self.settled = true;
        }
        let (waiting, _) = outbox::list(&self.session.state)?;
        if waiting.iter().any(|waiting| waiting.is_open() && !self.is_ending(&waiting.claim)) {
            finish::flush(self.session, self.announce)?;
        }
        self.release_late_landings()?;
        Ok(Event::Synced(self.view()?))
    }

    fn look(&mut self) -> Result<Event> {
        // A task that we lost may have gone to a claim of our own that landed late.
        self.release_late_landings()?;
        Ok(Event::Looked(self.view()?))
    }

    fn release_late_landings(&self) -> Result<()> {
        recover::release_late_landings(self.session, &self.held_claims(), self.announce)
    }

    fn is_ending(&self, claim: &str) -> bool {
        self.running.values().any(|running| claim == running.won.claim.id.to_string().as_str())
    }

    fn view(&self) -> Result<View> {
        let mut view = view(self.session, &self.session.snapshot()?, &self.options.tasks, &self.resting())?;
        if let Some(share) = &self.options.share {
            view.allowed = Some(share.ask(self.machine.room(self.started.elapsed(), &view)));
        }
        Ok(view)
    }

    fn claim(&mut self, tasks: Vec<TaskName>, over: Vec<ObjectId>) -> Result<Event> {
        let snapshot = self.session.snapshot()?;
        let wanted = claim::Options {
            count: tasks.len(),
            tasks: tasks.into_iter().collect(),
            node: self.session.node.clone(),
            hold: Hold::Beat,
            until: None,
            over,
        };
        let record = self.record("busy");
        let claimed = claim::claim(self.session, &snapshot, &wanted, Some(record))?;
        for (task, no_base) in &claimed.no_base {
            if !self.options.watch {
                self.announce.happened(&Happened::Note(format!("{task} waits: {no_base}")));
            }
        }
        takeover::tell(self.session, &claimed.won, self.announce);
        // What was not even tried (nothing to build on, nothing to run) is no use trying again as things stand.
        let is_tried = |task: &TaskName| {
            claimed.lost.contains(task) || claimed.won.iter().any(|won| won.claim.record.task == *task)
        };
        let set_aside = wanted.tasks.iter().filter(|task| !is_tried(task)).cloned().collect();
        let refused = claimed.won.is_empty() && !claimed.unmoved.is_empty();
        let won = claimed.won.iter().map(|won| (won.claim.record.task.clone(), won.claim.id)).collect();
        self.won.extend(claimed.won.into_iter().map(|won| (won.claim.id, won)));
        Ok(Event::Claimed { won, set_aside, refused })
    }

    fn start<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, slot: usize, claim: ObjectId) -> Result<()>
    where
        'a: 'scope,
    {
        let Some(won) = self.won.remove(&claim) else { return Ok(()) };
        let repo = &self.session.hub.repo;
        let pin = Layout::slot_base(slot);
        let old = repo.ref_value(&pin);
        if old != Some(won.base.commit) {
            repo.change_refs(&[RefChange::new(pin, old, Some(won.base.commit))], "git dispatch: base")?;
        }
        self.announce.happened(&Happened::Started {
            task: won.claim.record.task.clone(),
            title: won.spec.record.title.clone(),
            attempt: won.claim.record.attempts.begun,
        });
        self.has_begun = true;
        let stop = Cancel::new();
        self.running.insert(slot, Running { won: won.clone(), stop: stop.clone() });
        let (session, sender) = (self.session.clone(), self.sender.clone());
        scope.spawn(move || {
            let outcome = Box::new(carry_out(&session, &won, slot, &stop));
            // The loop is gone only when it failed; then the next start recovers.
            let _ = sender.send(Message::Ended(slot, outcome));
        });
        Ok(())
    }

    /// Publishes what ended in a slot, or gives it back.
    fn settle(&mut self, slot: usize) -> Result<Option<Event>> {
        let (Some(running), Some(outcome)) = (self.running.remove(&slot), self.ended.remove(&slot)) else {
            return Ok(None);
        };
        let won = running.won;
        self.ran.tasks.push(won.claim.record.task.clone());
        let (well, took) = match outcome {
            Outcome::Ended(ending) => (self.finish(&won, &ending)?, ending.took),
            Outcome::GivenBack { reason, work, rest, withheld } => {
                if let Some(why) = withheld {
                    let text = format!("{}: {why}", won.claim.record.task);
                    self.announce.happened(&Happened::Note(text));
                }
                if let Some((executor, rest)) = rest {
                    self.leave_alone(executor, rest);
                }
                self.give_back(&won, reason, work)?;
                (true, Duration::ZERO)
            }
        };
        SlotRecord::remove(&Slot::at(&self.session.work_dir(), slot));
        Ok(Some(Event::Settled { slot, well, took }))
    }

    /// Says whether the attempt went well.
    fn finish(&mut self, won: &Won, ending: &Ending) -> Result<bool> {
        let task = won.claim.record.task.clone();
        let waiting = finish::record(self.session, won, ending)?;
        let record = self.record(if self.running.is_empty() { "idle" } else { "busy" });
        let finished = match &self.lost_memory {
            // Its claim is not there, and its branch alone would be of no use.
            Some(_) => Ok(Finished::Waiting),
            None => finish::publish(self.session, &waiting, Some(&record)),
        };
        let finished = finished.unwrap_or_else(|error| {
            // The result is in the outbox: nothing is lost, and what else runs goes on.
            self.announce.happened(&Happened::Note(format!("{task} could not be published now: {error}")));
            Finished::Waiting
        });
        match finished {
            Finished::Published => match ending.reason {
                None => self.announce_completed(won, ending),
                Some(reason) => {
                    self.ran.failed += 1;
                    let error = ending.error.clone().unwrap_or_default();
                    self.announce.happened(&Happened::Failed { task, reason, error });
                }
            },
            Finished::Fenced { why, kept } => {
                self.ran.failed += 1;
                self.announce.happened(&Happened::Fenced { task, why, kept });
            }
            Finished::Refused { why } => {
                self.ran.failed += 1;
                self.announce.happened(&Happened::Failed { task, reason: Reason::Publish, error: why });
            }
            Finished::Waiting => self.announce.happened(&Happened::Waiting { task }),
        }
        Ok(ending.reason.is_none())
    }

    /// The executors that are left alone now.
    fn resting(&self) -> BTreeSet<String> {
        let now = Instant::now();
        self.resting.iter().filter(|(_, until)| **until > now).map(|(name, _)| name.clone()).collect()
    }

    /// Starts nothing on an executor for a while.
    fn leave_alone(&mut self, executor: String, rest: Duration) {
        let text =
            format!("executor {executor} is out of quota: left alone for {}", crate::config::Dur::from(rest));
        self.announce.happened(&Happened::Note(text));
        self.resting.insert(executor, Instant::now() + rest);
    }

    /// Gives an attempt back. What was taken away meanwhile is somebody else's: its work is kept.
    fn give_back(&mut self, won: &Won, reason: Reason, work: Option<ObjectId>) -> Result<()> {
        let task = won.claim.record.task.clone();
        let answer = match release(self.session, &won.claim, reason, work, None) {
            Ok(answer) => answer,
            // The next start of this clone recovers it, and others do by its silence. What else runs goes on.
            Err(error) => {
                self.announce.happened(&Happened::Note(format!("{task} could not be given back: {error}")));
                return Ok(());
            }
        };
        if answer.is_yes() {
            self.session.hub.unpin_result(&won.claim.id.to_string())?;
            self.announce.happened(&Happened::Released { task, reason });
            return Ok(());
        }
        self.ran.failed += 1;
        let kept = self.keep(won, work)?;
        let why = "it was cancelled or taken over while it ran".to_owned();
        self.announce.happened(&Happened::Fenced { task, why, kept });
        Ok(())
    }

    fn keep(&self, won: &Won, work: Option<ObjectId>) -> Result<Option<String>> {
        let Some(work) = work else { return Ok(None) };
        let record = &won.claim.record;
        let name = self.session.hub.layout.attempt(&record.task, record.attempts.begun, self.session.node.as_str());
        let edit = crate::hub::Edit::new(name.clone(), None, Some(work));
        // Where the hub does not take it, the pin stays, and with it the work.
        let pin = Layout::result(&won.claim.id.to_string());
        if self.session.hub.publish(&[edit]).is_ok_and(|answers| answers[0].is_yes()) {
            self.session.hub.unpin_result(&won.claim.id.to_string())?;
            return Ok(Some(name));
        }
        Ok(Some(pin))
    }

    /// Takes claims back whose nodes are lost. Somebody else may be doing the same: one of us gets each.
    fn reclaim(&self, claims: &[(TaskName, ObjectId)]) -> Result<()> {
        for (task, id) in claims {
            let Ok(claim) = read_claim(&self.session.hub.repo, *id) else { continue };
            let node = claim.record.node.clone().unwrap_or_default();
            let (reason, why) = match (claim.record.phase, claim.record.hold) {
                (Phase::Assigned, _) => (Reason::Stale, format!("{node} did not begin in time")),
                (_, Some(Hold::Beat)) => (Reason::Lost, format!("its node {node} gave no sign of life")),
                _ => (Reason::Lost, "the time that it was held for is over".to_owned()),
            };
            match release(self.session, &claim, reason, None, Some(&why)) {
                Ok(answer) if answer.is_yes() => {
                    self.announce.happened(&Happened::Released { task: task.clone(), reason });
                }
                Ok(_) => {}
                Err(error) if error.is_unreachable() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
