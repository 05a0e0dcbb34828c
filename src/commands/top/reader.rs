//! Reads the hub for `top`, and does what was asked and confirmed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::exec::Cancel;
use crate::hub::format::spec::FILE;
use crate::hub::history::Histories;
use crate::hub::snapshot::Task;
use crate::protocol::announce::Silent;
use crate::protocol::collect::{self, Options};
use crate::protocol::notify::Notifying;
use crate::protocol::overview::{Overview, overview};
use crate::protocol::pause::{Who, set_paused};
use crate::protocol::why::Lookout;
use crate::protocol::{Result, Session, cancel, logs, retry};
use crate::task::TaskName;
use crate::task::text::settled;
use crate::ui::format::plain;
use crate::ui::json;
use crate::ui::top::{Act, Ask, Input};

/// How many bytes of a task's output are shown.
const OUTPUT: usize = 64 << 10;

/// Reads the hub.
pub(super) struct Reader {
    /// For what changes something: with as much time as any command has.
    session: Session,
    /// For looking: a hub that does not answer must not hold the screen up.
    looking: Session,
    offline: bool,
    cancel: Cancel,
}

impl Reader {
    pub(super) fn new(session: Session, offline: bool, cancel: Cancel) -> Self {
        let mut looking = session.clone();
        looking.hub.deadline = *session.config.sync_timeout;
        let offline = offline || session.hub.is_embedded();
        Self { session, looking, offline, cancel }
    }

