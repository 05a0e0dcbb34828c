//! Creating many refs at once, in the one file that packed refs lie in.
//!
//! A ref of its own costs a lock file, a file and a rename; a thousand of them are more work than to write that file anew, and
//! whoever reads them then opens one file, not a thousand. git locks each ref even so, since somebody else might create it in
//! the same moment. So this is for refs that nothing but this program writes and that only say what the hub says: where one
//! of those was made beside, its file goes before what is packed, as if it had come later. Their logs would only say when
//! this clone heard of it, and are not written. Owns this way of writing refs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::Kind;
use gix::refs::packed;

use super::error::{Error, Result};
use super::refs::{PACKED_LOCK_WAIT, RefChange, full_name};
use super::repo::Repo;
use crate::fail;

/// From how many refs on that is less work.
const MANY: usize = 64;

/// How many bytes of packed refs are written anew for each new one without being more work.
const WORTH: usize = 8 * 1024;

impl Repo {
    /// Makes all the changes, or none of them, as [`Repo::change_refs`] does, of refs that nothing but this program writes.
    pub fn change_own_refs(&self, changes: &[RefChange], why: &str) -> Result<()> {
        if changes.len() >= MANY && !self.keeps_tables() && self.create_packed(changes)? {
            return Ok(());
        }
        self.change_refs(changes, why)
    }

    /// Creates the refs; says whether it did. Not where one of them is there or something is in its place, and not where a ref
    /// is changed that was there before.
    fn create_packed(&self, changes: &[RefChange]) -> Result<bool> {
        let refs = &self.gix.refs;
        let path = refs.packed_refs_path();
        // How others may read it is git's to say.
        if self.config_string("core.sharedRepository").is_some() {
            return Ok(false);
        }
        let Some(mut new) = changes.iter().map(|change| self.created(change)).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        new.sort_unstable();
        let failed = |error: gix::Error| Error::storage("cannot create refs", &error);
        let unwritten = |error: io::Error| Error::file(&path, error);
        fail::point("refs.before");
        let _mark = self.mark_writing(changes);
        let lock = gix::lock::File::acquire_to_update_resource(&path, PACKED_LOCK_WAIT, None, 0);
        let mut lock = lock.map_err(|error| Error::storage("cannot create refs", &error))?;
        fail::point("refs.locked");
        // Only now it stays as it is.
        let there = match fs::symlink_metadata(&path) {
            Ok(there) if !there.is_file() || there.len() > (changes.len() * WORTH) as u64 => return Ok(false),
            Ok(there) => Some(there),
            Err(_) => None,
        };
        let before = refs.open_packed_buffer().map_err(failed)?;
        let is_packed = |name: &str| {
            let found = before.as_ref().map_or(Ok(None), |before| before.try_find(name));
            found.map_or(true, |found| found.is_some())
        };
        let is_free = |name: &str| {
            let file = fs::symlink_metadata(self.common_dir().join(name));
            file.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && !is_packed(name)
        };
        let above: BTreeSet<&str> = new.iter().flat_map(|(name, _)| above(name)).collect();
        let is_peeled = there.is_none() || is_fully_peeled(&path).map_err(unwritten)?;
        if !is_peeled || !new.iter().all(|(name, _)| is_free(name)) || above.iter().any(|name| is_packed(name)) {
            return Ok(false);
        }
        let written = lock.with_mut(|file| {
            if let Some(there) = &there {
                file.set_permissions(there.permissions())?;
            }
            write(&mut BufWriter::new(&mut *file), before.as_ref(), &new)?;
            // All packed refs of the repository are in it: an empty one must not be what a loss of power leaves.
            file.sync_all()
        });
        written.map_err(unwritten)?;
        lock.commit().map_err(|error| unwritten(error.error))?;
        fail::point("refs.moved");
        let _ = refs.force_refresh_packed_buffer();
        Ok(true)
    }

    /// A ref that is to be made, by name; `None` where the change is another, or the file would have to say more of it.
    fn created<'a>(&self, change: &'a RefChange) -> Option<(&'a str, ObjectId)> {
        let id = change.new.filter(|_| change.old.is_none())?;
        full_name(&change.name).ok()?;
        let kind = self.gix.find_header(id).ok()?.kind();
        (kind != Kind::Tag).then_some((change.name.as_str(), id))
    }
}

/// The names that a ref of this name leaves to no other: those of the folders that it would be in.
fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at]).skip(1)
}

/// Says whether a file of packed refs tells of each tag what it is of: that is said of what is written.
fn is_fully_peeled(path: &Path) -> io::Result<bool> {
    let mut first = String::new();
    BufReader::new(fs::File::open(path)?).take(256).read_line(&mut first)?;
    Ok(first.starts_with("# pack-refs with:") && first.contains(" fully-peeled "))
}

