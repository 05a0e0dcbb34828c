//! Pushing many refs at once: values and leases stand ready as refs, and git is given one pattern for all.
//!
//! git compares every refspec and every lease that it is given with every ref, here and there: with a thousand of each that
//! costs more than all the rest. A pattern it looks up. So for as long as a push takes its values stand in a git folder of
//! its own, in one file, over the same objects: git reads no other ref, and none of ours is made or moved for it.
//! `--force-with-lease` without a name expects of each ref what tracks it, and that there is none where nothing does: a ref
//! that is to be made needs no lease of its own. What others hold is named where they are few; else it stands beside, as if
//! it were tracking a remote. Owns these folders; what a process that was killed left of them, the next push removes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use tempfile::TempDir;

use super::process::Git;
use super::refs::{RefChange, full_name};
use super::repo::Repo;
use crate::fail;

/// From how many refs on that is less work.
const WORTH_IT: usize = 8;

/// The same of leases. A ref that tracks one is moved once it is pushed, which is work for each of them.
const WORTH_TRACKING: usize = 8;

/// What the names of the new values begin with in place of `refs/`.
const NEW: &str = "refs/new/";

/// What those of the old ones begin with.
const OLD: &str = "refs/old/";

/// Refs that stand ready to be pushed; they are gone when this is.
pub(super) struct Staged {
    folder: TempDir,
    repository: PathBuf,
    /// The leases that are named, as `<ref>:<old value>`.
    named: Vec<String>,
    is_tracking: bool,
    has_new: bool,
}

impl Repo {
    /// Puts new and old values of refs that are to be pushed into a folder, where there are enough of them; `None` where
    /// there are not, or where that cannot be done.
    pub(super) fn stage(&self, changes: &[RefChange]) -> Option<Staged> {
        let area = self.common_dir().join("dispatch/push");
        // Where there is none, nobody left anything.
        let _ = clear(&area);
        let is_pushable = |change: &RefChange| change.name.starts_with("refs/") && full_name(&change.name).is_ok();
        if changes.len() < WORTH_IT || !changes.iter().all(is_pushable) || self.is_configured_by_place() {
            return None;
        }
        let staged = self.stage_in(&area, changes).ok()?;
        fail::point("push.staged");
        Some(staged)
    }

    fn stage_in(&self, area: &Path, changes: &[RefChange]) -> io::Result<Staged> {
        fs::create_dir_all(area)?;
        let folder = tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempdir_in(area)?;
        fs::create_dir(folder.path().join("refs"))?;
        fs::write(folder.path().join("HEAD"), "ref: refs/heads/none\n")?;
        fs::write(folder.path().join("config"), self.config_apart())?;
        let new: BTreeMap<String, ObjectId> =
            changes.iter().filter_map(|change| Some((placed(NEW, &change.name), change.new?))).collect();
        let lines = new.iter().map(|(name, id)| format!("{id} {name}\n"));
        let packed: String = iter::once("# pack-refs with: sorted \n".to_owned()).chain(lines).collect();
        fs::write(folder.path().join("packed-refs"), packed)?;
        let old = || changes.iter().filter_map(|change| Some((change.name.as_str(), change.old?)));
        let is_tracking = old().count() >= WORTH_TRACKING;
        if is_tracking {
            write_loose(folder.path(), old())?;
        }
        let named = old().filter(|_| !is_tracking).map(|(name, id)| format!("{name}:{id}")).collect();
        Ok(Staged {
            folder,
            repository: self.common_dir().to_owned(),
            named,
            is_tracking,
            has_new: !new.is_empty(),
        })
    }

    /// Says whether some of the configuration may hold for the repository's folder and not for one in it, or the other way
    /// round (`includeIf`): not what is said of remotes, nor of all that lies in a folder, as most of these are.
    fn is_configured_by_place(&self) -> bool {
        let own = self.common_dir().file_name().unwrap_or_default().to_string_lossy();
        let is_of_both = |condition: &str| {
            let folder = condition.strip_prefix("gitdir:").or_else(|| condition.strip_prefix("gitdir/i:"));
            folder.is_some_and(|folder| {
                let is_plain = !folder.contains(['*', '?', '[', '\\']);
                let is_root = folder.starts_with('/') || folder.starts_with("~/");
                is_plain && is_root && folder.ends_with('/') && !folder.ends_with(&format!("/{own}/"))
            })
        };
        self.config_conditions()
            .iter()
            .any(|condition| !condition.starts_with("hasconfig:") && !is_of_both(condition))
    }

