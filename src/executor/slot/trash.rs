//! What is in the way in a slot and takes long to delete: it is moved aside, which is done at once, and deleted by a thread
//! in the background.
//!
//! A process that ends meanwhile leaves some of it; the next one that prepares the slot deletes that too.

use std::fs;
use std::path::{Path, PathBuf};

use super::{make_writable, remove_all};
use crate::executor::Result;

/// Lies in the slot's own folder: a folder is moved at once only within its file system.
const FOLDER: &str = "trash";

/// Gets a folder of a slot out of the way; anything else, such as a link, is removed at once.
pub(super) fn put(root: &Path, path: &Path) -> Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return remove_all(path);
    }
    match moved(root, path) {
        Ok(bin) => {
            delete_later(bin);
            Ok(())
        }
        // Not possible here, such as a folder that another file system is mounted on.
        Err(_) => remove_all(path),
    }
}

/// Deletes what an earlier process left.
pub(super) fn empty(root: &Path) {
    let bins = fs::read_dir(root.join(FOLDER)).into_iter().flatten().flatten();
    bins.for_each(|bin| delete_later(bin.path()));
}

fn moved(root: &Path, path: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(root.join(FOLDER))?;
    for number in 0_u32.. {
        let bin = root.join(FOLDER).join(number.to_string());
        match fs::create_dir(&bin) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return fs::rename(path, bin.join("gone")).map(|()| bin),
        }
    }
    Err(std::io::Error::other("no number is free"))
}

fn delete_later(bin: PathBuf) {
    let deleting = std::thread::Builder::new().name("trash".into());
    let _ = deleting.spawn(move || {
        if fs::remove_dir_all(&bin).is_err() {
            make_writable(&bin);
            let _ = fs::remove_dir_all(&bin);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_folder_is_gone_at_once_and_a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (folder, link, kept) = (root.path().join("a"), root.path().join("b"), root.path().join("kept"));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::set_permissions(folder.join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::create_dir(&kept).unwrap();
        symlink(&kept, &link).unwrap();
        for path in [&folder, &link, &root.path().join("nothing")] {
            put(root.path(), path).unwrap();
            assert!(fs::symlink_metadata(path).is_err());
        }
        assert!(kept.exists());
        fs::create_dir_all(root.path().join("trash/7/left")).unwrap();
        empty(root.path());
        let start = Instant::now();
        while fs::read_dir(root.path().join(FOLDER)).unwrap().count() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
    }
}
