//! Issue: what a forge tells of an issue becomes a task, replaces its pending spec, or calls it off.
//!
//! Owns who is believed (`[trust]`, DESIGN.md 7) and what each event does to a task in each state. What counts is what the
//! event says of the issue, and what the queue says of the task: one that is delivered twice does nothing, and of two texts the
//! newer is in force, by the forge's own clock, in whichever order they come.

use super::bundle::{Refused, refuse_away};
use super::cancel::cancel;
use super::enqueue::{self, Entry, enqueue};
use super::error::{Error, Result};
use super::retry::retry;
use super::session::Session;
use crate::config::model::TrustSettings;
use crate::git::ObjectId;
use crate::hub::Error as HubError;
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::Task;
use crate::task::issue::{Did, IssueError, IssueEvent, as_of, is_same};
use crate::task::name::NameKind;
use crate::task::spec::Defaults;
use crate::task::text::excerpt;
use crate::task::{Name, State, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 10;

/// How much of a forge's text stands in a reason, in characters.
const SHOWN: usize = 60;

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        Self::Issue(Box::new(error))
    }
}

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The task is on the queue.
    Enqueued(Option<ObjectId>),
    /// Its pending spec was replaced.
    Replaced(Option<ObjectId>),
    /// It had been called off or had failed, and is pending again.
    Reopened,
    /// It was called off.
    Cancelled,
    /// Nothing, and why.
    Skipped(String),
}

/// The task of an issue.
pub fn task_of(session: &Session, event: &IssueEvent) -> Result<TaskName> {
    Ok(TaskName { project: session.project.clone(), id: Name::new(NameKind::Task, &event.id())? })
}

/// Does what an event asks for; with `dry_run`, only says what that would be.
pub fn take(session: &Session, event: &IssueEvent, dry_run: bool) -> Result<Done> {
    refuse_away(session, Refused::NoEnqueue)?;
    let task = task_of(session, event)?;
    if let Some(why) = without_effect(event).or_else(|| not_believed(&session.config.trust, event)) {
        return Ok(Done::Skipped(why));
    }
    if event.did == Did::Closed {
        return close(session, &task, event, dry_run);
    }
    let bytes = event.to_spec(&task);
    let defaults = Defaults { project: session.project.clone(), id: None };
    let entry = Entry::read(format!("issue {}", event.number), bytes, &defaults)?;
    put(session, &task, event, &entry, dry_run)
}

/// Says why an event changes nothing, whoever sent it.
fn without_effect(event: &IssueEvent) -> Option<String> {
    match &event.did {
        _ if event.is_pull_request => Some("it is a pull request".to_owned()),
        Did::Other(action) => Some(format!("`{}` changes nothing here", excerpt(action, SHOWN))),
        Did::Closed => None,
        // Whoever can read the repository can read the queue.
        _ if event.is_confidential => Some("the issue is confidential, and the queue is not".to_owned()),
        _ if event.is_closed => Some("the issue is closed".to_owned()),
        _ => None,
    }
}

/// Says why an event is not believed: both who wrote the issue and who did this to it must be listed, and the issue must
/// have the labels. To call a task off, it is enough to be listed.
fn not_believed(trust: &TrustSettings, event: &IssueEvent) -> Option<String> {
    let is_listed = |login: &String| trust.issue_authors.iter().any(|known| known.eq_ignore_ascii_case(login));
    if trust.issue_authors.is_empty() {
        return Some("`trust.issue_authors` names nobody".to_owned());
    }
    let unlisted = |login: &String| format!("`{}` is not in `trust.issue_authors`", excerpt(login, SHOWN));
    let author = match &event.author {
        Some(author) if is_listed(author) => None,
        Some(author) => Some(unlisted(author)),
        None => Some("the event does not say who wrote the issue".to_owned()),
    };
    let sender = event.sender.as_ref().filter(|sender| !is_listed(sender)).map(unlisted);
    if event.did == Did::Closed {
        return if event.sender.is_some() { sender } else { author };
    }
    let lacks = trust.issue_labels.iter().find(|label| !event.labels.contains(label));
    author
        .or(sender)
        .or_else(|| lacks.map(|label| format!("the issue lacks the label `{}`", excerpt(label, SHOWN))))
}

/// The spec in force.
fn text_of(session: &Session, task: &Task) -> Vec<u8> {
    session.hub.repo.file_in(task.spec.id, FILE).unwrap_or_default()
}

/// Says whether an event saw the issue as it was before the text on the queue.
fn is_older(event: &IssueEvent, known: &[u8]) -> bool {
    event.updated_at.zip(as_of(known)).is_some_and(|(seen, known)| seen < known)
}

fn close(session: &Session, task: &TaskName, event: &IssueEvent, dry_run: bool) -> Result<Done> {
    session.sync()?;
    let snapshot = session.snapshot()?;
    let skipped = |why: &str| Ok(Done::Skipped(why.to_owned()));
    let known = snapshot.get(task);
    if known.is_some_and(|known| is_older(event, &text_of(session, known))) {
        return skipped("an older event: the issue was reopened or changed since");
    }
    match known.map(Task::state) {
        None => return skipped("it is not queued"),
        Some(State::Cancelled) => return skipped("it is cancelled already"),
        Some(State::Merged) => return skipped("it is merged"),
        Some(_) if dry_run => return Ok(Done::Cancelled),
        Some(_) => {}
    }
    match cancel(session, std::slice::from_ref(task)) {
        Ok(_) => Ok(Done::Cancelled),
        Err(Error::TooLate { what, .. }) => Ok(Done::Skipped(format!("it {what}"))),
        Err(error) => Err(error),
    }
}