    /// The configuration beside such refs: the repository's own. What git reads before it looks into other files is said
    /// again, but for how refs are kept.
    fn config_apart(&self) -> Vec<u8> {
        let mut text = b"[core]\n\trepositoryformatversion = 1\n\tbare = true\n".to_vec();
        let mut set = |section: &str, key: &str, value: &[u8]| {
            text.extend(format!("[{section}]\n\t{key} = ").bytes().chain(quoted(value)));
        };
        if let Some(remote) = self.config_string("extensions.partialClone") {
            set("extensions", "partialClone", remote.as_bytes());
        }
        let mut include = |file: &str| {
            set("include", "path", self.common_dir().join(file).as_os_str().as_encoded_bytes());
        };
        include("config");
        if self.config_flag("extensions.worktreeConfig") {
            include("config.worktree");
        }
        text
    }
}

impl Staged {
    /// Lets a command see these refs in place of the repository's.
    pub(super) fn shown_to(&self, git: Git) -> Git {
        git.with_git_dir(self.folder.path())
            .with_env("GIT_OBJECT_DIRECTORY", self.repository.join("objects"))
            .with_env("GIT_SHALLOW_FILE", self.repository.join("shallow"))
    }

    /// The leases that are named, each as `<ref>:<old value>`; each other ref has its own by what tracks it.
    pub(super) fn leases(&self) -> &[String] {
        &self.named
    }

    /// What is given to git in place of a refspec for each that is not deleted. Never a `+`: it would switch the leases off.
    pub(super) fn refspec(&self) -> Option<String> {
        self.has_new.then(|| format!("{NEW}*:refs/*"))
    }

    /// The address as it is given to git, and the settings of a remote where one is made for this push alone: its tracking
    /// refs are what is expected.
    pub(super) fn remote(&self, url: &str) -> (String, Vec<String>) {
        if !self.is_tracking {
            return (url.to_owned(), Vec::new());
        }
        // Nobody has a remote of that name.
        let folder = self.folder.path().file_name().unwrap_or_default().to_string_lossy();
        let name = format!("dispatch-push-{folder}");
        let settings = vec![format!("remote.{name}.url={url}"), format!("remote.{name}.fetch=+refs/*:{OLD}*")];
        (name, settings)
    }
}

/// The name under which a value of a ref stands ready.
fn placed(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.strip_prefix("refs/").unwrap_or_default())
}

/// Writes refs as files: git moves them one by one, and would write one file with all of them anew each time.
fn write_loose<'a>(folder: &Path, refs: impl Iterator<Item = (&'a str, ObjectId)>) -> io::Result<()> {
    let mut made = BTreeSet::new();
    for (name, id) in refs {
        let path = folder.join(placed(OLD, name));
        let parent = path.parent().unwrap_or(folder);
        if made.insert(parent.to_owned()) {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, format!("{id}\n"))?;
    }
    Ok(())
}

