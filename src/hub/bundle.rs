//! What a bundle file says in our words: which refs it may hold, its stamp, its manifest, and what the other side is
//! known to have (DESIGN.md 6).
//!
//! Owns the names in the file. They are those of the default layout, whatever prefix either side is configured with, so
//! that each maps them to its own. The stamp stands in the header as the name of a ref: kind, node and repository are
//! known before a single object is looked at. When to write or to take in what is `protocol::bundle`'s.

mod notes;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::{Hub, Layout};
use crate::ambient::Ambient;
use crate::git::ObjectId;
use crate::git::bundle::Header;
use crate::git::objects::{NewCommit, NewEntry};
use crate::git::refs::RefChange;
use crate::git::repo::Identity;
use crate::task::name::NameKind;
use crate::task::{Name, Phase, TaskName};

/// The version of stamp and manifest that this program writes.
pub const VERSION: u32 = 1;

/// The file in the manifest's tree.
const FILE: &str = "manifest.json";

/// Which way a bundle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From the hub: tasks that are reserved for a node.
    Work,
    /// To the hub: what a node made.
    Results,
}

impl Kind {
    /// The word in the stamp.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Results => "results",
        }
    }
}

/// What a bundle is, by its stamp.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Which way it goes.
    pub kind: Kind,
    /// The node that it is for, or from.
    pub node: Name,
    /// The root of the queue: no two repositories have the same.
    pub repository: ObjectId,
}

/// What a ref in a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The stamp; it holds the manifest.
    Stamp(Stamp),
    /// A task that the bundle is about, in this phase; it holds the claim.
    Task(Phase, TaskName),
    /// The queue.
    Queue,
    /// The seals.
    Sealed,
    /// A claim chain.
    Claim(TaskName),
    /// The status notes of a writer.
    Status(Name),
    /// The output notes of a node.
    Logs(Name),
    /// The record of a node.
    Node(Name),
    /// Work that was fenced off: of a task, an attempt, a node.
    Attempt(TaskName, u32, Name),
    /// A target branch.
    Target(String),
}

impl Item {
    /// Reads the name that a ref has in a bundle; `None` for one that no bundle of ours holds.
    pub fn parse(name: &str) -> Option<Self> {
        let layout = Layout::default();
        if let Some(rest) = name.strip_prefix(Layout::bundles()) {
            return Self::parse_own(rest.strip_prefix(&format!("v{VERSION}/"))?);
        }
        let node = |text: &str| Name::new(NameKind::Node, text).ok();
        if name == layout.queue() {
            return Some(Self::Queue);
        }
        if name == layout.sealed() {
            return Some(Self::Sealed);
        }
        if let Some(task) = layout.task_of_claim(name) {
            return Some(Self::Claim(task));
        }
        if let Some(writer) = name.strip_prefix(&layout.statuses()) {
            return node(writer).map(Self::Status);
        }
        if let Some(writer) = name.strip_prefix(&layout.all_logs()) {
            return node(writer).map(Self::Logs);
        }
        if let Some(writer) = name.strip_prefix(&layout.nodes()) {
            return node(writer).map(Self::Node);
        }
        if let Some((task, number, node)) = layout.attempt_of(name) {
            return Some(Self::Attempt(task, number, node));
        }
        let branch = name.strip_prefix("refs/heads/")?;
        crate::task::spec::is_branch(branch).then(|| Self::Target(branch.to_owned()))
    }

    fn parse_own(rest: &str) -> Option<Self> {
        let (word, rest) = rest.split_once('/')?;
        let kind = match word {
            "work" => Kind::Work,
            "results" => Kind::Results,
            phase => return Some(Self::Task(phase.parse().ok()?, TaskName::parse(rest).ok()?)),
        };
        let (node, repository) = rest.split_once('/')?;
        let repository = ObjectId::from_hex(repository.as_bytes()).ok()?;
        Some(Self::Stamp(Stamp { kind, node: Name::new(NameKind::Node, node).ok()?, repository }))
    }

    /// Names it as a bundle does, or as a repository with this layout does.
    pub fn name(&self, layout: &Layout) -> String {
        let own = Layout::bundles();
        match self {
            Self::Stamp(stamp) => {
                format!("{own}v{VERSION}/{}/{}/{}", stamp.kind.as_str(), stamp.node, stamp.repository)
            }
            Self::Task(phase, task) => format!("{own}v{VERSION}/{phase}/{task}"),
            Self::Queue => layout.queue(),
            Self::Sealed => layout.sealed(),
            Self::Claim(task) => layout.claim(task),
            Self::Status(writer) => layout.status(writer),
            Self::Logs(writer) => layout.logs(writer),
            Self::Node(node) => layout.node(node),
            Self::Attempt(task, number, node) => layout.attempt(task, *number, node.as_str()),
            Self::Target(branch) => Layout::branch_ref(branch),
        }
    }
}

