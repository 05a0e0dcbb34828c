//! The control record: which nodes are paused (DESIGN.md 2).

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::{Edit, Hub};
use crate::ambient::Ambient;
use crate::git::objects::{NewCommit, NewEntry};
use crate::git::repo::Identity;

/// The file in a control commit's tree.
const FILE: &str = "control.json";

/// The newest version of the record that this program knows.
const VERSION: u32 = 1;

/// Which nodes take no new work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// The version of this record.
    pub v: u32,
    /// Whether the whole fleet is paused.
    pub all: bool,
    /// The nodes that are paused.
    pub paused: Vec<String>,
}

impl Control {
    /// Says whether a node takes no new work.
    pub fn is_paused(&self, node: &str) -> bool {
        self.all || self.paused.iter().any(|name| name == node)
    }
}

impl Hub {
    /// Reads the control record as it is known here; none counts as nothing paused.
    pub fn control(&self) -> Result<Control> {
        let Some(tip) = self.known(&self.layout.control()) else { return Ok(Control::default()) };
        let bytes = self.repo.file_in(tip, FILE).unwrap_or_default();
        let control: Control = serde_json::from_slice(&bytes).unwrap_or_default();
        if control.v > VERSION {
            return Err(Error::Newer { what: "the control record".to_owned(), version: control.v, known: VERSION });
        }
        Ok(control)
    }

    /// Prepares the edit that puts a changed record on top of the one that is known.
    pub fn set_control(&self, control: &Control, message: &str, by: &Identity, ambient: &Ambient) -> Result<Edit> {
        let name = self.layout.control();
        let known = self.known(&name);
        let record = Control { v: VERSION, ..control.clone() };
        let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        let parents: Vec<_> = known.into_iter().collect();
        let commit = self.repo.write_commit(&NewCommit {
            tree: self.repo.write_tree(&[NewEntry { name: FILE, content: &text }])?,
            parents: &parents,
            message,
            by,
            at: ambient.now(),
        })?;
        Ok(Edit::new(name, known, Some(commit)))
    }
}
