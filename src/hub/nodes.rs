//! Node records: one orphan commit per node, replaced at each heartbeat (DESIGN.md 2, 3).
//!
//! Owns their format: `node.json`, and beside it `logs/<project>/<id>`, the last lines of each running task's output, so
//! that the whole fleet can be watched through the hub. Who is lost is judged elsewhere, by an observer's own clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::{Edit, Hub};
use crate::ambient::Ambient;
use crate::git::ObjectId;
use crate::git::objects::{NewCommit, NewEntry};
use crate::git::repo::Identity;
use crate::task::{Name, TaskName};

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
    /// Where in each running task's output the tail that is beside this record begins, in bytes, by claim.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tails: BTreeMap<String, u64>,
    /// What goes into the files beside this record; empty in a record that was read.
    #[serde(skip)]
    pub output: Vec<Tail>,
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

/// The last lines of a running task's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The task.
    pub task: TaskName,
    /// Its claim.
    pub claim: String,
    /// Where it begins in the output, in bytes.
    pub from: u64,
    /// The output from there on.
    pub text: Vec<u8>,
    /// When the beat was made that brought it, by its node's clock.
    pub at: Option<Timestamp>,
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

    /// Reads the tail of a running task's output that its node sent with its last beat.
    pub fn tail(&self, node: &Name, task: &TaskName, claim: &str) -> Option<Tail> {
        let id = self.known(&self.layout.node(node))?;
        let record: NodeRecord = serde_json::from_slice(&self.repo.file_in(id, "node.json")?).ok()?;
        let from = *record.tails.get(claim)?;
        let text = self.repo.file_in(id, &tail_file(task))?;
        Some(Tail { task: task.clone(), claim: claim.to_owned(), from, text, at: record.beat_at.parse().ok() })
    }

    /// Prepares the edit that replaces a node's record.
    pub fn beat(&self, node: &Name, record: &NodeRecord, by: &Identity, ambient: &Ambient) -> Result<Edit> {
        let tails = &record.output;
        let places = tails.iter().map(|tail| (tail.claim.clone(), tail.from)).collect();
        let record = NodeRecord { tails: places, ..record.clone() };
        let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        let files: Vec<String> = tails.iter().map(|tail| tail_file(&tail.task)).collect();
        let mut entries = vec![NewEntry { name: "node.json", content: &text }];
        entries.extend(files.iter().zip(tails).map(|(name, tail)| NewEntry { name, content: &tail.text }));
        let name = self.layout.node(node);
        let old = self.known(&name);
        // Where nothing may be replaced by what does not descend from it, beats are chained.
        let before = old.filter(|_| self.abilities().rewinds == Some(false));
        let parents: Vec<ObjectId> = before.into_iter().collect();
        let commit = self.repo.write_commit(&NewCommit {
            tree: self.repo.write_tree(&entries)?,
            parents: &parents,
            message: &format!("{} is {}\n", record.name, record.state),
            by,
            at: ambient.now(),
        })?;
        Ok(Edit::new(name, old, Some(commit)))
    }
}

fn tail_file(task: &TaskName) -> String {
    format!("logs/{}/{}", task.project, task.id)
}
