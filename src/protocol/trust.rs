//! Trust: whose specs are run, and whose work is merged (DESIGN.md 7).
//!
//! Owns what a signature must say: a spec is signed by its enqueuer, the person who committed it; finished work by its
//! node, under the node's name. Both count in this repository alone. What a signature is, is `git::signature`'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::error::{Error, Result};
use super::session::Session;
use crate::git::ObjectId;
use crate::git::signature::{Known, Signer};
use crate::hub::Hub;
use crate::hub::snapshot::{Claim, Queued, Task, chain_of, target_of};
use crate::task::Phase;
use crate::task::text::{escaped, excerpt};

/// What was found out so far by one start of the program.
#[derive(Debug, Clone, Default)]
pub struct Memo(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<Option<Arc<Circle>>>,
    judged: Mutex<HashMap<Asked, bool>>,
}

/// What was asked: whether a commit is signed by somebody, as far as these files say, by their sizes and times.
type Asked = (ObjectId, String, Vec<Option<(u64, SystemTime)>>);

/// Who is known, and where it counts.
#[derive(Debug)]
struct Circle {
    known: Known,
    context: String,
    /// What was written out for ssh-keygen to read.
    _file: Option<tempfile::NamedTempFile>,
}

/// Trust cannot be given or asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TrustError {
    /// There is no key to sign with.
    #[error("there is no key to sign with{}", if .detail.is_empty() { String::new() } else { format!(": {}", escaped(.detail)) })]
    #[diagnostic(
        code(dispatch::trust::no_key),
        help(
            "`git config user.signingKey FILE` names an ssh key; one behind a passphrase must be in your ssh-agent"
        )
    )]
    NoKey {
        /// What is wrong with what was named.
        detail: String,
    },
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}

/// Says why a spec must not be run; `None`: it may.
pub fn doubt_of_spec(session: &Session, spec: &Queued) -> Option<String> {
    if !session.config.trust.signed {
        return None;
    }
    let enqueuer = session.hub.repo.committer(spec.id).map(|who| who.email).unwrap_or_default();
    judge(session, spec.id, &enqueuer, "its spec")
}

/// Says why a task must not be begun; `None`: it may. Whoever may push could name an older spec of it that was signed as
/// well: one that was replaced is not brought back.
pub fn doubt_of_start(session: &Session, task: &Task) -> Option<String> {
    if !session.config.trust.signed {
        return None;
    }
    let repo = &session.hub.repo;
    let in_force = task.specs.iter().position(|id| *id == task.spec.id).map_or(0, |at| at + 1);
    let is_good = |id: &ObjectId| {
        let enqueuer = repo.committer(*id).map(|who| who.email).unwrap_or_default();
        judge(session, *id, &enqueuer, "a spec").is_none()
    };
    doubt_of_spec(session, &task.spec).or_else(|| {
        let newer = task.specs[in_force..].iter().find(|id| is_good(id))?;
        let short = newer.to_hex_with_len(10);
        Some(format!("a newer spec of it is signed, {short}; `git dispatch enqueue --replace` puts it in force"))
    })
}

/// Says why nothing must be built on what a dependency came to; `None`: it may. What is in the branch that the dependency's
/// spec names is there by git's own rules; anything else counts by the signature of the node that made it.
pub fn doubt_of_foundation(session: &Session, task: &Task, result: ObjectId) -> Option<String> {
    if !session.config.trust.signed {
        return None;
    }
    let repo = &session.hub.repo;
    if let Some(why) = doubt_of_spec(session, &task.spec) {
        return Some(why);
    }
    let branch = target_of(&session.hub, &task.spec.record);
    if session.hub.target_tip(&branch).is_some_and(|tip| repo.is_ancestor(result, tip)) {
        return None;
    }
    let chain = task.claim().map(|tip| chain_of(repo, tip.id)).unwrap_or_default();
    let is_finish = |claim: &&Claim| claim.record.phase == Phase::Completed && claim.result == Some(result);
    match chain.iter().find(is_finish) {
        Some(finish) => doubt_of_result(session, finish),
        None => Some(format!("its merge is not in {}, and nobody signed it", escaped(&branch))),
    }
}

/// Says why finished work must not be merged; `None`: it may.
pub fn doubt_of_result(session: &Session, claim: &Claim) -> Option<String> {
    if !session.config.trust.signed {
        return None;
    }
    let node = claim.record.node.clone().unwrap_or_default();
    judge(session, claim.id, &node, "its result")
}

/// Says why a task is not gone on with: its spec must not be run, or its finished work not be merged; `None`: it is.
pub fn doubt(session: &Session, task: &Task) -> Option<String> {
    let of_result = task.claim_in(Phase::Completed).and_then(|claim| doubt_of_result(session, claim));
    of_result.or_else(|| doubt_of_spec(session, &task.spec))
}

