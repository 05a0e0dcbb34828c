//! Bundle files: refs and prerequisites in a short text, then one pack.
//!
//! Owns the file: what is written into it, and the distrust with which one is read. git's own `bundle verify` passes
//! files that were cut short or hold a flipped bit, and a fetch from one of those may even exit with 0 (FACTS.md). So the
//! header is read and bounded here, the pack is checked whole by `git index-pack`, and what was promised is counted.
//! The files are git's own format, version 2: `git bundle list-heads` and `git clone` read them. What the refs mean is
//! `hub`'s.

mod draft;
mod header;

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use gix::ObjectId;

use self::draft::Draft;
pub use self::header::Header;
use super::error::Error as GitError;
use super::process::Output;
use super::repo::Repo;
use crate::exec::Cancel;
use crate::fail;
use crate::task::text::{escaped, one_line};

/// How long packing, unpacking and checking may take each: a bound for what hangs, not for what is large.
const DEADLINE: Duration = Duration::from_secs(3600);

/// What old versions of git wrote into histories that are otherwise sound: no reason to refuse a whole project.
const TOLERATED: &str = "--strict=zeroPaddedFilemode=ignore,missingSpaceBeforeDate=ignore,badTimezone=ignore,\
                         missingNameBeforeEmail=ignore,missingEmail=ignore,missingSpaceBeforeEmail=ignore,\
                         zeroPaddedDate=ignore,multipleAuthors=ignore";

/// Why a bundle file cannot be written, or is not taken in.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("`{}`: {source}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::bundle::unreadable),
        help("name a file that exists and that you may read; to write one, a file in a folder that exists")
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is there already.
    #[error("`{}` is there already", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::bundle::exists),
        help("nothing is written over: name another file, or move that one away")
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a bundle that we know.
    #[error("`{}` is no bundle: {detail}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::bundle::not_a_bundle),
        help("name a file that `git dispatch bundle create` wrote; nothing was taken in")
    )]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Somebody else is writing it.
    #[error("`{}` is being written by another command", escaped(&.path.to_string_lossy()))]
    #[diagnostic(code(dispatch::bundle::busy), help("wait until that has ended, or name another file"))]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file holds more than a bundle of ours ever does.
    #[error("`{}` is out of bounds: {detail}", escaped(&.path.to_string_lossy()))]
    #[diagnostic(
        code(dispatch::bundle::too_large),
        help("nothing was taken in; a bundle of this program never holds as much")
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound that is passed.
        detail: String,
    },
    /// The file is damaged.
    #[error("`{}` is damaged: {}", escaped(&.path.to_string_lossy()), escaped(&one_line(.detail)))]
    #[diagnostic(
        code(dispatch::bundle::damaged),
        help("nothing was taken in; copy the file again, or make it again with the command that made it")
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The file builds on objects that are not here.
    #[error(
        "`{}` builds on {} that {} not here, such as {}",
        escaped(&.path.to_string_lossy()),
        if *.count == 1 { "a commit".to_owned() } else { format!("{count} commits") },
        if *.count == 1 { "is" } else { "are" },
        .example
    )]
    #[diagnostic(
        code(dispatch::bundle::missing_prerequisite),
        help(
            "nothing was taken in; open or collect the bundles that came before it, or make it again with `--whole`, which packs everything"
        )
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// How many are missing.
        count: usize,
        /// One of them.
        example: ObjectId,
    },
    /// git or the repository failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitError),
}

/// The result of an operation on a bundle file.
pub type Result<T> = std::result::Result<T, BundleError>;

