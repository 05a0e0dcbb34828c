//! Node records: one orphan commit per node, replaced at each heartbeat (DESIGN.md 2, 3).
//!
//! Owns their format. Who is lost is judged elsewhere, by an observer's own clock.

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::{Edit, Hub};
use crate::ambient::Ambient;
use crate::git::objects::{NewCommit, NewEntry};
use crate::git::repo::Identity;
use crate::task::Name;

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRecord {
    /// The version of this record.
    pub v: u32,
    /// The node's name.
    pub name: String,
    /// The clone's id.
    pub clone: String,
    /// The clone and this start of the program.
    pub instance: String,
    /// The machine.
    pub host: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// The labels that it has.
    pub labels: Vec<String>,
    /// The executors that it offers.
    pub executors: Vec<String>,
    /// Whether it pulls, is pushed to, or both.
    pub mode: String,
    /// The version of the program.
    pub version: String,
    /// The interval of its heartbeats, in seconds; fractions are for tests.
    pub beat_seconds: f64,
    /// `idle`, `busy`, `draining`, `stopped`.
    pub state: String,
    /// The claims that it holds.
    pub claims: Vec<String>,
    /// When it wrote this, RFC 3339.
    pub beat_at: String,
    /// Numbers the beats of an instance: two are never alike.
    pub beat: u64,
}

impl NodeRecord {
    /// The interval of its heartbeats; one that states none, or nonsense, is taken to beat every minute.
    pub fn beat_interval(&self) -> std::time::Duration {
        let seconds =
            if self.beat_seconds > 0.0 && self.beat_seconds < 86_400.0 { self.beat_seconds } else { 60.0 };
        std::time::Duration::from_secs_f64(seconds)
    }
}

/// A node's record with the name that it stands under.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The name of its ref.
    pub name: String,
    /// What it says.
    pub record: NodeRecord,
}

impl Hub {
    /// Reads the records of all nodes, by name; one that cannot be read, or is newer, is left out.
    pub fn node_records(&self) -> Result<Vec<Seen>> {
        let prefix = self.layout.nodes();
        let refs = self.repo.refs_with_prefix(&prefix)?;
        Ok(refs
            .into_iter()
            .filter_map(|(name, id)| {
                let bytes = self.repo.file_in(id, "node.json")?;
                let record: NodeRecord =
                    serde_json::from_slice(&bytes).ok().filter(|record: &NodeRecord| record.v <= 1)?;
                Some(Seen { name: name.strip_prefix(&prefix)?.to_owned(), record })
            })
            .collect())
    }

    /// Prepares the edit that replaces a node's record; `tails` are the last lines of the running tasks' output.
    pub fn beat(
        &self,
        node: &Name,
        record: &NodeRecord,
        tails: &[(String, Vec<u8>)],
        by: &Identity,
        ambient: &Ambient,
    ) -> Result<Edit> {
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        let mut entries = vec![NewEntry { name: "node.json", content: &text }];
        entries.extend(tails.iter().map(|(name, tail)| NewEntry { name, content: tail }));
        let commit = self.repo.write_commit(&NewCommit {
            tree: self.repo.write_tree(&entries)?,
            parents: &[],
            message: &format!("{} is {}\n", record.name, record.state),
            by,
            at: ambient.now(),
        })?;
        let name = self.layout.node(node);
        let old = self.known(&name);
        Ok(Edit::new(name, old, Some(commit)))
    }
}
