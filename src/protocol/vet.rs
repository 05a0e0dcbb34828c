//! What may leave this clone: each piece of work is looked through before it is published (DESIGN.md 7).
//!
//! Owns which commits are looked at, what is told of a hit, and where the work stays. What looks like a secret is
//! `secrets`' to say, what cannot be checked out safely `git::fit`'s. A value is never told, here or anywhere: only its kind and its place.

use super::error::Result;
use super::session::Session;
use crate::git::introduced::{Introduced, What};
use crate::git::objects::Commit;
use crate::git::refs::RefChange;
use crate::git::{ObjectId, Repo};
use crate::hub::Layout;
use crate::secrets::{self, Hit};
use crate::task::text::{escaped, excerpt};
use crate::task::{Reason, TaskName, scope};

/// How many places are named.
const NAMED: usize = 3;

/// Why work stays here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The word for it in records.
    pub reason: Reason,
    /// What is wrong, and where.
    pub what: String,
    /// The way out for whoever looks at the failed task.
    pub help: &'static str,
    /// The way out for whoever made the work by hand.
    pub help_by_hand: &'static str,
}

/// Work by hand must not be published.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{task} is not published: {}", escaped(.what))]
#[diagnostic(code(dispatch::finish::withheld))]
pub struct Withheld {
    /// The task.
    task: TaskName,
    /// What is wrong with the work.
    what: String,
    /// The way out.
    #[help]
    help: String,
}

impl Objection {
    fn of_checkout(why: &str) -> Self {
        Self {
            reason: Reason::Exit,
            what: format!("the result cannot be checked out safely: {why}"),
            help: "have it done without, and retry the task",
            help_by_hand: "take it out of its commits, and finish again",
        }
    }

    /// Refuses work that a person made on this branch.
    pub fn by_hand(&self, task: &TaskName, branch: &str) -> Withheld {
        let help = format!("the work is on `{}` as it was: {}", escaped(branch), self.help_by_hand);
        Withheld { task: task.clone(), what: self.what.clone(), help }
    }

    fn of_secrets(places: &[String]) -> Self {
        Self {
            reason: Reason::Secrets,
            what: format!("the result looks as if it held secrets: {}", listed(places)),
            help: "have them taken out and retry the task, or name the path in `secrets.allow` where it is none",
            help_by_hand: "take them out of its commits and finish again, or name the path in `secrets.allow` where it is none",
        }
    }
}

/// Looks through the work that leads from `base` to `result`; `known` is what the hub has beside the base. `None`: it may
/// be published.
pub fn look(session: &Session, base: ObjectId, result: ObjectId, known: &[ObjectId]) -> Result<Option<Objection>> {
    if base == result {
        return Ok(None);
    }
    let hub = &session.hub;
    hub.repo.complete(&[base, result])?;
    let target = hub.target_tip(&hub.target);
    let known: Vec<ObjectId> = [base].into_iter().chain(target).chain(known.iter().copied()).collect();
    let commits = hub.repo.new_commits(result, &known)?;
    // First: what is enormous is not read.
    if let Some(why) = hub.repo.unfit(&commits)? {
        return Ok(Some(Objection::of_checkout(&why)));
    }
    if !session.config.secrets.scan {
        return Ok(None);
    }
    let mut search = Search { session, found: Vec::new() };
    search.messages(&hub.repo, &commits);
    hub.repo.introduced(&commits, &mut |entry| {
        search.entry(&hub.repo, entry);
        true
    })?;
    Ok((!search.found.is_empty()).then(|| Objection::of_secrets(&search.found)))
}

/// Keeps work that may not be published under a pin of this clone; says which. `claim` is the attempt's.
pub fn withhold(session: &Session, claim: ObjectId, result: ObjectId) -> Result<String> {
    let name = Layout::withheld(&claim.to_string());
    let repo = &session.hub.repo;
    let old = repo.ref_value(&name);
    if old != Some(result) {
        repo.change_refs(&[RefChange::new(name.clone(), old, Some(result))], "git dispatch: not to be published")?;
    }
    session.hub.unpin_result(&claim.to_string())?;
    Ok(name)
}

/// Looks through the work of an attempt that is to be given back or kept on the hub. Work that may not leave is withheld:
/// then there is none, and a line for people.
pub fn releasable(
    session: &Session,
    claim: ObjectId,
    base: Option<ObjectId>,
    work: Option<ObjectId>,
) -> Result<(Option<ObjectId>, Option<String>)> {
    let (Some(result), Some(base)) = (work, base) else { return Ok((work, None)) };
    match look(session, base, result, &[])? {
        None => Ok((Some(result), None)),
        Some(objection) => {
            let kept = withhold(session, claim, result)?;
            Ok((None, Some(format!("{}; it is kept here at {kept}", objection.what))))
        }
    }
}

fn listed(places: &[String]) -> String {
    let more = places.len().saturating_sub(NAMED);
    let named = places[..places.len() - more].join(", ");
    if more == 0 { named } else { format!("{named}, and {more} more") }
}

struct Search<'a> {
    session: &'a Session,
    found: Vec<String>,
}

impl Search<'_> {
    fn tell(&mut self, kind: &str, path: &str, line: Option<usize>) {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        // A path may be a secret itself.
        let path =
            if secrets::find("", path.as_bytes()).is_empty() { excerpt(path, 60) } else { "a path".to_owned() };
        self.found.push(format!("{path}{line} ({kind})"));
    }

    fn messages(&mut self, repo: &Repo, commits: &[Commit]) {
        for commit in commits {
            let id = commit.id.to_string();
            if let Some(hit) = secrets::find("", commit.message.as_bytes()).first() {
                self.found.push(format!("the message of commit {} ({})", &id[..10], hit.kind));
            }
            if let Some(kind) = repo.people_of(commit.id).iter().find_map(|name| secrets::in_name(name)) {
                self.found.push(format!("a name in commit {} ({kind})", &id[..10]));
            }
        }
    }

    fn entry(&mut self, repo: &Repo, entry: &Introduced) {
        if !matches!(entry.what, What::File | What::Link) {
            return;
        }
        let path = entry.path();
        let allow = &self.session.config.secrets.allow;
        if !allow.is_empty() && scope::outside(allow, std::slice::from_ref(&path)).is_none() {
            return;
        }
        if entry.before.is_empty()
            && let Some(kind) = secrets::in_name(&path)
        {
            self.found.push(format!("a path ({kind})"));
        }
        let Some(content) = repo.blob(entry.id).map(secrets::readable) else { return };
        // What was there under its name already is no news, whatever it is called.
        if entry.before.is_empty()
            && !content.trim_ascii().is_empty()
            && let Some(kind) = secrets::named(&path)
        {
            return self.tell(kind, &path, None);
        }
        let hits = secrets::find(&path, &content);
        if hits.is_empty() {
            return;
        }
        let before: Vec<Vec<u8>> =
            entry.before.iter().filter_map(|id| repo.blob(*id).map(secrets::readable)).collect();
        let is_old = |hit: &Hit| before.iter().any(|text| holds(text, &content[hit.place.clone()]));
        let news: Vec<&Hit> = hits.iter().filter(|hit| !is_old(hit)).collect();
        for hit in news {
            self.tell(hit.kind, &path, hit.line);
        }
    }
}

fn holds(text: &[u8], value: &[u8]) -> bool {
    use gix::bstr::ByteSlice as _;
    text.contains_str(value)
}