fn judge(session: &Session, commit: ObjectId, principal: &str, what: &str) -> Option<String> {
    let inner = &session.trust.0;
    let known = lock(&inner.known).clone();
    let circle = match known.map_or_else(|| circle(session).map(Arc::new), Ok) {
        Ok(circle) => circle,
        Err(why) => return Some(format!("{what} cannot be trusted: {why}")),
    };
    *lock(&inner.known) = Some(Arc::clone(&circle));
    let key = (commit, principal.to_owned(), circle.stamps());
    let judged = lock(&inner.judged).get(&key).copied();
    let is_good = match judged {
        Some(is_good) => is_good,
        None => match session.hub.repo.is_signed_by(commit, principal, &circle.known, &circle.context) {
            Ok(is_good) => {
                lock(&inner.judged).insert(key, is_good);
                is_good
            }
            // Without ssh-keygen nobody knows: nothing is remembered, and nothing run.
            Err(error) => return Some(format!("{what} cannot be trusted: {}", escaped(&error.to_string()))),
        },
    };
    (!is_good).then(|| format!("{what} is not signed by {} with a key that is allowed", excerpt(principal, 80)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Circle {
    /// Tells one state of the files from another: somebody may be let in, or put out, while a node runs.
    fn stamps(&self) -> Vec<Option<(u64, SystemTime)>> {
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok()?))
        };
        [Some(&self.known.allowed), self.known.revoked.as_ref()].into_iter().flatten().map(stamp).collect()
    }
}

/// Finds out who is known.
fn circle(session: &Session) -> std::result::Result<Circle, String> {
    let repo = &session.hub.repo;
    let configured = session.config.trust.allowed_signers.clone();
    let named = configured.or_else(|| repo.config_string("gpg.ssh.allowedSignersFile").map(PathBuf::from));
    let named = named.ok_or("`trust.allowed_signers` names no file")?;
    let revoked = repo.config_string("gpg.ssh.revocationFile").map(|path| home(session, Path::new(&path)));
    let (allowed, file) = match pinned(&named) {
        Some((commit, path)) => {
            let text = repo
                .file_in(commit, &path)
                .ok_or_else(|| format!("{} is not here", escaped(&named.to_string_lossy())))?;
            let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
            std::fs::write(file.path(), text).map_err(|error| error.to_string())?;
            (file.path().to_owned(), Some(file))
        }
        None => (outside(session, &named)?, None),
    };
    let context = context(&session.hub).ok_or("the target has no first commit here")?;
    Ok(Circle { known: Known { allowed, revoked }, context, _file: file })
}

/// A file in a commit: `<id>:<path>`. Nobody changes it by pushing.
fn pinned(named: &Path) -> Option<(ObjectId, String)> {
    let (commit, path) = named.to_str()?.split_once(':')?;
    Some((ObjectId::from_hex(commit.as_bytes()).ok()?, path.to_owned()))
}

/// A file outside the repository: whoever may push could change one inside.
fn outside(session: &Session, named: &Path) -> std::result::Result<PathBuf, String> {
    let shown = escaped(&named.to_string_lossy());
    let path = home(session, named);
    if !path.is_absolute() {
        return Err(format!("`{shown}` is neither an absolute path nor a file in a commit, `<id>:<path>`"));
    }
    let path = path.canonicalize().map_err(|error| format!("`{shown}`: {error}"))?;
    let inside = |folder: &Path| folder.canonicalize().is_ok_and(|folder| path.starts_with(folder));
    match session.hub.repo.work_tree().is_some_and(inside) {
        true => Err(format!("`{shown}` lies in the repository, where whoever may push can change it")),
        false => Ok(path),
    }
}

fn home(session: &Session, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), session.ambient.var("HOME")) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

/// What tells this repository from others, in the bytes that are signed: the first commit of its target. Forks of one
/// project share it.
fn context(hub: &Hub) -> Option<String> {
    let tip = hub.target_tip(&hub.target)?;
    let mut root = None;
    hub.repo.first_parents(tip, |commit| {
        root = Some(commit.id);
        true
    });
    root.map(|root| format!("repository {root}"))
}

/// How a commit is signed in this clone.
pub(super) struct Pen {
    pub(super) signer: Signer,
    pub(super) context: String,
}

/// Finds the key to sign with, as git has it: `user.signingKey`, the program `gpg.ssh.program`.
fn signer(session: &Session) -> Result<Signer> {
    let repo = &session.hub.repo;
    let no_key = |detail: &str| Error::from(TrustError::NoKey { detail: detail.to_owned() });
    let key = repo.config_string("user.signingKey").filter(|key| !key.is_empty()).ok_or_else(|| no_key(""))?;
    if key.starts_with("key::") || key.starts_with("ssh-") {
        return Err(no_key("`user.signingKey` must name a file; put the public key into one"));
    }
    let key = home(session, Path::new(&key));
    if !key.is_file() {
        return Err(no_key(&format!("{} is not there", key.display())));
    }
    let program = repo.config_string("gpg.ssh.program").unwrap_or_else(|| "ssh-keygen".to_owned());
    Ok(Signer { program, key })
}

fn pen(session: &Session) -> Result<Pen> {
    let signer = signer(session)?;
    let context = context(&session.hub).ok_or(Error::NoCommits { branch: session.hub.target.clone() })?;
    Ok(Pen { signer, context })
}

/// Refuses to begin work that could not be signed in the end.
pub fn demand_key(session: &Session) -> Result<()> {
    if session.config.trust.signed { signer(session).map(drop) } else { Ok(()) }
}

/// Finds the key where what is written has to be signed: `wanted`, or because this repository trusts nothing else.
pub(super) fn pen_if(session: &Session, wanted: bool) -> Result<Option<Pen>> {
    if wanted || session.config.trust.signed { pen(session).map(Some) } else { Ok(None) }
}
