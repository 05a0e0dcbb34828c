//! The reading on disk: `<git-common-dir>/dispatch/queue.cache`, which may be deleted at any time with nothing lost.
//!
//! Owns the file's form: blocks of records one after the other, then their index, then where the index begins. Every block
//! carries a checksum, and is read, checked and decoded apart from the others, on all cores. A file of another version or
//! another shape, cut off, flipped, or being written is not there. It is written beside and renamed, by one process at a
//! time; not synced, since what a power cut leaves of it is found out by the checksums.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::Ledger;
use super::codec::{self, Stored};
use super::queue::{self, Bad, Queue, Queued};
use super::seals::{self, Fold, Seals};
use crate::git::{ObjectId, Repo};

/// The file's name.
pub const NAME: &str = "queue.cache";

/// Raised whenever something is read differently from the same objects.
const VERSION: u64 = 2;

/// From how many objects on, read beside the file, it is written again: less is read sooner than written.
pub const WORTH_WRITING: usize = 512;

/// And from which part of all of them.
const WORTH_PART: usize = 50;

/// How many specs, and how many folders of seals, one block holds.
const SPECS: usize = 2048;
const FOLDS: usize = 8;

/// The last bytes: where the index begins, its checksum, the file's mark.
const TAIL: usize = 24;

/// Something that stands in a block, and may refer to where it stands.
pub(super) trait InBlock: Sized {
    /// Writes it at the end.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from the rest of a block, and moves the rest behind it.
    fn take(block: &Arc<Vec<u8>>, rest: &mut &[u8]) -> Option<Self>;
}

/// What a block holds.
enum Block {
    Specs(Vec<Arc<Queued>>),
    Folds(Vec<Arc<Fold>>),
}

/// Where a block stands, and its checksum.
struct Place {
    is_specs: bool,
    at: u64,
    length: usize,
    sum: u64,
}

/// What stands in the index.
struct Index {
    queue_tip: Option<ObjectId>,
    /// The commits on the queue that are no specs: with how many specs are older.
    bad: Vec<(usize, ObjectId)>,
    seals_tip: Option<ObjectId>,
    blocks: Vec<Place>,
}

fn path(repo: &Repo) -> PathBuf {
    repo.common_dir().join("dispatch").join(NAME)
}

/// Reads the file; `None` where there is none that can be believed.
pub fn load(repo: &Repo) -> Option<Ledger> {
    let file = File::open(path(repo)).ok()?;
    let index = Index::read(&file)?;
    let blocks: Option<Vec<Block>> = index.blocks.par_iter().map(|place| place.read(&file)).collect();
    let (mut specs, mut folds) = (Vec::new(), Vec::new());
    for block in blocks? {
        match block {
            Block::Specs(mut some) => specs.append(&mut some),
            Block::Folds(mut some) => folds.append(&mut some),
        }
    }
    // What cannot be read is not in the file, so that it is not taken for less than it is: it is looked at again.
    let again = |(after, id): (usize, ObjectId)| match queue::parse(repo.commit(id)?) {
        Err((id, why)) => Some(Bad { after, id, why }),
        Ok(_) => None,
    };
    let unreadable = index.bad.into_iter().map(again).collect::<Option<Vec<_>>>()?;
    for fold in folds.iter_mut().filter(|fold| fold.notes.iter().any(|note| note.sealed.is_err())) {
        for note in &mut Arc::make_mut(fold).notes {
            if note.sealed.is_err() {
                note.sealed = seals::read_note(repo, note.blob)?;
            }
        }
    }
    Some(Ledger {
        queue: Queue { tip: index.queue_tip, specs: Arc::new(specs), unreadable, ..Queue::default() },
        seals: Seals { tip: index.seals_tip, folds, ..Seals::default() },
        unwritten: 0,
    })
}

/// Writes the file, where enough was read that it does not hold. That it could not be written is nobody's trouble.
pub fn keep(repo: &Repo, ledger: &mut Ledger) {
    let all = ledger.queue.specs.len() + ledger.seals.folds.iter().map(|fold| fold.notes.len()).sum::<usize>();
    if ledger.unwritten >= WORTH_WRITING.max(all / WORTH_PART) && write(&path(repo), ledger).is_ok() {
        ledger.unwritten = 0;
    }
}