/// What the header of a bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What it is.
    pub stamp: Stamp,
    /// The manifest commit.
    pub manifest: ObjectId,
    /// The tasks that it is about, each with its phase and claim, by name.
    pub tasks: BTreeMap<TaskName, (Phase, ObjectId)>,
    /// The shared refs.
    pub refs: BTreeMap<Item, ObjectId>,
}

/// Why the refs of a bundle are not those of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strange {
    /// A ref that does not belong there.
    Ref(String),
    /// A stamp of a version that is not known.
    Newer(u32),
    /// No stamp, or two.
    NoStamp,
}

impl Contents {
    /// Sorts the refs of a header.
    pub fn of(header: &Header) -> std::result::Result<Self, Strange> {
        let mut stamps = Vec::new();
        let (mut tasks, mut refs) = (BTreeMap::new(), BTreeMap::new());
        for (name, id) in &header.refs {
            match Item::parse(name) {
                Some(Item::Stamp(stamp)) => stamps.push((stamp, *id)),
                Some(Item::Task(phase, task)) => {
                    tasks.insert(task, (phase, *id));
                }
                Some(item) => {
                    refs.insert(item, *id);
                }
                None => return Err(newer(name).map_or_else(|| Strange::Ref(name.clone()), Strange::Newer)),
            }
        }
        let Some((stamp, manifest)) = stamps.pop().filter(|_| stamps.is_empty()) else {
            return Err(Strange::NoStamp);
        };
        let contents = Self { stamp, manifest, tasks, refs };
        match contents.refs.keys().find(|item| !contents.may_hold(item)) {
            Some(item) => Err(Strange::Ref(item.name(&Layout::default()))),
            None => Ok(contents),
        }
    }

    /// Results come from one node: it speaks for itself alone, and neither for the queue nor for the target.
    fn may_hold(&self, item: &Item) -> bool {
        let is_own = |node: &Name| *node == self.stamp.node;
        match (self.stamp.kind, item) {
            (_, Item::Claim(_)) => true,
            (Kind::Work, Item::Queue | Item::Sealed | Item::Target(_) | Item::Status(_)) => true,
            (_, Item::Attempt(_, _, node))
            | (Kind::Results, Item::Status(node) | Item::Logs(node) | Item::Node(node)) => is_own(node),
            _ => false,
        }
    }

    /// The refs as the file names them.
    pub fn named(&self) -> Vec<(String, ObjectId)> {
        let layout = Layout::default();
        let mut refs = vec![(Item::Stamp(self.stamp.clone()).name(&layout), self.manifest)];
        refs.extend(
            self.tasks.iter().map(|(task, (phase, id))| (Item::Task(*phase, task.clone()).name(&layout), *id)),
        );
        refs.extend(self.refs.iter().map(|(item, id)| (item.name(&layout), *id)));
        refs
    }
}

/// The version of a stamp that this program does not know.
fn newer(name: &str) -> Option<u32> {
    let version = name.strip_prefix(Layout::bundles())?.strip_prefix('v')?.split('/').next()?;
    version.parse().ok().filter(|version| *version > VERSION)
}

/// What a bundle says of itself beside its refs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this record.
    pub v: u32,
    /// Tells this bundle from every other.
    pub id: String,
    /// When it was made, by its maker's clock.
    pub made_at: Timestamp,
    /// The program that made it.
    pub program: String,
    /// The project of specs that name none.
    pub project: String,
    /// The branch that results go to.
    pub target: String,
    /// The prefix of refs that the maker is configured with.
    pub ref_prefix: String,
    /// The prefix of task branches that the maker is configured with.
    pub branch_prefix: String,
    /// All that the bundle holds, by the names in the file: a flipped bit in the header does not pass.
    pub refs: BTreeMap<String, String>,
    /// What its maker has of the other side: what it acknowledges.
    pub has: BTreeSet<String>,
}

impl Manifest {
    /// What whoever wrote this is known to have.
    pub fn acknowledged(&self) -> HashSet<ObjectId> {
        let ids = self.refs.values().chain(&self.has);
        ids.filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()).collect()
    }

    /// Says whether it is the manifest of a bundle with these contents.
    pub fn fits(&self, contents: &Contents) -> bool {
        let named: BTreeMap<String, String> =
            contents.named().into_iter().skip(1).map(|(name, id)| (name, id.to_string())).collect();
        self.refs == named
    }
}

