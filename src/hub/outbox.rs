//! Results that wait for the hub: pinned, on disk, and synced (DESIGN.md 3.4).
//!
//! Owns the records and the refs that keep their objects. Publishing them, under the rules of finishing, is
//! `protocol::finish`'s.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::local::LocalState;
use super::{Hub, Layout};
use crate::git::refs::RefChange;
use crate::git::{Error as GitError, ObjectId};

/// A finished attempt whose result the hub may not have yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The version of this record.
    pub v: u32,
    /// The task.
    pub task: String,
    /// The claim that the work was done under: the lease of the finish.
    pub claim: String,
    /// The commit that ends the attempt: the claim's child, with the result, the status record and the log's end.
    pub finish: String,
    /// The blob with what the log notes will say: the bounded output in its frame.
    pub log: Option<String>,
    /// The node that did the work, and whose notes tell of it.
    pub node: String,
    /// Why it is no longer to be published, once that is known; the work is kept then.
    pub fenced: Option<String>,
    /// In how many rounds the hub answered and did not take it.
    #[serde(default)]
    pub rounds: u32,
    /// Why the hub will not have it, once that is known; the work is kept then.
    #[serde(default)]
    pub refused: Option<String>,
}

impl Waiting {
    /// Says whether it is still to be published as a result.
    pub fn is_open(&self) -> bool {
        self.fenced.is_none() && self.refused.is_none()
    }
}

/// A record that is not of this version, or broken: kept, named, never acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file's name.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

impl Hub {
    /// Stores a record: objects pinned first, then the record written through to the disk.
    pub fn put_in_outbox(&self, state: &LocalState, waiting: &Waiting) -> Result<()> {
        let finish = parse_id(&waiting.finish)?;
        let name = Layout::outbox(&waiting.claim);
        let old = self.repo.ref_value(&name);
        let mut changes = vec![RefChange::new(name, old, Some(finish))];
        if let Some(log) = &waiting.log {
            let name = format!("{}-log", Layout::outbox(&waiting.claim));
            let old = self.repo.ref_value(&name);
            changes.push(RefChange::new(name, old, Some(parse_id(log)?)));
        }
        self.repo.change_refs(&changes, "git dispatch: result")?;
        state.write(&file_of(&waiting.claim), waiting)
    }

    /// Lets go of the work of an attempt that the hub has by now.
    pub fn unpin_result(&self, claim: &str) -> Result<()> {
        let name = Layout::result(claim);
        if let Some(old) = self.repo.ref_value(&name) {
            self.repo.change_refs(&[RefChange::new(name, Some(old), None)], "git dispatch: published")?;
        }
        Ok(())
    }

    /// Removes a record and its pins; what is gone already is no error.
    pub fn take_from_outbox(&self, state: &LocalState, claim: &str) -> Result<()> {
        for name in [Layout::outbox(claim), format!("{}-log", Layout::outbox(claim)), Layout::result(claim)] {
            if let Some(old) = self.repo.ref_value(&name) {
                self.repo.change_refs(&[RefChange::new(name, Some(old), None)], "git dispatch: published")?;
            }
        }
        // Last: as long as the record is there, the next start takes this up, and nobody else knows of the pins.
        state.remove(&file_of(claim))
    }
}

/// Lists the records, oldest file name first, and the files that are none.
pub fn list(state: &LocalState) -> Result<(Vec<Waiting>, Vec<Broken>)> {
    let folder = state.path("outbox");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        Err(error) => return Err(GitError::file(folder, error).into()),
    };
    let mut files: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".json"))
        .collect();
    files.sort();
    let (mut waiting, mut broken) = (Vec::new(), Vec::new());
    for file in files {
        match state.read::<Waiting>(&format!("outbox/{file}"))? {
            Some(record) if record.v == 1 => waiting.push(record),
            Some(record) => broken.push(Broken { file, why: format!("is of version {}", record.v) }),
            None => broken.push(Broken { file, why: "cannot be read".to_owned() }),
        }
    }
    Ok((waiting, broken))
}

fn file_of(claim: &str) -> String {
    format!("outbox/{claim}.json")
}

fn parse_id(text: &str) -> Result<ObjectId> {
    ObjectId::from_hex(text.as_bytes())
        .map_err(|error| Error::State { path: "outbox".into(), detail: format!("{text} is no object id: {error}") })
}
