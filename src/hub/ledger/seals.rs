//! The seals, by the folder of the notes' tree that they lie in.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rayon::prelude::*;

use super::codec::Stored;
use super::file::InBlock;
use super::late::{self, Late, Record};
use crate::git::notes::Fold as Folder;
use crate::git::{IdMap, ObjectId, Repo};
use crate::hub::format::Unreadable;
use crate::task::event::{Event, VERSION};

/// How many notes that lie side by side one thread reads.
const TOGETHER: usize = 1024;

/// What the note with the seals of one spec says, the lines oldest first.
pub type Sealed = Result<Vec<Arc<Seal>>, Unreadable>;

/// One seal: what it says, of which the deciding part is known without looking at the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Seal {
    pub(super) event: Late<Event>,
    /// Whether the task was merged; else it was cancelled.
    pub is_merged: bool,
    /// Whether another seal is undone by it.
    pub is_reopening: bool,
    /// How many seconds the work took, where that is told.
    pub took: Option<f64>,
}

impl Seal {
    fn new(event: &Event) -> Self {
        Self {
            is_merged: event.event == "merged",
            is_reopening: event.reopens.is_some(),
            took: event.duration_seconds,
            event: Late::new(event),
        }
    }
}

impl Deref for Seal {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

/// All seals up to a tip.
#[derive(Debug, Clone)]
pub struct Seals {
    /// The tip.
    pub tip: Option<ObjectId>,
    /// Why none of them can be read: then nobody knows what has ended.
    pub wrong: Option<Unreadable>,
    pub(super) folds: Vec<Arc<Fold>>,
    pub(super) is_whole: bool,
    /// How many were not known before.
    pub(super) fresh: usize,
}

/// The seals in one folder of the notes' tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fold {
    pub(super) folder: Folder,
    pub(super) notes: Vec<Note>,
}

/// The seals of one spec.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    pub(super) spec: ObjectId,
    pub(super) blob: ObjectId,
    pub(super) sealed: Sealed,
}

/// A fold whose notes are listed.
struct Listed {
    fold: Arc<Fold>,
    /// The places of those that are to be read yet.
    blanks: Vec<usize>,
    is_whole: bool,
}

/// A note that is to be read: which of which fold.
struct Blank {
    fold: usize,
    note: usize,
    blob: ObjectId,
}

impl Default for Seals {
    fn default() -> Self {
        Self { tip: None, wrong: None, folds: Vec::new(), is_whole: true, fresh: 0 }
    }
}

impl Seals {
    /// Lists the folders that an earlier reading does not have, and reads the notes that it does not have.
    pub(super) fn read(repo: &Repo, tip: Option<ObjectId>, before: &Self) -> Self {
        if tip == before.tip && before.is_whole {
            return Self { fresh: 0, ..before.clone() };
        }
        let Some(id) = tip else {
            return Self::default();
        };
        let Some(folders) = repo.note_folds(id) else {
            return Self { tip, wrong: Some(Unreadable::NotACommit), is_whole: false, ..Self::default() };
        };
        // A handle of one's own for each thread: what it has unpacked is not shared.
        let handle = Mutex::new(repo.clone());
        let own = || handle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let list = |repo: &mut Repo, folder: Folder| {
            let old = before.folds.iter().find(|old| old.folder.prefix == folder.prefix);
            match old {
                Some(old) if old.folder == folder => {
                    Listed { fold: old.clone(), blanks: Vec::new(), is_whole: true }
                }
                old => Listed::of(repo, folder, old),
            }
        };
        let mut listed: Vec<Listed> = folders.into_par_iter().map_init(own, list).collect();
        let mut blanks: Vec<Blank> = Vec::new();
        for (fold, of) in listed.iter_mut().enumerate() {
            let blob = |note: usize| of.fold.notes[note].blob;
            blanks.extend(of.blanks.drain(..).map(|note| Blank { fold, note, blob: blob(note) }));
        }
        repo.sort_as_packed(&mut blanks, |blank| blank.blob);
        let read = |repo: &mut Repo, some: &[Blank]| -> Vec<Option<Sealed>> {
            let mut read: Vec<_> = some.iter().map(|blank| read_note(repo, blank.blob)).collect();
            let seals = read.iter_mut().flatten().flatten().flatten().filter_map(Arc::get_mut);
            late::gather(seals.map(|seal| &mut seal.event));
            read
        };
        let texts: Vec<Option<Sealed>> = blanks.par_chunks(TOGETHER).map_init(own, read).flatten_iter().collect();
        let mut is_whole = listed.iter().all(|of| of.is_whole);
        for (blank, sealed) in blanks.iter().zip(texts) {
            is_whole &= sealed.is_some();
            let notes = &mut Arc::make_mut(&mut listed[blank.fold].fold).notes;
            notes[blank.note].sealed = sealed.unwrap_or(Err(Unreadable::Malformed("seal")));
        }
        let folds = listed.into_iter().map(|of| of.fold).collect();
        Self { tip, wrong: None, is_whole, fresh: blanks.len(), folds }
    }