impl Hub {
    /// Writes a manifest as a commit of its own.
    pub fn write_manifest(&self, manifest: &Manifest, by: &Identity, ambient: &Ambient) -> Result<ObjectId> {
        let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
        Ok(self.repo.write_commit(&NewCommit {
            tree: self.repo.write_tree(&[NewEntry { name: FILE, content: &text }])?,
            parents: &[],
            message: &format!("Bundle {}\n", manifest.id),
            by,
            at: ambient.now(),
        })?)
    }

    /// Reads a manifest; `None` where it is none, an error where it is of a newer version.
    pub fn read_manifest(&self, id: ObjectId) -> Result<Option<Manifest>> {
        let Some(text) = self.repo.file_in(id, FILE) else { return Ok(None) };
        let version = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|json| json["v"].as_u64());
        if let Some(version) = version.and_then(|version| u32::try_from(version).ok()).filter(|v| *v > VERSION) {
            return Err(Error::Newer { what: "the bundle".to_owned(), version, known: VERSION });
        }
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The manifest that a local ref pins.
    pub fn pinned_manifest(&self, name: &str) -> Result<Option<Manifest>> {
        self.repo.ref_value(name).map_or(Ok(None), |id| self.read_manifest(id))
    }

    /// Pins a manifest under a local ref.
    pub fn pin_manifest(&self, name: &str, id: ObjectId) -> Result<()> {
        let old = self.repo.ref_value(name);
        if old == Some(id) {
            return Ok(());
        }
        Ok(self.repo.change_refs(&[RefChange::new(name, old, Some(id))], "git dispatch: bundle")?)
    }

    /// Says whether this clone was opened from a bundle, and is its own hub.
    pub fn is_away(&self) -> bool {
        self.is_embedded() && self.repo.ref_value(&Layout::opened()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_hex(&[digit; 40]).unwrap()
    }

    fn node(name: &str) -> Name {
        Name::new(NameKind::Node, name).unwrap()
    }

    fn task() -> TaskName {
        TaskName::parse("p/a").unwrap()
    }

    fn stamp(kind: Kind) -> Stamp {
        Stamp { kind, node: node("vault"), repository: id(b'1') }
    }

    #[test]
    fn every_item_reads_back() {
        let items = [
            Item::Stamp(stamp(Kind::Work)),
            Item::Task(Phase::Assigned, task()),
            Item::Queue,
            Item::Sealed,
            Item::Claim(task()),
            Item::Status(node("n")),
            Item::Logs(node("n")),
            Item::Node(node("n")),
            Item::Attempt(task(), 2, node("n-1")),
            Item::Target("release/1".to_owned()),
        ];
        for item in items {
            assert_eq!(Item::parse(&item.name(&Layout::default())), Some(item));
        }
    }

    #[test]
    fn names_that_are_not_ours_are_none() {
        for name in [
            "refs/heads/../x",
            "refs/heads/-x",
            "refs/tags/v1",
            "HEAD",
            "refs/dispatch/claims/p",
            "refs/dispatch/claims/p/../../x",
            "refs/dispatch/control",
            "refs/dispatch-local/bundle/opened",
            "refs/notes/dispatch/a/b",
            "refs/notes/commits",
            "refs/remotes/origin/main",
            "refs/dispatch/attempts/p/a/x-n",
            "refs/dispatch-bundle/v1/work/vault/xyz",
            "refs/heads/a\u{1b}[2J",
        ] {
            assert_eq!(Item::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_node_speaks_for_itself_alone() {
        let header = |refs: &[Item]| Header {
            refs: refs.iter().map(|item| (item.name(&Layout::default()), id(b'2'))).collect(),
            ..Header::default()
        };
        let results = Item::Stamp(stamp(Kind::Results));
        let own = [results.clone(), Item::Claim(task()), Item::Status(node("vault"))];
        assert!(Contents::of(&header(&own)).is_ok());
        for foreign in [Item::Queue, Item::Sealed, Item::Target("main".into()), Item::Logs(node("other"))] {
            let name = foreign.name(&Layout::default());
            assert_eq!(Contents::of(&header(&[results.clone(), foreign])), Err(Strange::Ref(name)));
        }
        assert_eq!(Contents::of(&header(&[Item::Queue])), Err(Strange::NoStamp));
        let later = Header { refs: vec![("refs/dispatch-bundle/v2/x".into(), id(b'2'))], ..Header::default() };
        assert_eq!(Contents::of(&later), Err(Strange::Newer(2)));
    }
}
