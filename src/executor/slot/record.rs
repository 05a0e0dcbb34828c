//! What a slot says of the attempt that it works on, for a later start of the program and for `logs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fail;

/// The file in a slot's folder; beside the clone, so that the executor does not meet it.
const FILE: &str = "slot.json";

/// The attempt that a slot works on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotRecord {
    /// The task.
    pub task: String,
    /// The claim.
    pub claim: String,
    /// Where the work started.
    pub base: String,
    /// The task branch.
    pub branch: String,
    /// Whether an executor was about to be started: before that there is nothing to save, and nothing to end.
    pub begun: bool,
    /// The process group of the executor, once it is started.
    pub group: Option<u32>,
    /// The start of that group's first process, which tells it from a later one of the same number.
    pub started: Option<String>,
    /// The slot's number.
    pub slot: usize,
    /// The tmux window that the work is done in.
    pub tmux: Option<Window>,
}

/// A window in a tmux session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    /// The server's socket.
    pub socket: String,
    /// The session.
    pub session: String,
    /// The window's own id, such as `@3`.
    pub window: String,
    /// Its pane's, such as `%4`.
    pub pane: String,
}

impl SlotRecord {
    /// Writes the record, whole or not at all.
    pub fn write(&self, slot: &super::Slot) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        std::fs::create_dir_all(slot.root())?;
        let file = tempfile::NamedTempFile::new_in(slot.root())?;
        std::fs::write(file.path(), text)?;
        fail::point("slot.written");
        file.persist(slot.root().join(FILE)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the record: the slot is free.
    pub fn remove(slot: &super::Slot) {
        fail::point("slot.before_removal");
        let _ = std::fs::remove_file(slot.root().join(FILE));
    }

    /// The folder of the output.
    pub fn log_dir(&self, work_dir: &Path) -> PathBuf {
        super::Slot::at(work_dir, self.slot).log_dir()
    }

    /// Reads what a slot says of itself; `None` where it is free.
    pub fn of(slot: &super::Slot) -> Option<Self> {
        Self::read(slot.root())
    }

    /// Reads what a slot's folder says, also one that was moved aside.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Lists what the slots below a node's folder say, those that say anything.
    pub fn list(work_dir: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(work_dir) else {
            return Vec::new();
        };
        let mut found: Vec<Self> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let record = Self::read(&path)?;
                // One that was moved aside says nothing of the slot that took its place.
                (path == super::Slot::at(work_dir, record.slot).root()).then_some(record)
            })
            .collect();
        found.sort_by_key(|record| record.slot);
        found
    }
}