    /// Reads again and again, until nobody listens any more.
    pub(super) fn run(&self, asked: &Receiver<Ask>, tell: &Sender<Input>) {
        let settings = self.session.config.node_settings(self.session.node.as_str());
        let (mut pause, mut due) = (Duration::ZERO, Instant::now());
        let mut last = Overview::default();
        loop {
            match asked.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(ask) => {
                    // What is only looked at is here already: the hub is read at its own pace.
                    let is_here = matches!(ask, Ask::Open(_));
                    if self.answer(ask).is_some_and(|input| tell.send(input).is_err()) {
                        return;
                    }
                    if is_here {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let first = last == Overview::default();
            let fleet = self.read();
            pause = match is_same(&fleet, &last) && !first {
                true => pause.mul_f64(1.5).clamp(*settings.poll, *settings.poll_max),
                false => *settings.poll,
            };
            due = Instant::now() + pause;
            last.clone_from(&fleet);
            let input =
                [Input::Fleet(Box::new(fleet))].into_iter().chain(first.then(|| Input::Said(String::new())));
            for input in input {
                if tell.send(input).is_err() {
                    return;
                }
            }
        }
    }

    fn read(&self) -> Overview {
        let away = if self.offline { None } else { self.sync() };
        let read = || overview(&self.session, &self.session.snapshot()?);
        match read() {
            Ok(fleet) => Overview { away, ..fleet },
            Err(error) => {
                Overview { at: self.session.ambient.now(), away: Some(error.to_string()), ..Overview::default() }
            }
        }
    }

    /// Reads the hub; why that did not work, if so.
    fn sync(&self) -> Option<String> {
        match self.looking.sync_leniently(None) {
            Ok(synced) => synced.memory_lost.map(|detail| format!("it has lost its memory ({detail})")),
            Err(error) => Some(error.to_string()),
        }
    }

    fn answer(&self, ask: Ask) -> Option<Input> {
        match ask {
            Ask::Quit | Ask::Read => None,
            Ask::Open(name) => Some(match self.opened(&name) {
                Ok(text) => Input::Task(name, text),
                Err(error) => Input::Said(error.to_string()),
            }),
            Ask::Do(act) => Some(Input::Said(self.done(&act).unwrap_or_else(|error| format!("{act}: {error}")))),
        }
    }

    fn done(&self, act: &Act) -> Result<String> {
        let session = &self.session;
        let task = |name: &String| Ok::<_, crate::protocol::Error>([TaskName::parse(name)?]);
        match act {
            Act::Retry(name) => {
                session.sync()?;
                retry::retry(session, &task(name)?)?;
                Ok(format!("{name} is pending again"))
            }
            Act::Cancel(name) => {
                session.sync()?;
                cancel::cancel(session, &task(name)?)?;
                Ok(format!("cancelled {name}"))
            }
            Act::Pause(pause) => {
                set_paused(session, &Who::All, *pause)?;
                Ok(format!("the fleet is {}", if *pause { "paused" } else { "resumed" }))
            }
            Act::Collect => {
                let options = Options { cancel: self.cancel.clone(), ..Options::default() };
                let announce = Notifying::start(session, Silent);
                let collected = collect::collect(session, &options, &announce)?;
                let merged: usize = collected.iter().map(|one| one.merged.len()).sum();
                let conflicts: usize = collected.iter().map(|one| one.conflicts.len()).sum();
                let rejected: usize = collected.iter().map(|one| one.rejected.len()).sum();
                Ok(format!("{merged} merged, {conflicts} conflicting, {rejected} rejected"))
            }
        }
    }

    /// Everything of one task, as lines.
    fn opened(&self, name: &str) -> Result<Vec<String>> {
        let session = &self.session;
        let snapshot = session.snapshot()?;
        let Some(task) = snapshot.get(&TaskName::parse(name)?) else { return Ok(Vec::new()) };
        let mut lines = vec![task.spec.record.title.clone(), String::new()];
        for reason in Lookout::new(session, &snapshot)?.waits_for(task) {
            lines.push(format!("not running   {reason}"));
        }
        lines.extend(fields(session, task));
        lines.extend([String::new(), "EVENTS".to_owned()]);
        for event in Histories::load_for(&session.hub, task)?.of(&session.hub, task) {
            let attempt = event.attempt.map(|attempt| format!(" attempt {attempt}")).unwrap_or_default();
            let node = event.node.map(|node| format!(" on {node}")).unwrap_or_default();
            let reason = event.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let error = event.error.map(|error| format!(" {error}")).unwrap_or_default();
            lines.push(format!("  {}  {}{attempt}{node}{reason}{error}", event.at, event.event));
        }
        let text = session.hub.repo.file_in(task.spec.id, FILE).unwrap_or_default();
        lines.extend([String::new(), "SPEC".to_owned()]);
        lines.extend(String::from_utf8_lossy(&text).lines().map(|line| format!("  {line}")));
        if let Ok(output) = logs::find(session, &snapshot, task.name(), None) {
            let text = &output.text[output.text.len().saturating_sub(OUTPUT)..];
            lines.extend([String::new(), format!("OUTPUT of attempt {} on {}", output.attempt, output.node)]);
            lines.extend(String::from_utf8_lossy(text).lines().map(|line| format!("  {}", settled(line))));
        }
        Ok(lines)
    }
}

/// The fields of a task that hold something.
fn fields(session: &Session, task: &Task) -> Vec<String> {
    const FIELDS: &[&str] = &[
        "state",
        "reason",
        "error",
        "node",
        "attempt",
        "priority",
        "executor",
        "labels",
        "depends_on",
        "modifies",
        "target",
        "branch",
        "result",
        "merge_commit",
        "conflict_files",
        "repair",
        "hold_until",
        "outside_modifies",
    ];
    let document = json::task(session, task);
    let filled = FIELDS.iter().map(|key| (key, plain(&document[*key]))).filter(|(_, value)| !value.is_empty());
    filled.map(|(key, value)| format!("{:13} {value}", key.replace('_', " "))).collect()
}

/// Whether nothing but the time differs.
fn is_same(one: &Overview, other: &Overview) -> bool {
    let still = |fleet: &Overview| Overview { at: other.at, synced_at: None, empty_in: None, ..fleet.clone() };
    still(one) == still(other)
}
