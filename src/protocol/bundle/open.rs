//! Opening work: a clone that is its own hub is made, or brought up to what the hub's side says (DESIGN.md 6).
//!
//! Owns what gives way to what: shared history only moves forward, a claim of ours stays as long as it descends from the
//! hub's, and what the hub took away meanwhile is kept as work that was fenced off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Bundle, Refused};
use crate::ambient::Ambient;
use crate::exec::Cancel;
use crate::fail;
use crate::git::repo::Identity;
use crate::git::{Error as GitError, Git, ObjectId, Repo};
use crate::hub::bundle::{Item, Kind, Manifest};
use crate::hub::ledger::Memory;
use crate::hub::snapshot::{Claim, Snapshot, Standing, chain_of};
use crate::hub::{Edit, Hub, Layout, Place, Words};
use crate::protocol::error::{Error, Result};
use crate::task::{Name, TaskName};

/// Bounds single git commands in a clone that is its own hub.
const DEADLINE: Duration = Duration::from_secs(300);

/// The file that marks a clone that is being made. It is there until the clone stands in its place: what is found beside
/// that without it is somebody else's.
const UNFINISHED: &str = ".git/bundle-unfinished";

/// How often the removal of what an earlier try left is tried, with a pause between.
const REMOVALS: u32 = 40;

/// A task that was taken away, and the ref that keeps its work.
pub type Kept = (TaskName, String);

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The clone.
    pub folder: PathBuf,
    /// The node that it is.
    pub node: Name,
    /// The tasks that the file reserves for it.
    pub tasks: Vec<TaskName>,
    /// Whether the clone was made now.
    pub is_new: bool,
    /// Whether all of it was here.
    pub already: bool,
    /// The tasks that were taken away.
    pub fenced: Vec<Kept>,
}

/// Opens a file into a folder; without one, into the clone around that was opened before, or a folder named after the
/// file.
pub fn open(ambient: &Ambient, file: &Path, folder: Option<&Path>, cancel: &Cancel) -> Result<Opened> {
    let bundle = Bundle::read(file)?;
    bundle.demand(Kind::Work)?;
    let folder = match folder {
        Some(folder) => ambient.cwd.join(folder),
        None => match around(ambient, cancel)? {
            Some(folder) => folder,
            None => ambient.cwd.join(file.file_stem().unwrap_or_else(|| "work".as_ref())),
        },
    };
    let is_there = std::fs::read_dir(&folder).map(|mut entries| entries.next().is_some());
    match is_there {
        Ok(true) => update(ambient, &bundle, &folder, cancel),
        Ok(false) => make(ambient, &bundle, &folder, cancel),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(ambient, &bundle, &folder, cancel),
        Err(_) => Err(Refused::NotOpened { folder }.into()),
    }
}

/// The clone around that was opened from a bundle.
fn around(ambient: &Ambient, cancel: &Cancel) -> Result<Option<PathBuf>> {
    let Ok(repo) = Repo::discover(&ambient.cwd, ambient) else { return Ok(None) };
    let folder = repo.work_tree().unwrap_or_else(|| repo.common_dir()).to_owned();
    let hub = hub_of(repo.with_cancel(cancel.clone()), Layout::default(), String::new());
    Ok(hub.is_away().then_some(folder))
}

fn hub_of(repo: Repo, layout: Layout, target: String) -> Hub {
    let memory = Memory::default();
    Hub { repo, place: Place::Embedded, layout, target, deadline: DEADLINE, words: Words::default(), memory }
}

/// Makes the clone beside its place, and moves it there when it is whole.
fn make(ambient: &Ambient, bundle: &Bundle, folder: &Path, cancel: &Cancel) -> Result<Opened> {
    let failed = |path: &Path, error| Error::from(GitError::file(path, error));
    clear(folder);
    let nonce = ambient.nonce().map_err(crate::hub::Error::Random)?;
    let beside = folder.with_file_name(format!("{}{}", beginning(folder), &nonce[..8]));
    let git_dir = beside.join(".git");
    std::fs::create_dir_all(&git_dir).map_err(|error| failed(&git_dir, error))?;
    let mark = beside.join(UNFINISHED);
    std::fs::write(&mark, "").map_err(|error| failed(&mark, error))?;
    fail::point("open.begun");
    // What the user has new repositories made as, we could not read.
    let git = Git::outside(&beside)
        .with_cancel(cancel.clone())
        .with_env("GIT_DEFAULT_HASH", "sha1")
        .with_env("GIT_DEFAULT_REF_FORMAT", "files");
    git.check(&["init", "--quiet", "--template=", "--", "."])?;
    let repo = Repo::open(&beside)?.with_cancel(cancel.clone());
    let made = fill(ambient, bundle, &repo);
    let (node, tasks) = match made {
        Ok(made) => made,
        Err(error) => {
            clear(folder);
            return Err(error);
        }
    };
    fail::point("open.made");
    std::fs::rename(&beside, folder).map_err(|error| failed(folder, error))?;
    fail::point("open.renamed");
    // Where we are killed before this, it stays and harms nothing.
    let _ = std::fs::remove_file(folder.join(UNFINISHED));
    Ok(Opened { folder: folder.to_owned(), node, tasks, is_new: true, already: false, fenced: Vec::new() })
}

