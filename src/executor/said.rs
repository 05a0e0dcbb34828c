//! What an executor says of its own end with `git dispatch done` (CLI.md, "Working").
//!
//! Owns the word's file, beside the clone. It counts for the very claim that it was said under, and for nothing later;
//! what it means for the task is judged where executors are judged.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::slot::{Slot, SlotRecord};
use super::{Error, Result};
use crate::ambient::Ambient;

/// The file in a slot's folder.
const FILE: &str = "said.json";

/// What was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// The claim that was worked on.
    pub claim: String,
    /// Whether it did not work out.
    pub failed: bool,
    /// Why it did not, for people.
    pub error: Option<String>,
}

impl Said {
    /// Leaves the word in a slot, whole or not at all.
    pub fn say(&self, slot: &Slot) -> Result<()> {
        let failed = |error| Error::slot(slot.root(), error);
        let text = serde_json::to_vec(self).map_err(std::io::Error::other).map_err(failed)?;
        let file = tempfile::NamedTempFile::new_in(slot.root()).map_err(failed)?;
        fs::write(file.path(), text).map_err(failed)?;
        file.persist(slot.root().join(FILE)).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Reads what was said under this claim; nothing where nothing was, or of an earlier one.
    pub fn of(slot: &Slot, claim: &str) -> Option<Self> {
        let path = slot.root().join(FILE);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() < 1024 * 1024);
        let said: Self = is_file.then(|| serde_json::from_slice(&fs::read(&path).ok()?).ok()).flatten()?;
        (said.claim == claim).then_some(said)
    }
}

/// Finds the slot that is worked in: the one whose clone holds the folder where we are, else the one that the executor's
/// environment names. Only one in which a task is at work is returned.
pub fn slot_here(ambient: &Ambient) -> Result<(Slot, SlotRecord)> {
    let cwd = fs::canonicalize(&ambient.cwd).unwrap_or_else(|_| ambient.cwd.clone());
    let by_folder = cwd.ancestors().filter(|folder| folder.ends_with("clone")).filter_map(Path::parent);
    let named = ambient.var("DISPATCH_PROMPT_FILE").map(PathBuf::from);
    let by_name = named.as_deref().and_then(|file| file.parent()?.parent());
    let at_work = |root: &Path| {
        let slot = Slot::of_root(root);
        SlotRecord::of(&slot).filter(|record| record.begun).map(|record| (slot, record))
    };
    by_folder.chain(by_name).find_map(at_work).ok_or(Error::NotInSlot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_for_its_own_claim_alone() {
        let folder = tempfile::tempdir().unwrap();
        let slot = Slot::of_root(folder.path());
        assert_eq!(Said::of(&slot, "c1"), None);
        let said = Said { claim: "c1".into(), failed: true, error: Some("no".into()) };
        said.say(&slot).unwrap();
        assert_eq!((Said::of(&slot, "c1"), Said::of(&slot, "c2")), (Some(said), None));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Said::of(&slot, "c1"), None);
    }
}