/// Removes what processes that live no longer left.
fn clear(area: &Path) -> io::Result<()> {
    for entry in fs::read_dir(area)? {
        let entry = entry?;
        // What is not named so is not ours.
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<u32>().ok());
        let lives = |id| id == std::process::id() || crate::exec::group::start_time(id).is_some();
        if maker.is_some_and(|id| !lives(id)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Writes a value as git's configuration files have it.
fn quoted(value: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in value {
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            _ => text.push(*byte),
        }
    }
    text.extend(b"\"\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::remote::Remote;

    fn open(path: &Path) -> Repo {
        fs::create_dir_all(path).unwrap();
        Git::outside(path).check(&["init", "--quiet", "--bare", "."]).unwrap();
        Repo::open(path).unwrap()
    }

    fn named(name: &str, old: Option<ObjectId>, new: Option<ObjectId>) -> RefChange {
        RefChange::new(format!("refs/x/{name}"), old, new)
    }

    fn many(old: Option<ObjectId>, new: ObjectId) -> impl Iterator<Item = RefChange> {
        (0..WORTH_IT).map(move |at| named(&at.to_string(), old, Some(new)))
    }

    #[test]
    fn what_stands_ready_is_seen_by_one_command_alone_and_what_the_dead_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let repo = open(folder.path());
        let (blob, before) = (repo.write_blob(b"x").unwrap(), RefChange::new("refs/own", None, None));
        repo.change_refs(&[RefChange { new: Some(blob), ..before }], "own").unwrap();
        let area = folder.path().join("dispatch/push");
        for (name, stays) in [("4194303999-x", false), ("own", true), (&format!("{}-x", std::process::id()), true)]
        {
            fs::create_dir_all(area.join(name).join("refs")).unwrap();
            assert!(repo.stage(&many(None, blob).skip(1).collect::<Vec<_>>()).is_none(), "too few");
            drop(repo.stage(&many(None, blob).collect::<Vec<_>>()).unwrap());
            assert_eq!(area.join(name).exists(), stays, "{name}");
            let _ = fs::remove_dir_all(area.join(name));
        }
        let staged =
            repo.stage(&many(Some(blob), blob).chain([named("gone", Some(blob), None)]).collect::<Vec<_>>());
        let staged = staged.unwrap();
        let listed = |git: Git| git.check(&["for-each-ref", "--format=%(refname)"]).unwrap().text();
        let shown = listed(staged.shown_to(repo.git()));
        let count = |prefix| shown.lines().filter(|name| name.starts_with(prefix)).count();
        assert_eq!((count("refs/new/x/"), count("refs/old/x/"), count("")), (8, 9, 17));
        assert_eq!(listed(repo.git()), "refs/own");
        drop(staged);
        assert_eq!(fs::read_dir(area).unwrap().count(), 0);
    }

    #[test]
    fn the_configuration_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let above = folder.path().canonicalize().unwrap();
        // As a user's folder may be called.
        let path = above.join("a \"b\" \\c # d; e");
        let repo = open(&path);
        let git = |args: &[&str]| drop(repo.git().check(args).unwrap());
        let stage =
            || Repo::open(&path).unwrap().stage(&many(None, repo.write_blob(b"x").unwrap()).collect::<Vec<_>>());
        git(&["config", "own.a", "x y"]);
        git(&["config", "--file", "beside", "beside.a", "yes"]);
        git(&["config", "include.path", "beside"]);
        git(&["config", "--file", "elsewhere", "elsewhere.a", "yes"]);
        git(&["config", &format!("includeIf.gitdir:{}/.path", above.display()), "elsewhere"]);
        git(&["config", "extensions.worktreeConfig", "true"]);
        git(&["config", "--worktree", "worktree.a", "yes"]);
        let staged = stage().unwrap();
        for (key, value) in [("own.a", "x y"), ("beside.a", "yes"), ("elsewhere.a", "yes"), ("worktree.a", "yes")] {
            assert_eq!(staged.shown_to(repo.git()).check(&["config", key]).unwrap().text(), value, "{key}");
        }
        // These may hold for one of the two folders alone.
        let own = path.file_name().unwrap().to_str().unwrap();
        let own = own.replace(['"', '\\'], "");
        let repo = open(&above.join(&own));
        let is_by_place = |condition: &str| {
            let key = format!("includeIf.{condition}.path");
            repo.git().check(&["config", &key, "nothing"]).unwrap();
            let is_by_place = Repo::open(repo.common_dir()).unwrap().is_configured_by_place();
            repo.git().check(&["config", "--unset", &key]).unwrap();
            is_by_place
        };
        let own = format!("gitdir:/x/{own}/");
        for condition in [
            &*own,
            "gitdir:push/",
            "gitdir/i:**/work/",
            "gitdir:~/work/*/",
            "gitdir:/x/.git",
            "gitdir:./",
            "onbranch:main",
        ] {
            assert!(is_by_place(condition), "{condition}");
        }
        for condition in ["gitdir:/work/", "gitdir/i:~/work/own/", "hasconfig:remote.*.url:https://**"] {
            assert!(!is_by_place(condition), "{condition}");
        }
    }

    #[test]
    fn each_ref_is_pushed_under_its_own_lease() {
        let folder = tempfile::tempdir().unwrap();
        let (here, hub) = (open(&folder.path().join("here")), open(&folder.path().join("hub")));
        let [a, b] = [b"a", b"b"].map(|text| here.write_blob(text).unwrap());
        let url = folder.path().join("hub").display().to_string();
        let remote = Remote { name: "hub".to_owned(), url: url.clone(), push_url: url };
        let push = |changes: &[RefChange], is_tracking: bool| {
            assert_eq!(here.stage(changes).unwrap().is_tracking, is_tracking);
            here.push(&remote, changes, false, std::time::Duration::from_secs(60)).unwrap();
            assert_eq!(here.refs_with_prefix("refs/").unwrap(), [], "nothing is left here");
        };
        let values = |id: ObjectId| -> Vec<String> {
            let there = hub.refs_with_prefix("refs/x/").unwrap().into_iter();
            there.filter(|(_, now)| *now == id).map(|(name, _)| name).collect()
        };
        let others = ["wrong", "there", "gone", "kept"];
        push(&many(None, a).chain(others.map(|name| named(name, None, Some(a)))).collect::<Vec<_>>(), false);
        let others = [
            named("wrong", Some(b), Some(b)),
            named("there", None, Some(b)),
            named("gone", Some(a), None),
            named("kept", Some(b), None),
        ];
        // Few hold something, then many do.
        let made = (0..WORTH_IT).map(|at| named(&format!("made-{at}"), None, Some(b)));
        push(&made.chain(others.clone()).collect::<Vec<_>>(), false);
        assert_eq!(values(b).len(), WORTH_IT);
        assert_eq!(values(a).len(), WORTH_IT + 3, "wrong, there and kept");
        push(&many(Some(a), b).chain(others).collect::<Vec<_>>(), true);
        assert_eq!(values(b).len(), 2 * WORTH_IT);
        assert_eq!(values(a), ["refs/x/kept", "refs/x/there", "refs/x/wrong"]);
    }
}
