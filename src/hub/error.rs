//! What can go wrong between this clone and the hub.

use crate::git;
use crate::task::text::{escaped, excerpt};

/// The result of an operation on the hub.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the hub or of what it holds.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// git or the repository failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] git::Error),
    /// A push was sent again and again, and somebody else was always first.
    #[error("gave up on {} after {tries} tries: others keep moving it", escaped(.name))]
    #[diagnostic(code(dispatch::hub::busy), help("nothing was changed; give the same command again in a moment"))]
    Busy {
        /// The ref.
        name: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The hub answers, and refuses.
    #[error("the hub refuses to change {}{}", escaped(.name), said(.words.as_deref()))]
    #[diagnostic(
        code(dispatch::hub::refused),
        help(
            "does your account have the right to push there? does a hook or a protection rule forbid it? `git dispatch doctor --probe` finds out what it takes; whoever looks after the hub can say more"
        )
    )]
    Refused {
        /// The ref.
        name: String,
        /// What it said.
        words: Option<String>,
    },
    /// A ref on the hub has no value.
    #[error("the hub holds a broken ref, {}: whoever wrote it was cut off", escaped(.name))]
    #[diagnostic(
        code(dispatch::hub::broken_ref),
        help(
            "whoever looks after the hub removes the empty file of that name in its git folder, and looks with `git fsck`; nothing was changed here, and what waits is kept"
        )
    )]
    BrokenRef {
        /// The ref.
        name: String,
    },
    /// The hub no longer has what it had.
    #[error("the hub has lost its memory: {}", escaped(.detail))]
    #[diagnostic(
        code(dispatch::hub::memory_lost),
        help(
            "it was restored from an old copy, rewritten, or is another hub than before; nothing was pruned here, and nothing is claimed until it has its records back: `git dispatch doctor --republish` gives it what this clone has"
        )
    )]
    MemoryLost {
        /// The refs concerned.
        detail: String,
    },
    /// The hub and this clone have gone different ways.
    #[error("the hub has gone another way than this clone: {}", escaped(.names))]
    #[diagnostic(
        code(dispatch::hub::apart),
        help(
            "what agrees was given back; for the rest a person must say which side is right: `git log --graph` shows both, and `git push` with a lease moves the hub's"
        )
    )]
    Apart {
        /// The refs concerned.
        names: String,
    },
    /// A record is of a newer version than this program.
    #[error("{what} is of format version {version}, and this program knows {known}")]
    #[diagnostic(
        code(dispatch::format::newer),
        help("install a newer git-dispatch; what it wrote is left as it is")
    )]
    Newer {
        /// The record.
        what: String,
        /// Its version.
        version: u32,
        /// The newest version known here.
        known: u32,
    },
    /// No name for this node, or no free one.
    #[error("there is no randomness to be had from the system")]
    #[diagnostic(
        code(dispatch::system::random),
        help("claims are told apart by random numbers; without them nothing is claimed")
    )]
    Random(#[source] std::io::Error),
    /// A file of this clone's own state cannot be used.
    #[error("`{}` cannot be read: {detail}", .path.display())]
    #[diagnostic(
        code(dispatch::state::unreadable),
        help("move it away; what can be rebuilt from the hub is rebuilt")
    )]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        detail: String,
    },
}

/// How much of the hub's words is shown, in characters.
const WORDS: usize = 300;

/// What a hub said when it refused, as the end of a sentence; nothing where it said nothing.
pub fn said(words: Option<&str>) -> String {
    words.map(|words| format!("; it says: {}", excerpt(words, WORDS))).unwrap_or_default()
}

impl Error {
    /// Says whether the hub's not answering is the cause: then a later try may do better.
    pub const fn is_unreachable(&self) -> bool {
        match self {
            Self::Git(error) => error.is_unreachable(),
            Self::BrokenRef { .. } => true,
            _ => false,
        }
    }

    /// Returns git's failure, where that is the cause.
    pub const fn of_git(&self) -> Option<&git::Error> {
        match self {
            Self::Git(error) => Some(error),
            _ => None,
        }
    }
}
