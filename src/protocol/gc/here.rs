//! What is past its time on this machine: pins, local task branches, slots and folders that were moved aside.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Gc, Item};
use crate::exec::group_alive;
use crate::executor::slot::{SCRATCH, Slot, SlotRecord, remove_folder, set_aside};
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::Layout;
use crate::hub::layout::Pin;
use crate::hub::snapshot::{Standing, read_claim};
use crate::protocol::error::Result;
use crate::task::TaskName;

impl Gc<'_> {
    pub(super) fn here(&mut self) -> Result<()> {
        // Held to the end: no `run` begins in a slot that is about to go. While one works here, the slots are its own.
        let lock = self.session.state.try_lock()?;
        self.pins(lock.is_some())?;
        self.local_branches()?;
        let folders = self.folders(lock.is_some());
        // A big folder takes its time, and is in nobody's way by now.
        drop(lock);
        for (item, folder) in folders {
            match remove_folder(&folder) {
                Ok(()) => self.cleaned.removed.push(item),
                Err(error) => self.keep(item, format!("it cannot be removed: {error}")),
            }
        }
        Ok(())
    }

    fn pins(&mut self, is_alone: bool) -> Result<()> {
        let folders = folders_of(&self.session.work_dir());
        let claims: HashSet<String> =
            folders.iter().filter_map(|folder| SlotRecord::read(folder)).map(|record| record.claim).collect();
        let slots: HashSet<usize> =
            SlotRecord::list(&self.session.work_dir()).into_iter().map(|record| record.slot).collect();
        let fetched_logs = Layout::arrival(&self.session.hub.layout.all_logs());
        let refs = self.session.hub.repo.refs_with_prefix(Layout::local())?;
        let gone: HashSet<String> = refs
            .iter()
            .filter(|(name, id)| match Layout::pin(name) {
                Pin::SlotBase(slot) => {
                    // A slot that stays warm reads the objects of its last base.
                    let folder = Slot::at(&self.session.work_dir(), slot);
                    let is_cold = touched(folder.root()).is_none_or(|at| self.is_past(at));
                    is_alone && !slots.contains(&slot) && is_cold
                }
                Pin::Result(claim) => {
                    !claims.contains(&claim) && !self.waits(&claim) && self.is_old(*id) && self.is_over(&claim)
                }
                // A finish by hand pins before it records; the blob beside it has no age, and goes with it.
                Pin::Outbox(claim) => {
                    let pin = Layout::outbox(&claim);
                    let is_old = self.session.hub.repo.ref_value(&pin).is_none_or(|finish| self.is_old(finish));
                    is_alone && !self.waits(&claim) && is_old
                }
                Pin::ByHand(task) => self.snapshot.get(&task).is_none_or(|task| self.has_ended(task)),
                Pin::Withheld(claim) => self.is_old(*id) && self.is_over(&claim),
                Pin::Kept => self.is_old(*id) && self.is_in_target(*id),
                // Output that was once asked for is fetched again when it is asked for again.
                Pin::Other => name.starts_with(&fetched_logs) && self.is_old(*id),
            })
            .map(|(name, _)| name.clone())
            .collect();
        for (name, id) in refs.into_iter().filter(|(name, _)| gone.contains(name)) {
            self.drop_ref("pin", name, id);
        }
        Ok(())
    }

    /// Says whether the outbox has a record of a claim, also one that cannot be read.
    fn waits(&self, claim: &str) -> bool {
        self.session.state.path("outbox").join(format!("{claim}.json")).exists()
    }

    /// Says whether nothing can come of a claim any more; one that is no longer here has been left behind long ago.
    fn is_over(&self, claim: &str) -> bool {
        let id = ObjectId::from_hex(claim.as_bytes()).ok();
        let Some(claim) = id.and_then(|id| read_claim(&self.session.hub.repo, id).ok()) else { return true };
        self.snapshot.get(&claim.record.task).is_none_or(|task| self.has_ended(task))
    }

    fn is_in_target(&self, id: ObjectId) -> bool {
        let hub = &self.session.hub;
        hub.target_tip(&hub.target).is_some_and(|tip| hub.repo.is_ancestor(id, tip))
    }

    /// Branches that a claim by hand made in this clone, where all that is on them was merged.
    fn local_branches(&mut self) -> Result<()> {
        let hub = &self.session.hub;
        if hub.is_embedded() {
            return Ok(());
        }
        let mut merged = Vec::new();
        for task in self.snapshot.tasks.iter().filter(|task| self.has_ended(task)) {
            if let Standing::Sealed { seal, .. } = &task.standing
                && seal.event == "merged"
                && let (Some(branch), Some(result)) = (&seal.branch, &seal.result)
                && let Ok(result) = ObjectId::from_hex(result.as_bytes())
            {
                merged.push((Layout::branch_ref(branch), result));
            }
        }
        for (name, result) in merged {
            let is_there =
                name.starts_with(&hub.layout.task_branches()) && hub.repo.ref_value(&name) == Some(result);
            if is_there && hub.repo.checkout_of(&name)?.is_none() {
                self.drop_ref("pin", name, result);
            }
        }
        Ok(())
    }

    fn drop_ref(&mut self, kind: &'static str, name: String, id: ObjectId) {
        let item = Item { kind, name: name.clone() };
        let change = RefChange::new(name, Some(id), None);
        match self.options.dry_run {
            true => self.cleaned.removed.push(item),
            false => match self.session.hub.repo.change_refs(&[change], "git dispatch: gc") {
                Ok(()) => self.cleaned.removed.push(item),
                Err(_) => self.keep(item, "it moved meanwhile"),
            },
        }
    }

    /// Finds slots that nobody has used for long (they are made again when wanted) and moves them out of the way, and
    /// folders that were moved there before.
    fn folders(&mut self, is_alone: bool) -> Vec<(Item, PathBuf)> {
        let mut found = Vec::new();
        for folder in folders_of(&self.session.work_dir()) {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_aside = name.starts_with("aside-");
            let is_slot = name.parse::<usize>().is_ok();
            // What a collect verifies in has a lock of its own.
            let scratch = name.starts_with(SCRATCH).then(|| self.session.state.try_lock_of(name));
            let is_free = is_aside || (is_slot && is_alone) || matches!(scratch, Some(Ok(Some(_))));
            if !is_free || !touched(&folder).is_some_and(|at| self.is_past(at)) {
                continue;
            }
            let item = Item { kind: "slot", name: folder.to_string_lossy().into_owned() };
            let record = SlotRecord::read(&folder);
            if let Some(why) = record.and_then(|record| self.is_wanted(&record)) {
                self.keep(item, why);
            } else if self.options.dry_run {
                self.cleaned.removed.push(item);
            } else {
                match if is_aside { Ok(folder.clone()) } else { set_aside(&folder) } {
                    Ok(aside) => found.push((item, aside)),
                    Err(error) => self.keep(item, format!("it cannot be moved: {error}")),
                }
            }
        }
        found
    }

    /// Says why a folder that holds an attempt stays.
    fn is_wanted(&self, record: &SlotRecord) -> Option<String> {
        if let Some(group) = record.group.filter(|group| group_alive(*group)) {
            return Some(format!("process group {group} may work in it"));
        }
        let task = TaskName::parse(&record.task).ok()?;
        let has_ended = self.snapshot.get(&task).is_none_or(|task| self.has_ended(task));
        (!has_ended).then(|| format!("it holds work of {task}, which has not ended"))
    }
}

fn folders_of(work_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(work_dir).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

/// When something was last put into a folder or taken out of it, as each task does.
fn touched(folder: &Path) -> Option<Timestamp> {
    std::fs::symlink_metadata(folder).ok()?.modified().ok()?.try_into().ok()
}
