//! One daemon for several clones: each has its own hub, name and folder of slots; how many run at once is shared.

use std::path::Path;
use std::sync::Arc;

use super::{Args, one, options, report};
use crate::commands::{Context, Outcome};
use crate::exec::Cancel;
use crate::node::daemon::{self, Options, Ran};
use crate::node::pool::Pool;
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::notify::Notifying;
use crate::protocol::session::OptionSettings;
use crate::protocol::{Error, Result, Session, trust};
use crate::ui::progress::Progress;

/// A clone was given twice.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} and {} are one clone", .first, .second)]
#[diagnostic(code(dispatch::usage::repo_twice), help("give each clone once"))]
struct Twice {
    first: String,
    second: String,
}

/// Says of a note which clone it is about.
struct Named {
    name: String,
    inner: Arc<Progress>,
}

impl Announce for Named {
    fn happened(&self, what: &Happened) {
        match what {
            Happened::Note(text) => self.inner.happened(&Happened::Note(format!("{}: {text}", self.name))),
            other => self.inner.happened(other),
        }
    }
}

/// Runs for all of the clones. One whose run fails is told of, and stops none of the others.
pub(super) fn run(context: &Context, args: &Args, settings: &OptionSettings) -> Outcome {
    let mut sessions: Vec<(String, Session)> = Vec::new();
    for repo in &args.repos {
        let folder = context.ambient.cwd.join(repo);
        let session = Session::open(&folder, &context.ambient, settings, &Cancel::new())?;
        let same = |(_, other): &&(String, Session)| other.hub.repo.common_dir() == session.hub.repo.common_dir();
        if let Some((first, _)) = sessions.iter().find(same) {
            let second = repo.display().to_string();
            return Err(Twice { first: first.clone(), second }.into());
        }
        trust::demand_key(&session)?;
        sessions.push((repo.display().to_string(), session));
    }
    let mut locks = Vec::new();
    for (_, session) in &sessions {
        locks.push(daemon::lock(session, &context.signals.first)?);
    }
    let slots = args.slots.map(|slots| slots as usize);
    let most = |(_, session): &(String, Session)| options(session, args).slots;
    let pool = Pool::new(slots.unwrap_or_else(|| sessions.iter().map(most).max().unwrap_or(1)));
    let progress = Arc::new(Progress::start(&context.ui, "running"));
    let ends: Vec<Result<Ran>> = std::thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter()
            .map(|(name, session)| {
                let options = Options { share: Some(pool.join()), ..options(session, args) };
                let (session, progress) = (session.clone(), Arc::clone(&progress));
                scope.spawn(move || for_one(context, name, &session, &options, progress))
            })
            .collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, Result<Ran>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(end).collect()
    });
    drop(locks);
    drop(progress);
    let mut failed: Option<Error> = None;
    let mut all = Vec::new();
    for ((_, session), end) in sessions.into_iter().zip(ends) {
        match end {
            Ok(ran) => all.push((session, ran)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        // The others' work is done and published; what failed is the answer.
        Some(error) => Err(error.into()),
        None => report(context, &all),
    }
}

fn for_one(
    context: &Context,
    name: &str,
    session: &Session,
    options: &Options,
    progress: Arc<Progress>,
) -> Result<Ran> {
    let named = Named { name: short(name), inner: progress };
    let announce = Notifying::start(session, named);
    let result = one(context, session, options, &announce);
    if let Some(share) = &options.share {
        share.want_nothing();
        share.hold(0);
    }
    if let Err(error) = &result {
        announce.happened(&Happened::Note(format!("its run has ended: {error}; the others go on")));
    }
    result
}

/// The last part of a path, where there is one.
fn short(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}
