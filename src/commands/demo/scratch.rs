//! The folder that the demo is played in: made, and removed unless somebody wants it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{DemoError, Result};

/// The scratch folder; dropped, it is removed unless it is kept.
pub(super) struct Scratch {
    path: PathBuf,
    /// What removes it; nothing where it is kept.
    folder: Option<TempDir>,
}

impl Scratch {
    /// Opens the folder that was named, which is kept in any case, or makes one.
    pub(super) fn open(dir: Option<&Path>, keep: bool) -> Result<Self> {
        let Some(dir) = dir else {
            return Self::make(keep).map_err(|source| DemoError::NoFolder { path: None, source });
        };
        if !is_free(dir) {
            return Err(DemoError::Taken { path: dir.to_owned() });
        }
        let path = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
        Ok(Self {
            path: path.map_err(|source| DemoError::NoFolder { path: Some(dir.to_owned()), source })?,
            folder: None,
        })
    }

    fn make(keep: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("git-dispatch-demo-").tempdir()?;
        // As git prints it, even where the folder for temporary files is behind a link.
        let path = folder.path().canonicalize()?;
        let folder = if keep {
            let _ = folder.keep();
            None
        } else {
            Some(folder)
        };
        Ok(Self { path, folder })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether it is there afterwards.
    pub(super) const fn is_kept(&self) -> bool {
        self.folder.is_none()
    }
}

/// Tells whether a folder is empty, or nothing is there yet. What cannot be looked into is not free.
fn is_free(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(dir).is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_an_empty_folder_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(is_free(folder.path()) && is_free(&at("new/deep")));
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        for taken in [folder.path().to_owned(), at("file"), at("dangling")] {
            assert!(!is_free(&taken), "{}", taken.display());
        }
    }

    #[test]
    fn a_folder_of_our_own_goes_unless_it_is_kept() {
        let gone = Scratch::open(None, false).unwrap();
        let path = gone.path().to_owned();
        assert!(path.is_dir() && !gone.is_kept());
        drop(gone);
        assert!(!path.exists());
        let outer = tempfile::tempdir().unwrap();
        let named = Scratch::open(Some(&outer.path().join("a/b")), false).unwrap();
        let path = named.path().to_owned();
        assert!(named.is_kept());
        drop(named);
        assert!(path.is_dir());
    }
}
