//! Looking at the hub itself, past the mirror.
//!
//! Owns how single refs of it are read, those that are not mirrored, and those that may have moved since. What is read of all
//! of it is `sync`'s.

use std::collections::HashMap;

use super::error::Result;
use super::{Hub, Layout, Place};
use crate::git::ObjectId;

impl Hub {
    /// Reads shared refs of the hub itself that are not mirrored, such as task branches and logs.
    pub fn look(&self, names: &[String]) -> Result<HashMap<String, ObjectId>> {
        match &self.place {
            Place::Remote(remote) => Ok(self.repo.ls_remote(remote, names, self.deadline)?.into_iter().collect()),
            Place::Embedded => {
                Ok(names.iter().filter_map(|name| Some((name.clone(), self.repo.ref_value(name)?))).collect())
            }
        }
    }

    /// Lists what stands on the hub itself below the prefixes.
    pub fn list(&self, prefixes: &[String]) -> Result<Vec<(String, ObjectId)>> {
        match &self.place {
            Place::Remote(remote) => Ok(self.repo.ls_remote_below(remote, prefixes, self.deadline)?),
            Place::Embedded => {
                let mut found = Vec::new();
                for prefix in prefixes {
                    found.extend(self.repo.refs_with_prefix(prefix)?);
                }
                Ok(found)
            }
        }
    }

    /// Brings shared refs that are not mirrored here, under their arrival names, and returns what they hold.
    pub fn fetch_unmirrored(&self, names: &[String]) -> Result<HashMap<String, ObjectId>> {
        if let Place::Remote(remote) = &self.place {
            let there = self.look(names)?;
            let refspecs: Vec<String> =
                there.keys().map(|name| format!("+{name}:{}", Layout::arrival(name))).collect();
            if !refspecs.is_empty() {
                self.repo.fetch(remote, &refspecs, false, self.deadline)?;
            }
            return Ok(there);
        }
        self.look(names)
    }
}