fn put(session: &Session, task: &TaskName, event: &IssueEvent, entry: &Entry, dry_run: bool) -> Result<Done> {
    let mut reopened = false;
    for _ in 0..TRIES {
        session.sync()?;
        let snapshot = session.snapshot()?;
        let known = snapshot.get(task);
        let text = known.map(|known| text_of(session, known)).unwrap_or_default();
        let is_same = known.is_some() && is_same(&text, &entry.bytes);
        let replaces = match known.map(Task::state) {
            None => false,
            Some(State::Pending | State::Cancelled | State::Failed) if is_older(event, &text) => {
                return Ok(Done::Skipped("an older event: a newer text is on the queue".to_owned()));
            }
            Some(State::Cancelled | State::Failed) if event.did == Did::Reopened => {
                if dry_run {
                    return Ok(Done::Reopened);
                }
                retry(session, std::slice::from_ref(task))?;
                reopened = true;
                continue;
            }
            Some(State::Pending) if text == entry.bytes && reopened => return Ok(Done::Reopened),
            // From now on it is as of this, and an event from before changes nothing.
            Some(State::Pending) if is_same && reopened => true,
            Some(State::Cancelled) => {
                return Ok(Done::Skipped("it is cancelled; reopening the issue queues it again".to_owned()));
            }
            Some(_) if is_same => return Ok(Done::Skipped("already queued".to_owned())),
            Some(State::Pending) => true,
            Some(state) => return Ok(Done::Skipped(format!("it is {state}: too late for another text"))),
        };
        let done = |spec| match replaces {
            true if is_same => Done::Reopened,
            true => Done::Replaced(spec),
            false => Done::Enqueued(spec),
        };
        if dry_run {
            return Ok(done(None));
        }
        let options = enqueue::Options { replace: replaces, ..enqueue::Options::default() };
        match enqueue(session, std::slice::from_ref(entry), options) {
            Ok(enqueued) => {
                return Ok(done(
                    enqueued.enqueued.into_iter().find(|(name, _)| name == task).map(|(_, spec)| spec),
                ));
            }
            // It moved at this moment: what it is now decides.
            Err(Error::Exists { .. } | Error::ReplaceTooLate { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(HubError::Busy { name: session.hub.layout.queue(), tries: TRIES }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(authors: &[&str], labels: &[&str]) -> TrustSettings {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        TrustSettings {
            signed: false,
            allowed_signers: None,
            issue_authors: owned(authors),
            issue_labels: owned(labels),
        }
    }

    fn event(did: Did, author: Option<&str>, sender: Option<&str>, labels: &[&str]) -> IssueEvent {
        IssueEvent {
            did,
            number: 7,
            title: String::new(),
            body: String::new(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            author: author.map(str::to_owned),
            sender: sender.map(str::to_owned),
            is_closed: false,
            is_confidential: false,
            is_pull_request: false,
            url: None,
            updated_at: None,
        }
    }

    #[test]
    fn author_and_sender_must_be_listed_and_the_labels_there() {
        let told = |trust: &TrustSettings, event: &IssueEvent| not_believed(trust, event).unwrap_or_default();
        let changed = |author, sender, labels: &[&str]| event(Did::Changed, author, sender, labels);
        let ann = trust(&["Ann"], &[]);
        assert_eq!(told(&ann, &changed(Some("ann"), Some("ANN"), &[])), "");
        assert_eq!(told(&ann, &changed(Some("ann"), None, &[])), "");
        assert_eq!(told(&ann, &changed(Some("eve"), Some("ann"), &[])), "`eve` is not in `trust.issue_authors`");
        assert_eq!(
            told(&ann, &changed(Some("ann"), Some("e\u{1b}"), &[])),
            "`e\\u{1b}` is not in `trust.issue_authors`"
        );
        assert!(told(&ann, &changed(None, Some("ann"), &[])).contains("does not say who wrote"));
        assert!(told(&trust(&[], &[]), &changed(Some("ann"), Some("ann"), &[])).contains("names nobody"));
        let labelled = trust(&["ann"], &["dispatch", "ok"]);
        assert!(told(&labelled, &changed(Some("ann"), Some("ann"), &["dispatch"])).contains("`ok`"));
        assert_eq!(told(&labelled, &changed(Some("ann"), Some("ann"), &["ok", "x", "dispatch"])), "");
        // Calling off is for those who are listed, whoever wrote it.
        assert_eq!(told(&labelled, &event(Did::Closed, None, Some("ann"), &[])), "");
        assert!(!told(&labelled, &event(Did::Closed, Some("ann"), Some("eve"), &[])).is_empty());
        assert!(!told(&labelled, &event(Did::Closed, None, None, &[])).is_empty());
    }
}
