//! The loop of `run`: claims for all free slots in one push, starts them, finishes what ends, until nothing is left.
//!
//! One thread a slot waits for its executor; this loop alone speaks to the hub.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::attempt::{Outcome, carry_out};
use super::recover;
use crate::exec::Cancel;
use crate::executor::slot::{Slot, SlotRecord};
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::local::CloneLock;
use crate::hub::nodes::NodeRecord;
use crate::hub::snapshot::Task;
use crate::hub::{Error as HubError, Layout};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::claim::{self, Won};
use crate::protocol::finish::{self, Finished};
use crate::protocol::release::release;
use crate::protocol::{Error, Result, Session};
use crate::task::{Hold, TaskName};

/// How long a `run` waits for the clone's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often in a row a hub may answer without taking a single claim before that counts as a refusal.
const REFUSALS: u32 = 4;

/// What is wanted of a run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The tasks wanted; empty: whatever is next.
    pub tasks: Vec<TaskName>,
    /// How many at once.
    pub slots: usize,
    /// How many in all at most.
    pub max: Option<usize>,
    /// Raised by the first signal: nothing more is claimed.
    pub drain: Cancel,
    /// Raised by the second: what runs is stopped and given back.
    pub stop: Cancel,
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
pub fn lock(session: &Session) -> Result<CloneLock> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        if let Some(lock) = session.state.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= until {
            return Err(Error::AlreadyRunning);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Claims and runs until nothing is claimable.
pub fn run(session: &Session, options: &Options, announce: &dyn Announce) -> Result<Ran> {
    session.sync()?;
    recover::recover(session, announce)?;
    session.sync()?;
    let (sender, receiver) = channel();
    let mut runner = Runner {
        session,
        options,
        announce,
        running: BTreeMap::new(),
        begun: 0,
        beat: 0,
        beat_at: Instant::now(),
        tried: Vec::new(),
        unmoved: 0,
        sender,
        ran: Ran::default(),
    };
    std::thread::scope(|scope| {
        let result = runner.go(scope, &receiver);
        if result.is_err() {
            // Nobody would finish what runs: stop it, so that the threads end; the next start recovers the claims.
            options.stop.raise();
        }
        result
    })?;
    Ok(runner.ran)
}

struct Runner<'a> {
    session: &'a Session,
    options: &'a Options,
    announce: &'a dyn Announce,
    running: BTreeMap<usize, Won>,
    begun: usize,
    beat: u64,
    beat_at: Instant,
    /// Tasks that this run has ended or lost and does not try again.
    tried: Vec<TaskName>,
    /// How often in a row nothing moved on the hub, though it answers.
    unmoved: u32,
    sender: Sender<(usize, Outcome)>,
    ran: Ran,
}

