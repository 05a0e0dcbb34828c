//! Inbox: specs that were dropped into folders go on the queue, each for itself.
//!
//! Owns that each is enqueued once, whatever dies in between: a file keeps its name until it is on the queue, and one that
//! is found there again, byte for byte, is only put away. When a file may be taken is [`watch`]'s and [`Standing`]'s; how
//! it is read and put away is `folder`'s.

mod folder;
pub mod watch;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use folder::{Waiting, list};
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::announce::{Announce, Happened};
use super::bundle::{Refused, refuse_away};
use super::enqueue::doubts::doubts;
use super::enqueue::sift::{Verdict, sift};
use super::enqueue::{Entry, Options, enqueue};
use super::error::{DependencyError, Error, Result};
use super::session::Session;
use crate::fail;
use crate::git::ObjectId;
use crate::hub::Error as HubError;
use crate::task::name::NameKind;
use crate::task::spec::Defaults;
use crate::task::text::escaped;
use crate::task::{Name, TaskName};

/// How many files, and how many bytes of them, go on the queue in one push.
const BATCH: (usize, u64) = (5000, 64 << 20);

/// How often a batch is sifted again when others fill the queue at the same moment.
const TRIES: u32 = 20;

/// An empty file is taken for one that is about to be written so many times longer than any other.
const PATIENCE_WITH_EMPTY: u32 = 10;

/// What an inbox refuses.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum InboxError {
    /// Nobody says which folders.
    #[error("there is no folder to look into")]
    #[diagnostic(
        code(dispatch::inbox::no_folder),
        help("name folders, `git dispatch inbox DIR`, or set `[inbox] paths` in git-dispatch.toml")
    )]
    NoFolder,
    /// A folder cannot be read.
    #[error("cannot look into `{}`", escaped(.folder))]
    #[diagnostic(code(dispatch::inbox::unreadable), help("name a folder that exists and that you may read"))]
    Unreadable {
        /// As it was given.
        folder: String,
        /// The cause.
        source: std::io::Error,
    },
    /// What lies there is no file of its own.
    #[error("`{}` is a link, a pipe or something else that is no plain file", escaped(.file))]
    #[diagnostic(code(dispatch::inbox::not_a_file), help("drop the file itself"))]
    NotAFile {
        /// Its path.
        file: String,
    },
}

impl From<InboxError> for Error {
    fn from(error: InboxError) -> Self {
        Self::Inbox(Box::new(error))
    }
}

/// A folder, as it is found and as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The name for people.
    pub shown: PathBuf,
}

/// The configured folders: below the checkout, or else the repository, where they are relative.
pub fn configured(session: &Session) -> Vec<Folder> {
    let repo = &session.hub.repo;
    let base = repo.work_tree().unwrap_or_else(|| repo.common_dir());
    let paths = session.config.inbox.paths.iter();
    paths.map(|shown| Folder { path: base.join(shown), shown: shown.clone() }).collect()
}

/// What became of files, each with its path for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// On the queue now.
    pub enqueued: Vec<(String, TaskName, ObjectId)>,
    /// On the queue before.
    pub known: Vec<(String, TaskName)>,
    /// Refused, with the code and what is wrong.
    pub rejected: Vec<(String, String, String)>,
}

/// What stands in the folders, and since when it has stood so.
pub struct Standing<'a> {
    session: &'a Session,
    announce: &'a dyn Announce,
    folders: &'a [Folder],
    since: HashMap<PathBuf, (Waiting, Instant)>,
    /// Files that could not be put away or read, as they were then: said once, and left alone until they change.
    stuck: HashMap<PathBuf, folder::Seen>,
    /// Whether what depends on something unknown is refused, though there is more to read.
    insist: bool,
}

/// What a look found.
pub struct Look {
    /// What has stood still for long enough, in order.
    ready: Vec<Waiting>,
    /// How long the first of these has been ready.
    pub waited: Duration,
    /// When the next of the others will be; none where all are ready.
    pub next: Option<Duration>,
    /// Whether one of the others has something in it: what is ready may wait for that.
    pub is_growing: bool,
}

impl Look {
    /// Says whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

impl<'a> Standing<'a> {
    /// Starts with nothing seen.
    pub fn new(session: &'a Session, folders: &'a [Folder], announce: &'a dyn Announce) -> Result<Self> {
        refuse_away(session, Refused::NoEnqueue)?;
        Ok(Self { session, announce, folders, since: HashMap::new(), stuck: HashMap::new(), insist: false })
    }

