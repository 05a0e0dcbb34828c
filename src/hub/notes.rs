//! Writing notes: status lines, seals, logs (DESIGN.md 2.4).
//!
//! Owns that lines are only ever added, and that each writer's notes stand on its own ref. Seals share one ref, so
//! their push is leased on what was seen.

use super::error::Result;
use super::{Edit, Hub};
use crate::ambient::Ambient;
use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::git::repo::Identity;
use crate::task::Name;
use crate::task::event::Event;

/// Text to be added to the note on an object.
#[derive(Debug, Clone)]
pub struct Addition {
    /// The annotated commit.
    pub object: ObjectId,
    /// What is added at the end, whole lines.
    pub text: Vec<u8>,
}

impl Addition {
    /// Adds one event's line.
    pub fn line(object: ObjectId, event: &Event) -> Self {
        Self { object, text: format!("{}\n", event.to_line()).into_bytes() }
    }
}

impl Hub {
    /// Prepares the edit that adds to the notes on the shared ref `name`, on top of what this clone knows of it.
    /// `None` where there is nothing to add.
    pub fn add_to_notes(
        &self,
        name: &str,
        known: Option<ObjectId>,
        additions: &[Addition],
        by: &Identity,
        ambient: &Ambient,
    ) -> Result<Option<Edit>> {
        if additions.is_empty() {
            return Ok(None);
        }
        let mut texts: Vec<(ObjectId, Vec<u8>)> = Vec::new();
        for addition in additions {
            if let Some((_, text)) = texts.iter_mut().find(|(object, _)| *object == addition.object) {
                text.extend_from_slice(&addition.text);
                continue;
            }
            let mut text = known.and_then(|tip| self.repo.note(tip, addition.object)).unwrap_or_default();
            // A push that is tried again may have got this far before.
            if text.windows(addition.text.len().max(1)).any(|part| part == addition.text) {
                continue;
            }
            text.extend_from_slice(&addition.text);
            texts.push((addition.object, text));
        }
        if texts.is_empty() {
            return Ok(None);
        }
        let tree = self.repo.write_notes(known, &texts)?;
        let parents: Vec<ObjectId> = known.into_iter().collect();
        let commit = self.repo.write_commit(&NewCommit {
            tree,
            parents: &parents,
            message: "Notes added by git dispatch\n",
            by,
            at: ambient.now(),
        })?;
        Ok(Some(Edit::new(name, known, Some(commit))))
    }

    /// Prepares the edit that adds status lines to the notes of `writer`.
    pub fn add_status(
        &self,
        writer: &Name,
        additions: &[Addition],
        by: &Identity,
        ambient: &Ambient,
    ) -> Result<Option<Edit>> {
        let name = self.layout.status(writer);
        let known = self.known(&name);
        self.add_to_notes(&name, known, additions, by, ambient)
    }
}
