//! What changed between two commits: paths and line counts.

use gix::ObjectId;
use gix::bstr::ByteSlice;

use super::error::{Error, Result};
use super::repo::Repo;

/// The size of a change, and the paths that it touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// The paths, in tree order; a rename is a removal and an addition.
    pub paths: Vec<String>,
}

impl Repo {
    /// Measures the change from `base` to `result`.
    pub fn changed(&self, base: ObjectId, result: ObjectId) -> Result<Changed> {
        let failed = |error: gix::Error| Error::storage("cannot compare commits", &error);
        let tree = |id| self.gix.find_object(id).and_then(gix::Object::peel_to_tree).map_err(failed);
        let (old, new) = (tree(base)?, tree(result)?);
        let options = gix::diff::Options::default();
        let changes = self.gix.diff_tree_to_tree(&old, &new, options).map_err(failed)?;
        let paths: Vec<String> = changes
            .iter()
            .filter(|change| !change.entry_mode().is_tree())
            .map(|change| change.location().to_str_lossy().into_owned())
            .collect();
        let mut platform = old.changes().map_err(failed)?;
        platform.options(|options| {
            options.track_rewrites(None);
        });
        // Counting lines needs the blobs; a change that cannot be counted is still a change.
        let (added, removed) =
            platform.stats(&new).map_or((0, 0), |stats| (stats.lines_added, stats.lines_removed));
        Ok(Changed { added, removed, paths })
    }
}
