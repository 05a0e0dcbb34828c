//! Doctor: what is wrong with this clone, its hub and what is recorded there, and how it is mended (CLI.md).
//!
//! Owns what a finding is and the order of the looks. What a crash left and every other command would mend on its way is
//! mended here at once; what belongs to a person or to whoever looks after the hub is named with the command that does it.

mod clone;
mod records;
mod remote;

use super::error::Result;
use super::session::Session;
use crate::hub::Abilities;
use crate::hub::probe::{Probed, Prober};

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Nothing is broken, and it is worth knowing.
    Note,
    /// It was broken, and is mended.
    Mended,
    /// It is broken, and somebody has to mend it.
    Broken,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Mended => "mended",
            Self::Broken => "broken",
        }
    }
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is to be taken.
    pub level: Level,
    /// What was looked at: `git`, `remote`, `abilities`, `names`, `executors`, `leftovers` or `records`.
    pub about: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// In the order of the looks.
    pub all: Vec<Finding>,
}

impl Findings {
    /// Says whether nothing is broken.
    pub fn is_sound(&self) -> bool {
        self.all.iter().all(|finding| finding.level != Level::Broken)
    }

    fn push(&mut self, level: Level, about: &'static str, message: impl Into<String>, help: Option<String>) {
        self.all.push(Finding { level, about, message: message.into(), help });
    }

    fn fine(&mut self, about: &'static str, message: impl Into<String>) {
        self.push(Level::Fine, about, message, None);
    }

    fn note(&mut self, about: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Note, about, message, Some(help.into()));
    }

    /// Adds something that was mended.
    pub fn mended(&mut self, about: &'static str, message: impl Into<String>) {
        self.push(Level::Mended, about, message, None);
    }

    /// Adds something that is broken.
    pub fn broken(&mut self, about: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Broken, about, message, Some(help.into()));
    }
}

/// Looks at everything; says whether the hub could be read and remembers what it should.
pub fn examine(session: &Session, found: &mut Findings) -> Result<bool> {
    clone::git(session, found)?;
    clone::locks(session, found)?;
    let is_there = remote::reach(session, found)?;
    remote::abilities(session, found);
    clone::names(session, found)?;
    clone::executors(session, found);
    clone::outbox(session, found)?;
    if is_there {
        remote::prefixes(session, found)?;
        remote::scratch(session, found)?;
        records::half_done(session, found)?;
        records::branches(session, found)?;
    }
    records::unreadable(session, found)?;
    records::merges(session, found)?;
    records::unlisted(session, found)?;
    Ok(is_there)
}

/// Finds out what the remote can do; `None` where there is none.
pub fn probe(session: &Session) -> Result<Option<Probed>> {
    Ok(session.hub.probe(prober(session))?)
}

/// Tells what a remote cannot do, each with what follows from it.
pub fn weaknesses(session: &Session, abilities: &Abilities, found: &mut Findings) {
    remote::weaknesses(session, abilities, found);
}

fn prober(session: &Session) -> Prober<'_> {
    Prober { clone_id: &session.state.clone_id, by: &session.by, ambient: &session.ambient }
}
