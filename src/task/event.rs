//! One line of a task's history: the status record of notes, `status.json` and seals (DESIGN.md 2.4).
//!
//! Owns the keys and their spelling. Where lines are stored and which of them are believed is `hub`'s.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::phase::Reason;

/// The version of the status record that this program writes.
pub const VERSION: u32 = 1;

/// One event of a task; keys that do not apply are left out, keys that are not known are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The version of the record's format.
    pub v: u32,
    /// When it happened, UTC.
    pub at: Timestamp,
    /// What happened, as the table of DESIGN.md 2.4 names it.
    pub event: String,
    /// The task, `<project>/<id>`; seals name it, so that they can be read alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The node concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The slot of the node that worked on it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// The claim commit that this line belongs to; a line whose claim is not in the task's chain is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Why an attempt was released or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When the executor was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Seconds between the two, to the millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// The executor's exit code; absent when a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The commit that the work started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The commit that the work ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The task branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Lines added between base and result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loc_added: Option<u64>,
    /// Lines removed between base and result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loc_removed: Option<u64>,
    /// Files changed between base and result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_changed: Option<u64>,
    /// The result's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_hash: Option<String>,
    /// Paths changed that the spec's `modifies` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_modifies: Option<Vec<String>>,
    /// What went wrong, the first 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes of output, before it was bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// An object that the executor left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The branch merged into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The merge commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_commit: Option<String>,
    /// The paths that conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ConflictFile>>,
    /// The task that mends the conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<String>,
    /// The seal's claim that this task's last chain reopened; on seals only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopens: Option<String>,
    /// Attempts charged when the task was sealed; on seals only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged: Option<u32>,
}

/// A path that does not merge, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConflictFile {
    /// The path in the tree; the target's branch name for `base_rewritten`.
    pub path: String,
    /// The kind of conflict, in the words of `git merge-tree` (`contents`, `add/add`, …) or `base_rewritten`.
    pub kind: String,
}

/// Bounds an error text to the 500 characters that a record holds.
pub fn bounded_error(text: &str) -> String {
    text.chars().take(500).collect()
}

impl Event {
    /// Starts a line for `event` at `at`.
    pub fn new(event: &str, at: Timestamp) -> Self {
        Self { v: VERSION, at, event: event.to_owned(), ..Self::default() }
    }

    /// Returns the line as it is stored, without the newline.
    pub fn to_line(&self) -> String {
        // A struct of texts and numbers: serde_json cannot fail on it but for a float that is not finite.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the lines of one note; lines that cannot be read, or are of a newer version, are skipped.
    pub fn parse_lines(text: &[u8]) -> Vec<Self> {
        text.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Self>(line).ok())
            .filter(|event| event.v <= VERSION && !event.event.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_rubbish_between_is_skipped() {
        let mut event = Event::new("completed", Timestamp::from_second(1_700_000_000).unwrap());
        event.node = Some("a".into());
        event.duration_seconds = Some(1.5);
        let text = format!("not json\n{}\n{{\"v\":99,\"event\":\"x\"}}\n\n", event.to_line());
        assert_eq!(Event::parse_lines(text.as_bytes()), vec![event]);
    }
}