    /// Maps each spec to its seals.
    pub fn by_spec(&self) -> IdMap<&Sealed> {
        self.folds.iter().flat_map(|fold| &fold.notes).map(|note| (note.spec, &note.sealed)).collect()
    }
}

impl Listed {
    /// Lists a folder, and takes over what an earlier reading of it has.
    fn of(repo: &Repo, folder: Folder, old: Option<&Arc<Fold>>) -> Self {
        let known: IdMap<&Sealed> =
            old.into_iter().flat_map(|old| &old.notes).map(|note| (note.blob, &note.sealed)).collect();
        let (entries, is_whole) = repo.notes_in(&folder);
        let mut blanks = Vec::new();
        let mut notes = Vec::with_capacity(entries.len());
        for (spec, blob) in entries {
            let sealed = known.get(&blob).map(|sealed| (*sealed).clone()).unwrap_or_else(|| {
                blanks.push(notes.len());
                Err(Unreadable::Malformed("seal"))
            });
            notes.push(Note { spec, blob, sealed });
        }
        Self { fold: Arc::new(Fold { folder, notes }), blanks, is_whole }
    }
}

/// Reads one note; `None` where it is not here.
pub(super) fn read_note(repo: &Repo, blob: ObjectId) -> Option<Sealed> {
    repo.blob(blob).map(|text| read_sealed(&text))
}

/// Reads one note with seals. One of a newer version, or one without a single seal that can be read, is not taken for
/// "not sealed": a finished task would run again.
fn read_sealed(text: &[u8]) -> Sealed {
    let mut seals = Vec::with_capacity(1);
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Event>(line) {
            Ok(event) if event.v <= VERSION => {
                if event.event == "merged" || event.event == "cancelled" {
                    seals.push(Arc::new(Seal::new(&event)));
                }
            }
            // What does not fit may be rubbish between the lines, or of a version that says so.
            _ => {
                if let Some(version) = version_of(line).filter(|version| *version > VERSION) {
                    return Err(Unreadable::Newer(version));
                }
            }
        }
    }
    if seals.is_empty() { Err(Unreadable::Malformed("seal")) } else { Ok(seals) }
}

fn version_of(line: &[u8]) -> Option<u32> {
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(u32::try_from(record.get("v")?.as_u64()?).unwrap_or(u32::MAX))
}

impl InBlock for Arc<Fold> {
    fn put(&self, out: &mut Vec<u8>) {
        self.folder.prefix.put(out);
        self.folder.tree.put(out);
        self.notes.len().put(out);
        for note in &self.notes {
            note.spec.put(out);
            note.blob.put(out);
            // What cannot be read is not in the file, so that it is not taken for less than it is.
            let seals = note.sealed.as_deref().unwrap_or_default();
            seals.len().put(out);
            for seal in seals {
                seal.is_merged.put(out);
                seal.is_reopening.put(out);
                seal.took.put(out);
                seal.event.put(out);
            }
        }
    }

    fn take(block: &Arc<Vec<u8>>, rest: &mut &[u8]) -> Option<Self> {
        let folder = Folder { prefix: Stored::take(rest)?, tree: Stored::take(rest)? };
        let mut notes = Vec::new();
        for _ in 0..usize::take(rest)? {
            let (spec, blob) = (Stored::take(rest)?, Stored::take(rest)?);
            let mut seals = Vec::with_capacity(1);
            for _ in 0..usize::take(rest)? {
                let (is_merged, is_reopening, took) =
                    (Stored::take(rest)?, Stored::take(rest)?, Stored::take(rest)?);
                seals.push(Arc::new(Seal { is_merged, is_reopening, took, event: Late::take(block, rest)? }));
            }
            let sealed = if seals.is_empty() { Err(Unreadable::Malformed("seal")) } else { Ok(seals) };
            notes.push(Note { spec, blob, sealed });
        }
        Some(Self::new(Fold { folder, notes }))
    }
}

impl Record for Event {
    fn broken() -> Self {
        Self::new("unreadable", Timestamp::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_line_anywhere_spoils_the_note_and_rubbish_does_not() {
        let good = r#"{"v":1,"at":"2026-01-02T03:04:05Z","event":"merged"}"#;
        let read = |text: String| read_sealed(text.as_bytes());
        assert_eq!(read(format!("rubbish\n{good}\n\n")).unwrap().len(), 1);
        assert_eq!(read(format!("{good}\n{{\"v\":7,\"at\":3}}\n")), Err(Unreadable::Newer(7)));
        assert_eq!(read(format!("{good}\n{{\"v\":99999999999}}\n")), Err(Unreadable::Newer(u32::MAX)));
        assert_eq!(read("{}\n".to_owned()), Err(Unreadable::Malformed("seal")));
    }
}