impl<'a> Runner<'a> {
    fn go<'scope>(
        &mut self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        receiver: &Receiver<(usize, Outcome)>,
    ) -> Result<()>
    where
        'a: 'scope,
    {
        loop {
            let started = self.fill(scope)?;
            if self.running.is_empty() && !started {
                break;
            }
            if self.running.is_empty() {
                continue;
            }
            self.wait(receiver)?;
        }
        self.say_goodbye();
        Ok(())
    }

    /// Claims for all free slots in one push and starts what was won; says whether it is worth trying again.
    fn fill<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>) -> Result<bool>
    where
        'a: 'scope,
    {
        let left = self.options.max.map_or(usize::MAX, |max| max.saturating_sub(self.begun));
        let free = (self.options.slots.saturating_sub(self.running.len())).min(left);
        if free == 0 || self.options.drain.is_raised() {
            return Ok(false);
        }
        let snapshot = self.session.snapshot()?;
        let tasks: Vec<TaskName> = snapshot
            .tasks
            .iter()
            .map(Task::name)
            .filter(|name| self.options.tasks.is_empty() || self.options.tasks.contains(name))
            .filter(|name| !self.tried.contains(name))
            .cloned()
            .collect();
        if tasks.is_empty() {
            return Ok(false);
        }
        let wanted =
            claim::Options { tasks, count: free, node: self.session.node.clone(), hold: Hold::Beat, until: None };
        let record = self.record("busy");
        let claimed = claim::claim(self.session, &snapshot, &wanted, Some(record))?;
        for (task, no_base) in &claimed.no_base {
            self.tried.push(task.clone());
            self.announce.happened(&Happened::Note(format!("{task} waits: {no_base}")));
        }
        let moved = !claimed.won.is_empty() || !claimed.lost.is_empty();
        self.unmoved = if claimed.won.is_empty() && !claimed.unmoved.is_empty() { self.unmoved + 1 } else { 0 };
        if self.unmoved == REFUSALS {
            let name = self.session.hub.layout.claim(&claimed.unmoved[0]);
            return Err(HubError::Refused { name }.into());
        }
        for won in claimed.won {
            self.start(scope, won)?;
        }
        let held: Vec<ObjectId> = self.running.values().map(|won| won.claim.id).collect();
        recover::release_late_landings(self.session, &held, self.announce)?;
        Ok(moved)
    }

    fn start<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>, won: Won) -> Result<()>
    where
        'a: 'scope,
    {
        let number = (1..).find(|number| !self.running.contains_key(number)).unwrap_or(1);
        let pin = Layout::slot_base(number);
        let old = self.session.hub.repo.ref_value(&pin);
        if old != Some(won.base.commit) {
            let change = RefChange::new(pin, old, Some(won.base.commit));
            self.session.hub.repo.change_refs(&[change], "git dispatch: base")?;
        }
        self.announce.happened(&Happened::Started {
            task: won.claim.record.task.clone(),
            title: won.spec.record.title.clone(),
            attempt: won.claim.record.attempts.begun,
        });
        self.begun += 1;
        let (session, sender, stop) = (self.session.clone(), self.sender.clone(), self.options.stop.clone());
        self.running.insert(number, won.clone());
        scope.spawn(move || {
            let outcome = carry_out(&session, &won, number, &stop);
            // The loop is gone only when it failed; then the next start recovers.
            let _ = sender.send((number, outcome));
        });
        Ok(())
    }

    /// Waits for a slot to end, beating the while, and finishes what ended.
    fn wait(&mut self, receiver: &Receiver<(usize, Outcome)>) -> Result<()> {
        let heartbeat = *self.session.config.node_settings(self.session.node.as_str()).heartbeat;
        loop {
            let pause = (self.beat_at + heartbeat).saturating_duration_since(Instant::now());
            match receiver.recv_timeout(pause) {
                Ok((number, outcome)) => return self.end(number, outcome),
                Err(RecvTimeoutError::Timeout) => self.send_beat("busy"),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn end(&mut self, number: usize, outcome: Outcome) -> Result<()> {
        let Some(won) = self.running.remove(&number) else {
            return Ok(());
        };
        let task = won.claim.record.task.clone();
        self.ran.tasks.push(task.clone());
        self.tried.push(task.clone());
        match outcome {
            Outcome::Ended(ending) => self.finish(&won, &ending)?,
            Outcome::GivenBack { reason, work } => {
                let answer = release(self.session, &won.claim, reason, work, None)?;
                if !answer.is_yes() {
                    self.announce.happened(&Happened::Note(format!("{task} could not be given back now")));
                }
                self.announce.happened(&Happened::Released { task, reason });
            }
        }
        SlotRecord::remove(&Slot::at(&self.session.work_dir(), number));
        Ok(())
    }

    fn finish(&mut self, won: &Won, ending: &finish::Ending) -> Result<()> {
        let task = won.claim.record.task.clone();
        let waiting = finish::record(self.session, won, ending)?;
        let record = self.record(if self.running.is_empty() { "idle" } else { "busy" });
        self.beat_at = Instant::now();
        match finish::publish(self.session, &waiting, Some(&record))? {
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
            Finished::Waiting => self.announce.happened(&Happened::Waiting { task }),
        }
        Ok(())
    }

    fn announce_completed(&self, won: &Won, ending: &finish::Ending) {
        let result = ending.result.unwrap_or(won.base.commit);
        let changed = self.session.hub.repo.changed(won.base.commit, result).unwrap_or_default();
        self.announce.happened(&Happened::Completed {
            task: won.claim.record.task.clone(),
            files: changed.paths.len() as u64,
            lines: (changed.added, changed.removed),
            took: ending.took,
        });
    }

    /// What this node says of itself now; beats are numbered, so that none is like another.
    fn record(&mut self, state: &str) -> NodeRecord {
        self.beat += 1;
        let session = self.session;
        let settings = session.config.node_settings(session.node.as_str());
        let offer = crate::protocol::pick::offer(session, &session.node, false);
        NodeRecord {
            v: 1,
            name: session.node.to_string(),
            clone: session.state.clone_id.clone(),
            instance: session.state.instance.clone(),
            host: session.ambient.host(),
            slots: self.options.slots as u32,
            labels: settings.labels,
            executors: offer.executors.into_iter().collect(),
            mode: format!("{:?}", settings.mode).to_lowercase(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            beat_seconds: settings.heartbeat.as_secs(),
            state: state.to_owned(),
            claims: self.running.values().map(|won| won.claim.id.to_string()).collect(),
            beat_at: session.ambient.now().to_string(),
            beat: self.beat,
        }
    }

    /// A beat that is lost is followed by the next; it decides nothing by itself.
    fn send_beat(&mut self, state: &str) {
        self.beat_at = Instant::now();
        let record = self.record(state);
        let session = self.session;
        let edit = session.hub.beat(&session.node, &record, &[], &session.by, &session.ambient);
        if let Ok(edit) = edit {
            let _: std::result::Result<_, HubError> = session.hub.publish(&[edit]);
        }
    }

    /// A node told to stop, or with nothing left, stays listed as stopped. One that never began says nothing.
    fn say_goodbye(&mut self) {
        if self.begun > 0 {
            self.send_beat("stopped");
        }
    }
}
