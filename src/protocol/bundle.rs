//! Bundle: the whole loop over files, for nodes that never see the hub (DESIGN.md 6).
//!
//! ```text
//!   the hub's side                                      the other side
//!   create --for NODE ── work: queue, claims, … ──▶ open    (a clone that is its own hub)
//!                                                       run
//!   collect --bundle ◀── results: claims, notes ─── create --results
//! ```
//!
//! Owns what is packed and on what terms it is taken in. Each file holds what its reader is not known to have: what the
//! last file from there acknowledged, not what was sent. A file that is lost is made again.

pub mod error;
pub mod import;
pub mod open;
pub mod outbox;
pub mod results;
pub mod work;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

pub use error::Refused;

use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::git::bundle::{BundleError, Header, Unfinished};
use crate::hub::bundle::{Contents, Item, Kind, Manifest, Stamp, Strange, VERSION};
use crate::hub::snapshot::Snapshot;
use crate::hub::{Error as HubError, Hub};
use crate::task::{Name, Phase, TaskName};

/// A bundle file whose header was read, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The file.
    pub path: PathBuf,
    /// Its header.
    pub header: Header,
    /// What that says.
    pub contents: Contents,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a command that packs did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file; none where there is nothing new, or on a dry run.
    pub file: Option<PathBuf>,
    /// Which way it goes.
    pub kind: Kind,
    /// The node that it is for, or from.
    pub node: Name,
    /// The tasks that it is about, each with its phase.
    pub tasks: BTreeMap<TaskName, Phase>,
    /// Those of them that were reserved for it now.
    pub reserved: Vec<TaskName>,
    /// Those of them whose reservation is over: anybody may take them.
    pub expired: Vec<TaskName>,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Made {
    fn nothing(kind: Kind, node: &Name) -> Self {
        Self {
            file: None,
            kind,
            node: node.clone(),
            tasks: BTreeMap::new(),
            reserved: Vec::new(),
            expired: Vec::new(),
            bytes: 0,
        }
    }
}

impl Bundle {
    /// Reads the header of a file and checks it within bounds. No repository is needed.
    pub fn read(path: &Path) -> Result<Self> {
        let header = Header::read(path)?;
        let bytes = std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0);
        let contents = Contents::of(&header).map_err(|strange| match strange {
            Strange::Ref(name) => Refused::BadRef { path: path.to_owned(), name }.into(),
            Strange::NoStamp => Refused::NotOurs { path: path.to_owned() }.into(),
            Strange::Newer(version) => {
                let what = "the bundle".to_owned();
                super::Error::from(HubError::Newer { what, version, known: VERSION })
            }
        })?;
        Ok(Self { path: path.to_owned(), header, contents, bytes })
    }

    fn demand(&self, kind: Kind) -> Result<()> {
        if self.contents.stamp.kind == kind {
            return Ok(());
        }
        Err(Refused::WrongWay { path: self.path.clone(), is_work: self.contents.stamp.kind == Kind::Work }.into())
    }

    /// Refuses a file of a repository whose queue begins otherwise.
    fn demand_repository(&self, own: Option<ObjectId>) -> Result<()> {
        if own == Some(self.contents.stamp.repository) {
            return Ok(());
        }
        Err(Refused::Foreign { path: self.path.clone() }.into())
    }

    /// Brings the objects here, and checks that header and manifest say the same; no ref is written.
    fn unpack(&self, hub: &Hub) -> Result<Manifest> {
        hub.repo.unpack_bundle(&self.path, &self.header)?;
        let manifest = hub.read_manifest(self.contents.manifest)?;
        let damaged = || BundleError::Damaged {
            path: self.path.clone(),
            detail: "its header is not what its manifest says".to_owned(),
        };
        Ok(manifest.filter(|manifest| manifest.fits(&self.contents)).ok_or_else(damaged)?)
    }
}

/// Names the repository: by the root of its queue. `None` where nothing was ever enqueued.
fn repository(snapshot: &Snapshot) -> Option<ObjectId> {
    snapshot.tasks.first().and_then(|task| task.specs.first()).copied()
}

/// What goes into a file.
struct Packing {
    stamp: Stamp,
    tasks: BTreeMap<TaskName, (Phase, ObjectId)>,
    refs: BTreeMap<Item, ObjectId>,
    /// What the reader is known to have.
    known: HashSet<ObjectId>,
    /// What is acknowledged with it.
    has: BTreeSet<String>,
}

/// Writes a file; its manifest says what stands in it and what is acknowledged.
fn write(session: &Session, packing: Packing, path: &Path) -> Result<Made> {
    begin(session, packing, path)?.finish()
}

/// A file that is being written. Dropped, it is taken back.
struct Begun {
    contents: Contents,
    file: Unfinished,
}

impl Begun {
    fn finish(self) -> Result<Made> {
        let (contents, path) = (self.contents, self.file.path().to_owned());
        let bytes = self.file.finish()?;
        Ok(Made {
            file: Some(path),
            kind: contents.stamp.kind,
            node: contents.stamp.node,
            tasks: contents.tasks.into_iter().map(|(task, (phase, _))| (task, phase)).collect(),
            reserved: Vec::new(),
            expired: Vec::new(),
            bytes,
        })
    }
}

fn begin(session: &Session, packing: Packing, path: &Path) -> Result<Begun> {
    let Packing { stamp, tasks, refs, known, has } = packing;
    let placeholder = stamp.repository;
    let mut contents = Contents { stamp, manifest: placeholder, tasks, refs };
    let named = contents.named().into_iter().skip(1);
    let manifest = Manifest {
        v: VERSION,
        id: session.nonce()?,
        made_at: session.ambient.now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        project: session.project.to_string(),
        target: session.hub.target.clone(),
        ref_prefix: session.config.ref_prefix.clone(),
        branch_prefix: session.config.branch_prefix.clone(),
        refs: named.map(|(name, id)| (name, id.to_string())).collect(),
        has,
    };
    contents.manifest = session.hub.write_manifest(&manifest, &session.by, &session.ambient)?;
    let known: Vec<ObjectId> = known.into_iter().collect();
    let file = session.hub.repo.begin_bundle(path, &contents.named(), &known)?;
    Ok(Begun { contents, file })
}

/// The work of a node that was fenced off.
fn attempts(session: &Session, node: &Name) -> Result<BTreeMap<Item, ObjectId>> {
    let layout = &session.hub.layout;
    let kept = session.hub.repo.refs_with_prefix(&layout.attempts())?;
    let own = kept.into_iter().filter_map(|(name, work)| Some((layout.attempt_of(&name)?, work)));
    let own = own.filter(|((_, _, of), _)| of == node);
    Ok(own.map(|((task, number, of), work)| (Item::Attempt(task, number, of), work)).collect())
}

/// Refuses, in a clone that was opened from a bundle, what only the hub's side may do.
pub fn refuse_away(session: &Session, refused: Refused) -> Result<()> {
    if session.away { Err(refused.into()) } else { Ok(()) }
}