    /// Looks into all folders; one that cannot be read is told with its place.
    pub fn look(&mut self) -> (Look, Vec<InboxError>) {
        let (mut found, mut unreadable) = (HashMap::new(), Vec::new());
        // Folders may lie in one another, or be reached by a link: a file belongs to the first that holds it.
        let mut known = HashSet::new();
        for Folder { path, shown } in self.folders {
            match list(path, shown) {
                Ok(files) => {
                    let fresh = files.into_iter().filter(|file| known.insert(file.identity()));
                    found.extend(fresh.map(|file| (file.path.clone(), file)));
                }
                Err(source) => {
                    unreadable
                        .push(InboxError::Unreadable { folder: shown.to_string_lossy().into_owned(), source });
                }
            }
        }
        let now = Instant::now();
        self.stuck.retain(|path, seen| found.get(path).is_some_and(|file: &Waiting| file.seen == *seen));
        self.since = found
            .into_iter()
            .filter(|(path, _)| !self.stuck.contains_key(path))
            .map(|(path, file)| match self.since.get(&path) {
                Some((before, since)) if before.seen == file.seen => (path, (file, *since)),
                _ => (path, (file, now)),
            })
            .collect();
        (self.judge(now), unreadable)
    }

    fn judge(&self, now: Instant) -> Look {
        let settle = *self.session.config.inbox.settle;
        let mut look = Look { ready: Vec::new(), waited: Duration::ZERO, next: None, is_growing: false };
        for (file, since) in self.since.values() {
            let is_empty = file.seen.is_file && file.seen.bytes == 0;
            let needed = if is_empty { settle * PATIENCE_WITH_EMPTY } else { settle };
            let stood = now.duration_since(*since);
            match needed.checked_sub(stood).filter(|rest| !rest.is_zero()) {
                None => {
                    look.waited = look.waited.max(stood.saturating_sub(needed));
                    look.ready.push(file.clone());
                }
                Some(rest) => {
                    look.next = Some(look.next.map_or(rest, |next| next.min(rest)));
                    look.is_growing |= !is_empty;
                }
            }
        }
        look.ready.sort_by(|one, other| one.path.cmp(&other.path));
        look
    }

    /// Takes what is ready. Where more is to come, what depends on something unknown waits for that.
    pub fn take(&mut self, look: Look) -> Result<Taken> {
        let (mut taken, mut batch) = (Taken::default(), Vec::new());
        let mut bytes = 0;
        let more_to_come = look.next.is_some();
        let mut is_full = false;
        for file in look.ready {
            is_full = batch.len() == BATCH.0 || bytes >= BATCH.1;
            if is_full {
                break;
            }
            bytes += file.seen.bytes;
            match self.read(&file) {
                Ok(Some(entry)) => batch.push((file, entry)),
                Ok(None) => {}
                Err(error) => self.reject(&file, error, &mut taken),
            }
        }
        self.enqueue(batch, more_to_come || (is_full && !self.insist), &mut taken)?;
        self.insist = is_full && taken.is_empty();
        Ok(taken)
    }