/// Writes what was there with what is new, both sorted by name.
fn write(out: &mut impl Write, before: Option<&packed::Buffer>, new: &[(&str, ObjectId)]) -> io::Result<()> {
    out.write_all(b"# pack-refs with: peeled fully-peeled sorted \n")?;
    let mut new = new.iter().peekable();
    for line in before.map(packed::Buffer::iter).transpose().map_err(io::Error::other)?.into_iter().flatten() {
        let line = line.map_err(io::Error::other)?;
        let name = line.name.as_bstr();
        while let Some((name, id)) = new.next_if(|(new, _)| new.as_bytes() < name.as_bytes()) {
            writeln!(out, "{id} {name}")?;
        }
        writeln!(out, "{} {name}", line.target)?;
        if let Some(peeled) = line.object {
            writeln!(out, "^{peeled}")?;
        }
    }
    for (name, id) in new {
        writeln!(out, "{id} {name}")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    fn repo(folder: &std::path::Path) -> (Repo, ObjectId) {
        Git::outside(folder).check(&["init", "--quiet", "--bare", "."]).unwrap();
        let repo = Repo::open(folder).unwrap();
        let blob = repo.write_blob(b"x").unwrap();
        (repo, blob)
    }

    fn many(id: ObjectId) -> Vec<RefChange> {
        (0..MANY).map(|at| RefChange::new(format!("refs/own/{at}"), None, Some(id))).collect()
    }

    fn listed(repo: &Repo) -> Vec<String> {
        let args = ["for-each-ref", "--format=%(refname) %(objectname) %(*objectname)"];
        repo.git().check(&args).unwrap().text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn many_new_refs_are_one_file_beside_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (repo, blob) = repo(folder.path());
        let before = ["refs/a", "refs/own/1-a", "refs/own/300", "refs/z/z"];
        repo.change_refs(&before.map(|name| RefChange::new(name, None, Some(blob))), "before").unwrap();
        repo.git().check(&["-c", "user.name=x", "-c", "user.email=x", "tag", "-m", "t", "t", "refs/a"]).unwrap();
        repo.pack_refs().unwrap();
        let mut expected = listed(&repo);
        let changes = many(blob);
        repo.change_own_refs(&changes, "made").unwrap();
        expected.extend(changes.iter().map(|change| format!("{} {blob} ", change.name)));
        expected.sort();
        assert_eq!(listed(&repo), expected);
        assert!(
            !changes.iter().any(|change| folder.path().join(&change.name).exists()),
            "none has a file of its own"
        );
        assert_eq!(repo.refs_with_prefix("refs/own/").unwrap().len(), MANY + 2);
        repo.git().check(&["fsck", "--strict"]).unwrap();
        repo.git().check(&["update-ref", "-d", "refs/own/7"]).unwrap();
        let other = repo.write_blob(b"y").unwrap();
        assert!(repo.change_own_refs(&many(other), "made again").is_err(), "all of them or none");
        assert_eq!(repo.ref_value("refs/own/7"), None);
    }

    #[test]
    fn what_stands_in_the_way_is_left_to_the_careful_way() {
        let folder = tempfile::tempdir().unwrap();
        let (repo, blob) = repo(folder.path());
        for other in ["refs/own/0", "refs/own/0/x"] {
            let other = RefChange::new(other, None, Some(repo.write_blob(b"y").unwrap()));
            repo.change_refs(std::slice::from_ref(&other), "in the way").unwrap();
            assert!(
                !repo.create_packed(&many(blob)).unwrap() && repo.change_own_refs(&many(blob), "made").is_err()
            );
            assert_eq!(repo.ref_value(&other.name), other.new);
            repo.change_refs(&[RefChange::new(other.name, other.new, None)], "gone").unwrap();
        }
        repo.change_refs(&[RefChange::new("refs/own", None, Some(blob))], "in the way").unwrap();
        repo.pack_refs().unwrap();
        assert!(!repo.create_packed(&many(blob)).unwrap(), "packed, and in the way");
        repo.git().check(&["update-ref", "-d", "refs/own"]).unwrap();
        // A change of what was there is made with the others.
        repo.change_refs(&many(blob)[..1], "before").unwrap();
        let mut changes = many(blob);
        changes[0].old = Some(blob);
        repo.change_own_refs(&changes, "made").unwrap();
        assert_eq!(listed(&repo).len(), MANY);
        // And what others write to at the same time is waited for.
        let lock = folder.path().join("packed-refs.lock");
        fs::write(&lock, "").unwrap();
        let more: Vec<_> =
            (0..MANY).map(|at| RefChange::new(format!("refs/more/{at}"), None, Some(blob))).collect();
        let writer = std::thread::spawn({
            let repo = repo.clone();
            move || repo.change_own_refs(&more, "made")
        });
        // The writer says what it is about to write, and then asks for the lock.
        while fs::read_dir(folder.path().join("dispatch/writing")).is_ok_and(|marks| marks.count() == 0) {
            std::thread::yield_now();
        }
        fs::remove_file(&lock).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(listed(&repo).len(), 2 * MANY);
    }

    #[test]
    fn a_file_that_is_not_as_git_writes_it_here_is_left_to_the_careful_way() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let (repo, blob) = repo(folder.path());
        repo.change_refs(&[RefChange::new("refs/a", None, Some(blob))], "before").unwrap();
        repo.git().check(&["-c", "user.name=x", "-c", "user.email=x", "tag", "-m", "t", "t", "refs/a"]).unwrap();
        repo.pack_refs().unwrap();
        let path = folder.path().join("packed-refs");
        let text = fs::read_to_string(&path).unwrap();
        let (_, lines) = text.split_once('\n').unwrap();
        let unpeeled: String =
            lines.lines().filter(|line| !line.starts_with('^')).map(|line| format!("{line}\n")).collect();
        for other in [unpeeled.clone(), format!("# pack-refs with: sorted \n{unpeeled}")] {
            fs::write(&path, &other).unwrap();
            assert!(!repo.create_packed(&many(blob)).unwrap(), "{other}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        // The file of another repository, as a workdir has it.
        fs::write(folder.path().join("elsewhere"), &text).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(!repo.create_packed(&many(blob)).unwrap() && path.is_symlink());
        fs::remove_file(&path).unwrap();
        fs::write(&path, &text).unwrap();
        // One that others read.
        repo.git().check(&["config", "core.sharedRepository", "group"]).unwrap();
        assert!(!Repo::open(folder.path()).unwrap().create_packed(&many(blob)).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(repo.create_packed(&many(blob)).unwrap(), "which had not been set then");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o664);
        assert_eq!(listed(&repo).len(), MANY + 2);
    }
}