/// What the names of folders begin with in which a clone is made before it stands in its place. Each try has one of its
/// own: git may outlive a try that was killed, and write on.
fn beginning(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.opening-")
}

/// Removes what earlier tries left when they were killed: only what is marked as that, or empty. What cannot be removed
/// now is left to the next try.
fn clear(folder: &Path) {
    let (beginning, parent) = (beginning(folder), folder.parent().unwrap_or(folder));
    for entry in std::fs::read_dir(parent).into_iter().flatten().filter_map(std::result::Result::ok) {
        if !entry.file_name().to_string_lossy().starts_with(&beginning) {
            continue;
        }
        let beside = entry.path();
        for _ in 0..REMOVALS {
            if !beside.join(UNFINISHED).exists() {
                // Killed before the mark was made, or after it was removed: two empty folders, or somebody else's.
                let _ = std::fs::remove_dir(beside.join(".git"));
                let _ = std::fs::remove_dir(&beside);
                break;
            }
            if remove_marked(&beside) {
                break;
            }
            // A git that was left behind still writes there; it ends when its files are gone.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Removes a folder, its mark last: killed in between, the next try knows it still. Says whether it is gone.
fn remove_marked(beside: &Path) -> bool {
    let git_dir = beside.join(".git");
    for (folder, kept) in [(beside, ".git"), (git_dir.as_path(), "bundle-unfinished")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok) {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if entry.file_name() == kept {
                continue;
            }
            let removed = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if removed.is_err() {
                return false;
            }
        }
    }
    let mark = beside.join(UNFINISHED);
    if std::fs::remove_file(&mark).is_err() {
        return false;
    }
    let is_gone = std::fs::remove_dir(&git_dir).is_ok() && std::fs::remove_dir(beside).is_ok();
    if !is_gone {
        // A git that was left behind wrote there in between: without the mark nobody would know it for ours.
        let _ = std::fs::write(&mark, "");
    }
    is_gone
}

fn fill(ambient: &Ambient, bundle: &Bundle, repo: &Repo) -> Result<(Name, Vec<TaskName>)> {
    let mut hub = hub_of(repo.clone(), Layout::default(), String::new());
    let manifest = bundle.unpack(&hub)?;
    settle_in(&mut hub, bundle, &manifest)?;
    let head = Layout::branch_ref(&hub.target);
    hub.repo.git().check(&["symbolic-ref", "HEAD", &head])?;
    take_in(&hub, bundle, ambient)?;
    if let Some(work_tree) = repo.work_tree() {
        repo.git_at(repo.git_dir(), work_tree).check(&["reset", "--quiet", "--hard"])?;
    }
    hub.pin_manifest(&Layout::opened(), bundle.contents.manifest)?;
    Ok((bundle.contents.stamp.node.clone(), bundle.contents.tasks.keys().cloned().collect()))
}

/// Writes the settings that make the clone the node that the work is for. What the repository says of executors comes
/// with its target branch.
fn settle_in(hub: &mut Hub, bundle: &Bundle, manifest: &Manifest) -> Result<()> {
    if !crate::task::spec::is_branch(&manifest.target) {
        return Err(Refused::BadRef { path: bundle.path.clone(), name: manifest.target.clone() }.into());
    }
    let git = hub.repo.git();
    let node = bundle.contents.stamp.node.as_str();
    let layout = Layout::default();
    let mut settings = vec![
        ("dispatch.node", node),
        ("dispatch.node.mode", "push"),
        ("dispatch.target", manifest.target.as_str()),
        ("dispatch.project", manifest.project.as_str()),
    ];
    if manifest.ref_prefix != Layout::DEFAULT_PREFIX {
        settings.push(("dispatch.refPrefix", manifest.ref_prefix.as_str()));
    }
    if manifest.branch_prefix != "task/" {
        settings.push(("dispatch.branchPrefix", manifest.branch_prefix.as_str()));
    }
    for (key, value) in settings {
        if hub.repo.config_string(key).as_deref() != Some(value) {
            git.check(&["config", "--local", key, value])?;
        }
    }
    let shown = layout.shown_notes();
    git.check(&["config", "--local", "notes.displayRef", &shown])?;
    hub.target.clone_from(&manifest.target);
    hub.layout = Layout::new(&manifest.ref_prefix, &manifest.branch_prefix);
    Ok(())
}

fn update(ambient: &Ambient, bundle: &Bundle, folder: &Path, cancel: &Cancel) -> Result<Opened> {
    let not_opened = || Error::from(Refused::NotOpened { folder: folder.to_owned() });
    let repo = Repo::open(folder).map_err(|_| not_opened())?.with_cancel(cancel.clone());
    let mut hub = hub_of(repo, Layout::default(), String::new());
    let before = hub.pinned_manifest(&Layout::opened())?.filter(|_| hub.is_away()).ok_or_else(not_opened)?;
    let stamp = &bundle.contents.stamp;
    let path = || bundle.path.clone();
    hub.layout = Layout::new(&before.ref_prefix, &before.branch_prefix);
    hub.target.clone_from(&before.target);
    bundle.demand_repository(super::repository(&Snapshot::load(&hub)?))?;
    let own = hub.repo.config_string("dispatch.node").unwrap_or_default();
    if own != stamp.node.as_str() {
        return Err(Refused::OtherNode { path: path(), node: stamp.node.clone(), own }.into());
    }
    let manifest = bundle.unpack(&hub)?;
    let mut opened = Opened {
        folder: folder.to_owned(),
        node: stamp.node.clone(),
        tasks: bundle.contents.tasks.keys().cloned().collect(),
        is_new: false,
        already: true,
        fenced: Vec::new(),
    };
    if is_older(&hub, bundle, &manifest, &before) {
        return Ok(opened);
    }
    let old_target = hub.target_tip(&manifest.target);
    check_forward(&hub, bundle)?;
    follow(&hub, bundle, &manifest.target, old_target)?;
    settle_in(&mut hub, bundle, &manifest)?;
    let (moved, fenced) = take_in(&hub, bundle, ambient)?;
    hub.pin_manifest(&Layout::opened(), bundle.contents.manifest)?;
    opened.already = !moved && before.id == manifest.id;
    opened.fenced = fenced;
    Ok(opened)
}

/// Says whether the file was made before the one that was opened last: all that it says of shared history is here.
fn is_older(hub: &Hub, bundle: &Bundle, manifest: &Manifest, before: &Manifest) -> bool {
    let is_here = |item: &Item| {
        let tip = bundle.contents.refs.get(item);
        let own = hub.known(&item.name(&hub.layout));
        tip.is_none_or(|tip| own.is_some_and(|own| hub.repo.is_ancestor(*tip, own)))
    };
    manifest.id != before.id
        && manifest.made_at < before.made_at
        && [Item::Queue, Item::Sealed, Item::Target(manifest.target.clone())].iter().all(is_here)
}

/// Refuses a file that does not follow from what is here, before anything is moved.
fn check_forward(hub: &Hub, bundle: &Bundle) -> Result<()> {
    for (item, tip) in &bundle.contents.refs {
        if !matches!(item, Item::Queue | Item::Sealed | Item::Target(_)) {
            continue;
        }
        let name = item.name(&hub.layout);
        let forward = |own| hub.repo.is_ancestor(own, *tip) || hub.repo.is_ancestor(*tip, own);
        // A target with work of its own on top is ahead, and stays; that it is merged into is another matter.
        if hub.known(&name).is_some_and(|own| !forward(own)) {
            return Err(Refused::Diverged { path: bundle.path.clone(), name }.into());
        }
    }
    Ok(())
}

/// Lets the checkout of the target follow, before the branch moves: killed in between, the same file does it again.
fn follow(hub: &Hub, bundle: &Bundle, target: &str, old: Option<ObjectId>) -> Result<()> {
    let new = bundle.contents.refs.get(&Item::Target(target.to_owned())).copied();
    let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
    if old == new || !hub.repo.is_ancestor(old, new) {
        return Ok(());
    }
    let Some(checkout) = hub.repo.checkout_of(&Layout::branch_ref(target))? else { return Ok(()) };
    if !hub.repo.checkout_can_follow(&checkout, old, new)? || !hub.repo.checkout_follow(&checkout, old, new)? {
        return Err(Error::DirtyCheckout { checkout, branch: target.to_owned() });
    }
    fail::point("open.followed");
    Ok(())
}

/// Moves the shared refs. Says whether anything moved, and what was fenced off.
fn take_in(hub: &Hub, bundle: &Bundle, ambient: &Ambient) -> Result<(bool, Vec<Kept>)> {
    let node = &bundle.contents.stamp.node;
    let by = identity(hub, node, ambient);
    let mut edits: Vec<Edit> = Vec::new();
    let mut fenced = BTreeMap::new();
    for (item, tip) in &bundle.contents.refs {
        let name = item.name(&hub.layout);
        let own = hub.known(&name);
        match item {
            Item::Claim(task) => {
                let (edit, work) = claim_edit(hub, &name, own, *tip, node);
                edits.extend(edit);
                fenced.extend(work.map(|work| (task.clone(), work)));
            }
            Item::Status(writer) if writer == node => {
                edits.extend(hub.take_in_notes(&name, own, *tip, &by, ambient)?);
            }
            Item::Attempt(..) if own.is_some() => {}
            Item::Status(_) if own != Some(*tip) => edits.push(Edit::new(name, own, Some(*tip))),
            _ if own.is_none_or(|own| own != *tip && hub.repo.is_ancestor(own, *tip)) => {
                edits.push(Edit::new(name, own, Some(*tip)));
            }
            _ => {}
        }
    }
    // Before the chains move that hold it.
    keep(hub, &fenced)?;
    let mut moved = publish(hub, &edits)?;
    moved |= end_sealed(hub, node, &mut fenced)?;
    Ok((moved, keep(hub, &fenced)?))
}

/// One transaction: what runs in this clone meanwhile sees all of it or nothing.
fn publish(hub: &Hub, edits: &[Edit]) -> Result<bool> {
    if edits.is_empty() {
        return Ok(false);
    }
    let answers = hub.publish_atomically(edits, edits.len() - 1)?;
    match crate::protocol::claim::all_yes(&answers) {
        true => Ok(true),
        // A node at work here moved one of its claims; given again, all is looked at again.
        false => Err(crate::hub::Error::Busy { name: edits[0].name.clone(), tries: 1 }.into()),
    }
}

/// What becomes of a claim: the hub's, unless ours goes on from it; then ours. Returns what of ours was taken away.
fn claim_edit(
    hub: &Hub,
    name: &str,
    own: Option<ObjectId>,
    tip: ObjectId,
    node: &Name,
) -> (Option<Edit>, Option<Claim>) {
    let Some(mine) = own else { return (Some(Edit::new(name, None, Some(tip))), None) };
    if mine == tip || hub.repo.is_ancestor(tip, mine) {
        return (None, None);
    }
    let work = if hub.repo.is_ancestor(mine, tip) { None } else { own_work(hub, mine, node) };
    (Some(Edit::new(name, own, Some(tip))), work)
}

/// The newest work of this node in a chain.
fn own_work(hub: &Hub, tip: ObjectId, node: &Name) -> Option<Claim> {
    let chain = chain_of(&hub.repo, tip);
    chain.into_iter().find(|claim| {
        claim.record.node.as_deref() == Some(node.as_str())
            && claim.result.is_some()
            && claim.result != claim.record.base
    })
}

/// What is sealed at the hub is sealed here: the chains of its tasks go.
fn end_sealed(hub: &Hub, node: &Name, fenced: &mut BTreeMap<TaskName, Claim>) -> Result<bool> {
    let mut edits = Vec::new();
    for task in &Snapshot::load(hub)?.tasks {
        let Standing::Sealed { seal, leftover: Some(claim) } = &task.standing else { continue };
        let work = own_work(hub, claim.id, node);
        let is_in = |work: &Claim| seal.result == work.result.map(|id| id.to_string());
        if let Some(work) = work.filter(|work| !is_in(work)) {
            fenced.insert(task.name().clone(), work);
        }
        edits.push(Edit::new(hub.layout.claim(task.name()), Some(claim.id), None));
    }
    keep(hub, fenced)?;
    publish(hub, &edits)
}

/// Keeps work that was taken away where people look for it, and where the next results bring it to the hub.
fn keep(hub: &Hub, fenced: &BTreeMap<TaskName, Claim>) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for (task, claim) in fenced {
        let node = claim.record.node.clone().unwrap_or_default();
        let name = hub.layout.attempt(task, claim.record.attempts.begun, &node);
        if hub.known(&name).is_none() {
            hub.publish(&[Edit::new(name.clone(), None, claim.result)])?;
        }
        kept.push((task.clone(), name));
    }
    Ok(kept)
}

fn identity(hub: &Hub, node: &Name, ambient: &Ambient) -> Identity {
    let own = || Identity { name: node.to_string(), email: "node@git-dispatch".to_owned() };
    hub.repo.identity(ambient).unwrap_or_else(own)
}
