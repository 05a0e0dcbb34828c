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
        let mut platform = old.changes().map_err(failed)?;
        platform.options(|options| {
            options.track_rewrites(None);
        });
        let (mut lines, mut walked) = (self.line_counter().map_err(failed)?, self.line_counter().map_err(failed)?);
        let (mut added, mut removed, mut paths) = (0, 0, Vec::new());
        let walk = platform.for_each_to_obtain_tree_with_cache(&new, &mut walked, |change| {
            if !change.entry_mode().is_tree() {
                paths.push(change.location().to_str_lossy().into_owned());
            }
            // Counting lines needs the blobs; a change that cannot be counted is still a change.
            let counted = change.diff(&mut lines).ok().and_then(|mut diff| diff.line_counts().ok()).flatten();
            added += counted.as_ref().map_or(0, |counted| u64::from(counted.insertions));
            removed += counted.as_ref().map_or(0, |counted| u64::from(counted.removals));
            lines.clear_resource_cache_keep_allocation();
            Ok(std::ops::ControlFlow::Continue(()))
        });
        walk.map_err(failed)?;
        Ok(Changed { added, removed, paths })
    }

    /// What compares the lines of files, as the attributes in the index say, or in HEAD where there is none.
    fn line_counter(&self) -> std::result::Result<gix::diff::blob::Platform, gix::Error> {
        if !self.keeps_tables() {
            return self.gix.diff_resource_cache_for_tree_diff();
        }
        // Of itself gix looks for HEAD in a file, and the one that is there names no branch.
        let index: gix::index::State = match (self.gix.try_index()?, self.ref_value("HEAD")) {
            (Some(index), _) => index.into_owned_or_cloned().into(),
            (None, Some(head)) => {
                let tree = self.gix.find_object(head)?.peel_to_tree()?.id;
                self.gix.index_from_tree(&tree)?.into()
            }
            (None, None) => gix::index::State::new(self.gix.object_hash()),
        };
        let attributes = gix::worktree::stack::state::attributes::Source::IdMapping;
        let attributes = self.gix.attributes_only(&index, attributes)?.detach();
        gix::diff::resource_cache(&self.gix, gix::diff::blob::pipeline::Mode::ToGit, attributes, Default::default())
    }
}