    fn read(&mut self, file: &Waiting) -> Result<Option<Entry>> {
        if !file.seen.is_file {
            return Err(InboxError::NotAFile { file: file.shown.clone() }.into());
        }
        let bytes = match file.read() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                self.stick(file, &format!("cannot be read, and is left alone: {error}"));
                return Ok(None);
            }
        };
        let project = match &file.project {
            Some(folder) => Name::new(NameKind::Project, folder)?,
            None => self.session.project.clone(),
        };
        let id = file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Entry::read(file.shown.clone(), bytes, &Defaults { project, id }).map(Some)
    }

    fn enqueue(&mut self, batch: Vec<(Waiting, Entry)>, more_to_come: bool, taken: &mut Taken) -> Result<()> {
        let (mut files, mut entries): (Vec<Waiting>, Vec<Entry>) = batch.into_iter().unzip();
        for _ in 0..TRIES {
            if entries.is_empty() {
                return Ok(());
            }
            self.session.sync()?;
            let snapshot = self.session.snapshot()?;
            let verdicts = sift(self.session, &snapshot, &entries);
            let judged: Vec<_> = files.drain(..).zip(entries.drain(..)).zip(verdicts).collect();
            for ((file, entry), verdict) in judged {
                match verdict {
                    Verdict::Fresh => {
                        files.push(file);
                        entries.push(entry);
                    }
                    Verdict::Known => self.known(&file, entry.parsed.spec.task, taken),
                    Verdict::Refused(error) if more_to_come && is_unknown_dependency(&error) => {}
                    Verdict::Refused(error) => self.reject(&file, error, taken),
                }
            }
            match enqueue(self.session, &entries, Options::default()) {
                Ok(done) => {
                    fail::point("inbox.enqueued");
                    let ids: HashMap<TaskName, ObjectId> = done.enqueued.into_iter().collect();
                    doubts(self.session, &entries).into_iter().for_each(|doubt| self.note(doubt));
                    for (file, entry) in files.drain(..).zip(entries.drain(..)) {
                        self.enqueued(&file, entry, &ids, taken);
                    }
                    return Ok(());
                }
                // Somebody else's spec came first: what that means for which of ours is judged again.
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(HubError::Busy { name: self.session.hub.layout.queue(), tries: TRIES }.into())
    }

    fn enqueued(&mut self, file: &Waiting, entry: Entry, ids: &HashMap<TaskName, ObjectId>, taken: &mut Taken) {
        let task = entry.parsed.spec.task;
        let Some(id) = ids.get(&task) else { return self.known(file, task, taken) };
        for warning in &entry.parsed.warnings {
            self.note(format!("{}: {warning}", file.shown));
        }
        self.announce.happened(&Happened::Enqueued { task: task.clone(), from: file.shown.clone() });
        taken.enqueued.push((file.shown.clone(), task, *id));
        self.put_away(file, file.dispatched());
    }

    fn known(&mut self, file: &Waiting, task: TaskName, taken: &mut Taken) {
        self.note(format!("{}: {task} is queued already", file.shown));
        taken.known.push((file.shown.clone(), task));
        self.put_away(file, file.dispatched());
    }

    fn reject(&mut self, file: &Waiting, error: Error, taken: &mut Taken) {
        let code = miette::Diagnostic::code(&error).map(|code| code.to_string()).unwrap_or_default();
        let told = told(error);
        self.announce.happened(&Happened::Rejected { file: file.shown.clone(), why: told.message.clone() });
        taken.rejected.push((file.shown.clone(), code, told.message));
        self.put_away(file, file.rejected(&told.whole));
    }

    fn put_away(&mut self, file: &Waiting, result: std::io::Result<bool>) {
        if let Err(error) = result {
            // What is enqueued is found on the queue again: nothing comes twice.
            self.stick(file, &format!("cannot be renamed, and is left alone: {error}"));
        }
        self.since.remove(&file.path);
    }

    fn stick(&mut self, file: &Waiting, what: &str) {
        self.note(format!("{} {what}", file.shown));
        self.stuck.insert(file.path.clone(), file.seen);
    }

    fn note(&self, text: String) {
        self.announce.happened(&Happened::Note(text));
    }
}

fn is_unknown_dependency(error: &Error) -> bool {
    matches!(error, Error::Dependency(error) if matches!(**error, DependencyError::Unknown { .. }))
}

/// Says whether an error is about what was given, rather than about the hub.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Exists { .. } | Error::Name(_) | Error::Dependency(_))
}

/// An error as a line, and whole: with code, place and way out.
struct Told {
    message: String,
    whole: String,
}

fn told(error: Error) -> Told {
    let message = error.to_string();
    let mut whole = String::new();
    let look = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(look).with_width(100).with_links(false);
    let report = miette::Report::new(error);
    if handler.render_report(&mut whole, report.as_ref()).is_err() {
        whole.clone_from(&message);
    }
    Told { message, whole: format!("{}\n", whole.trim_end()) }
}

/// Takes what stands still in the folders, once; each folder must be readable. What goes on growing is left.
pub fn once(
    session: &Session,
    folders: &[Folder],
    cancel: &crate::exec::Cancel,
    announce: &dyn Announce,
) -> Result<Taken> {
    let mut standing = Standing::new(session, folders, announce)?;
    let mut all = Taken::default();
    let settle = *session.config.inbox.settle;
    let give_up = Instant::now() + settle * PATIENCE_WITH_EMPTY * 3;
    loop {
        let (look, unreadable) = standing.look();
        if let Some(error) = unreadable.into_iter().next() {
            return Err(error.into());
        }
        let (next, is_empty) = (look.next, look.is_empty());
        let is_over = Instant::now() >= give_up;
        if next.is_none() || is_over {
            let taken = standing.take(look)?;
            if taken.is_empty() && (is_empty || is_over) {
                next.inspect(|_| standing.note(left(standing.since.len())));
                return Ok(all);
            }
            all.add(taken);
        }
        if cancel.wait_for(next.unwrap_or_default()) {
            return Err(crate::git::Error::Interrupted.into());
        }
    }
}

fn left(count: usize) -> String {
    format!(
        "{count} {} still growing, and left for the next time",
        if count == 1 { "file is" } else { "files are" }
    )
}

impl Taken {
    /// Adds what became of further files.
    pub fn add(&mut self, other: Self) {
        self.enqueued.extend(other.enqueued);
        self.known.extend(other.known);
        self.rejected.extend(other.rejected);
    }

    /// Says whether no file was taken.
    pub fn is_empty(&self) -> bool {
        self.enqueued.is_empty() && self.known.is_empty() && self.rejected.is_empty()
    }
}