pub(super) fn write(path: &Path, ledger: &Ledger) -> std::io::Result<()> {
    let lock = File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
    // Somebody else of this clone is about to write the same.
    lock.try_lock()?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let (specs, folds) = (ledger.queue.specs.as_slice(), ledger.seals.folds.as_slice());
    let mut index = Index {
        queue_tip: ledger.queue.tip,
        bad: ledger.queue.unreadable.iter().map(|bad| (bad.after, bad.id)).collect(),
        seals_tip: ledger.seals.tip,
        blocks: Vec::new(),
    };
    let mut at = 0;
    // A few blocks at a time: the whole would be in memory twice.
    let mut put = |is_specs: bool, blocks: Vec<Vec<u8>>| {
        for block in blocks {
            file.write_all(&block)?;
            index.blocks.push(Place { is_specs, at, length: block.len(), sum: checksum(&block) });
            at += block.len() as u64;
        }
        Ok::<_, std::io::Error>(())
    };
    for some in specs.chunks(SPECS * 8) {
        put(true, some.par_chunks(SPECS).map(encode).collect())?;
    }
    for some in folds.chunks(FOLDS * 8) {
        put(false, some.par_chunks(FOLDS).map(encode).collect())?;
    }
    let mut end = Vec::new();
    index.put(&mut end);
    let sum = checksum(&end);
    end.extend(at.to_le_bytes());
    end.extend(sum.to_le_bytes());
    end.extend(mark().to_le_bytes());
    file.write_all(&end)?;
    fs::rename(beside, path)
}

fn encode<T: InBlock>(records: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    records.iter().for_each(|record| record.put(&mut out));
    out
}

fn decode<T: InBlock>(block: &Arc<Vec<u8>>) -> Option<Vec<T>> {
    let (mut rest, mut all) = (block.as_slice(), Vec::new());
    while !rest.is_empty() {
        all.push(T::take(block, &mut rest)?);
    }
    Some(all)
}

impl Index {
    fn read(file: &File) -> Option<Self> {
        let size = file.metadata().ok()?.len();
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, size.checked_sub(TAIL as u64)?).ok()?;
        let number = |at: usize| tail[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let (start, sum, mark_there) = (number(0)?, number(8)?, number(16)?);
        if mark_there != mark() {
            return None;
        }
        let length = (size - TAIL as u64).checked_sub(start)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, start).ok()?;
        let mut from = bytes.as_slice();
        let index = (checksum(&bytes) == sum).then(|| Self::take(&mut from))??;
        let fits = |place: &Place| place.at.checked_add(place.length as u64).is_some_and(|end| end <= start);
        index.blocks.iter().all(fits).then_some(index)
    }
}

impl Place {
    fn read(&self, file: &File) -> Option<Block> {
        let mut bytes = vec![0; self.length];
        file.read_exact_at(&mut bytes, self.at).ok()?;
        if checksum(&bytes) != self.sum {
            return None;
        }
        let block = Arc::new(bytes);
        if self.is_specs { decode(&block).map(Block::Specs) } else { decode(&block).map(Block::Folds) }
    }
}

/// Stands for this version, this program's version and the shape of the records.
fn mark() -> u64 {
    checksum(format!("git-dispatch {} {VERSION} {}", env!("CARGO_PKG_VERSION"), codec::shape()).as_bytes())
}

/// Tells one text from another that came of it by accident: each step can be undone, so no single change goes unseen.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

impl Stored for Index {
    fn put(&self, out: &mut Vec<u8>) {
        self.queue_tip.put(out);
        self.seals_tip.put(out);
        self.bad.len().put(out);
        for (after, id) in &self.bad {
            after.put(out);
            id.put(out);
        }
        self.blocks.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (queue_tip, seals_tip) = (Stored::take(from)?, Stored::take(from)?);
        let mut bad = Vec::new();
        for _ in 0..usize::take(from)? {
            bad.push((Stored::take(from)?, Stored::take(from)?));
        }
        Some(Self { queue_tip, bad, seals_tip, blocks: Stored::take(from)? })
    }
}

impl Stored for Place {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_specs.put(out);
        self.at.put(out);
        self.length.put(out);
        self.sum.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            is_specs: Stored::take(from)?,
            at: Stored::take(from)?,
            length: Stored::take(from)?,
            sum: Stored::take(from)?,
        })
    }
}