/// Says whether the file may be written: there is none of that name, and a folder for it.
pub fn check_free(path: &Path) -> Result<()> {
    let unusable = |source| BundleError::Unreadable { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(_) => return Err(BundleError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(unusable(source)),
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::metadata(folder).map(drop).map_err(unusable),
        None => Ok(()),
    }
}

impl Repo {
    /// Begins to write a bundle with these refs, without what is reachable from `known`, which its reader must have. The
    /// refs need not be there yet, only what they are to hold.
    pub fn begin_bundle(&self, path: &Path, refs: &[(String, ObjectId)], known: &[ObjectId]) -> Result<Unfinished> {
        check_free(path)?;
        let known: Vec<ObjectId> = known.iter().copied().filter(|id| self.has(*id)).collect();
        let mut wanted: String = refs.iter().map(|(_, id)| format!("{id}\n")).collect();
        wanted.extend(known.iter().map(|id| format!("^{id}\n")));
        let header =
            Header { prerequisites: self.boundary(refs, &known, &wanted)?, refs: refs.to_vec(), pack_at: 0 };
        let mut draft = Draft::begin(path)?;
        draft.write(&header.to_text())?;
        fail::point("bundle.header");
        let input = crate::exec::stdin_from(wanted.as_bytes()).map_err(GitError::NotInstalled)?;
        let output: Stdio = draft.for_output()?.into();
        let stop = self.cancel().child();
        let git = self.git().with_deadline(DEADLINE).with_cancel(stop.clone());
        let pack = move || {
            let args = ["pack-objects", "--stdout", "--revs", "--thin", "--delta-base-offset", "--quiet"];
            git.run_through(&args, input, output)
        };
        Ok(Unfinished { packing: Packing { thread: Some(spawn(pack)), stop }, draft })
    }

    /// Finds what the reader of a bundle must have: the commits that its own stand on, and the refs that it has already.
    fn boundary(&self, refs: &[(String, ObjectId)], known: &[ObjectId], wanted: &str) -> Result<Vec<ObjectId>> {
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self
            .git()
            .with_deadline(DEADLINE)
            .check_with(&["rev-list", "--boundary", "--stdin"], Some(wanted.as_bytes().to_vec()))?;
        let mut packed = std::collections::HashSet::new();
        let mut found = Vec::new();
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            match line.strip_prefix('-') {
                Some(id) => found.extend(ObjectId::from_hex(id.as_bytes())),
                None => packed.extend(ObjectId::from_hex(line.as_bytes())),
            }
        }
        found.extend(refs.iter().map(|(_, id)| *id).filter(|id| !packed.contains(id)));
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Brings the objects of a bundle here, after a whole check; no ref is written. A file that is refused may leave
    /// objects behind that nothing names, which git's own housekeeping removes.
    pub fn unpack_bundle(&self, path: &Path, header: &Header) -> Result<()> {
        let missing: Vec<ObjectId> = header.prerequisites.iter().copied().filter(|id| !self.has(*id)).collect();
        if let Some(example) = missing.first() {
            return Err(BundleError::Missing { path: path.to_owned(), count: missing.len(), example: *example });
        }
        let unusable = |source| BundleError::Unreadable { path: path.to_owned(), source };
        let damaged = |detail: String| BundleError::Damaged { path: path.to_owned(), detail };
        let mut file = File::open(path).map_err(unusable)?;
        file.seek(SeekFrom::Start(header.pack_at)).map_err(unusable)?;
        fail::point("bundle.checked");
        // Checksums, the form of every object, and that what it names is here.
        let args = ["index-pack", "--stdin", "--fix-thin", TOLERATED];
        let git = self.git().with_deadline(DEADLINE);
        let indexed = git.run_through(&args, file.into(), Stdio::null())?;
        if !indexed.is_success() {
            return Err(damaged(indexed.stderr));
        }
        if let Some((name, _)) = header.refs.iter().find(|(_, id)| !self.has(*id)) {
            return Err(damaged(format!("it does not hold what it promises for {name}")));
        }
        let tips: String = header.refs.iter().map(|(_, id)| format!("{id}\n")).collect();
        let args = ["rev-list", "--objects", "--quiet", "--stdin", "--not", "--all"];
        let walked = git.run(&args, Some(tips.into_bytes()))?;
        if !walked.is_success() {
            return Err(damaged(format!("its histories have holes: {}", walked.stderr)));
        }
        fail::point("bundle.unpacked");
        Ok(())
    }
}

/// A bundle that is being written. Dropped, it is taken back.
#[derive(Debug)]
pub struct Unfinished {
    // Gone before the file is: nobody writes into it any more.
    packing: Packing,
    draft: Draft,
}

impl Unfinished {
    /// Where it will be.
    pub fn path(&self) -> &Path {
        self.draft.path()
    }

    /// Waits until all is packed. The file appears whole or not at all, and replaces none. Returns its size in bytes.
    pub fn finish(self) -> Result<u64> {
        let Self { mut packing, draft } = self;
        let packed = packing.wait()?;
        if !packed.is_success() {
            let command = "pack-objects".to_owned();
            return Err(GitError::Failed { command, code: packed.code, stderr: packed.stderr }.into());
        }
        draft.finish()
    }
}

/// git packing beside us. Dropped, it is ended.
#[derive(Debug)]
struct Packing {
    thread: Option<JoinHandle<super::error::Result<Output>>>,
    stop: Cancel,
}

impl Packing {
    fn wait(&mut self) -> super::error::Result<Output> {
        let ended = self.thread.take().map(JoinHandle::join);
        ended.map_or(Err(GitError::Interrupted), |ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop.raise();
            let _ = self.wait();
        }
    }
}
