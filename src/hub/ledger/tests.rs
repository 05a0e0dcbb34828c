//! However the queue and the seals came to be, and whatever became of the file: what is read on top of an earlier reading is
//! what is read from nothing.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::git::objects::{NewCommit, NewEntry};
use crate::git::repo::Identity;
use crate::git::{Git, Repo};
use crate::hub::format::SpecRecord;
use crate::task::event::Event;

/// What may happen between two readings.
#[derive(Debug, Clone)]
enum Step {
    /// So many specs are added.
    Enqueue(u8),
    /// A commit that is no spec is added.
    Rubbish,
    /// The queue goes back by so many commits.
    Rewind(u8),
    /// The queue begins anew.
    Anew,
    /// The specs of a stretch are given a note: sealed, sealed twice, of a newer version, or rubbish.
    Note(u8, u8, u8),
    /// The notes of a stretch are taken away.
    Unseal(u8, u8),
    /// All of them are.
    NoSeals,
    /// Somebody's git writes the notes of a stretch in no folder, or in two.
    Flat(u8, u8, bool),
    /// The file is written, as of now.
    Write,
    /// A byte of it is changed.
    Flip(u16, u8),
    /// It is cut off.
    Cut(u16),
    /// Something is added to it.
    Grow(u8),
    /// It is deleted.
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let one = prop_oneof![
        4 => (1..6_u8).prop_map(Enqueue),
        1 => Just(Rubbish),
        1 => (0..6_u8).prop_map(Rewind),
        1 => Just(Anew),
        4 => (any::<u8>(), 1..5_u8, 0..4_u8).prop_map(|(from, count, kind)| Note(from, count, kind)),
        1 => (any::<u8>(), 1..5_u8).prop_map(|(from, count)| Unseal(from, count)),
        1 => Just(NoSeals),
        1 => (any::<u8>(), 1..5_u8, any::<bool>()).prop_map(|(from, count, is_deep)| Flat(from, count, is_deep)),
        4 => Just(Write),
        2 => (any::<u16>(), 1..=255_u8).prop_map(|(at, by)| Flip(at, by)),
        1 => any::<u16>().prop_map(Cut),
        1 => any::<u8>().prop_map(Grow),
        1 => Just(Delete),
    ];
    prop::collection::vec(one, 1..14)
}

/// A repository whose tips are moved by the steps.
struct World {
    repo: Repo,
    folder: tempfile::TempDir,
    by: Identity,
    /// All commits that ever were on the queue.
    specs: Vec<ObjectId>,
    queue: Option<ObjectId>,
    seals: Option<ObjectId>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Git::outside(folder.path()).check(&["init", "--quiet", "--bare", "."]).unwrap();
        std::fs::create_dir(folder.path().join("dispatch")).unwrap();
        let by = Identity { name: "A".to_owned(), email: "a@example.org".to_owned() };
        let repo = Repo::open(folder.path()).unwrap();
        Self { repo, folder, by, specs: Vec::new(), queue: None, seals: None }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("dispatch").join(file::NAME)
    }

    fn commit(&mut self, message: &str) {
        let tree = self.repo.write_tree(&[NewEntry { name: "spec.md", content: message.as_bytes() }]).unwrap();
        let parents: Vec<ObjectId> = self.queue.into_iter().collect();
        let at = Timestamp::from_second(1_700_000_000 + self.specs.len() as i64).unwrap();
        let new = NewCommit { tree, parents: &parents, message, by: &self.by, at };
        let id = self.repo.write_commit(&new).unwrap();
        self.specs.push(id);
        self.queue = Some(id);
    }

    fn stretch(&self, from: u8, count: u8) -> Vec<ObjectId> {
        let all = self.specs.len().max(1);
        (0..usize::from(count)).filter_map(|at| self.specs.get((usize::from(from) + at) % all).copied()).collect()
    }

    fn seal(&mut self, tree: ObjectId) {
        let parents: Vec<ObjectId> = self.seals.into_iter().collect();
        let new =
            NewCommit { tree, parents: &parents, message: "Notes\n", by: &self.by, at: Timestamp::UNIX_EPOCH };
        self.seals = Some(self.repo.write_commit(&new).unwrap());
    }

    fn step(&mut self, step: &Step, ledger: &Ledger) {
        match step {
            Step::Enqueue(count) => (0..*count).for_each(|_| {
                let number = self.specs.len();
                // Every third name comes again: a spec that replaces another.
                let name = format!("p/t{}", number - usize::from(number % 3 == 2));
                self.commit(&format!("{name}: Title {number}\n\nDispatch-Task: {name}\nDispatch-Label: a\n"));
            }),
            Step::Rubbish => self.commit("Not a spec\n"),
            Step::Rewind(by) => {
                for _ in 0..*by {
                    self.queue = self.queue.and_then(|tip| self.repo.commit(tip)?.parents.first().copied());
                }
            }
            Step::Anew => self.queue = None,
            Step::Note(from, count, kind) => {
                let seal = |event: &str| {
                    format!(
                        "{{\"v\":1,\"at\":\"2026-01-02T03:04:05.25Z\",\"event\":\"{event}\",\"duration_seconds\":0.1,\
                             \"claim\":\"{from:040x}\",\"output\":{{\"a\":[1,null]}}}}\n"
                    )
                };
                let text = match kind {
                    0 => seal("merged"),
                    1 => seal("cancelled") + &seal("merged"),
                    2 => "{\"v\":99}\n".to_owned(),
                    _ => "rubbish\n".to_owned(),
                };
                let texts: Vec<_> =
                    self.stretch(*from, *count).into_iter().map(|id| (id, text.clone().into_bytes())).collect();
                if !texts.is_empty() {
                    let tree = self.repo.write_notes(self.seals, &texts).unwrap();
                    self.seal(tree);
                }
            }
            Step::Unseal(from, count) => {
                if let Some(tip) = self.seals {
                    match self.repo.notes_without(tip, &self.stretch(*from, *count)).unwrap() {
                        Some(tree) => self.seal(tree),
                        None => self.seals = None,
                    }
                }
            }
            Step::NoSeals => self.seals = None,
            Step::Flat(from, count, is_deep) => self.by_hand(*from, *count, *is_deep),
            Step::Write => drop(file::write(&self.file(), ledger)),
            Step::Flip(at, by) => self.maim(|bytes| {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= by;
            }),
            Step::Cut(at) => self.maim(|bytes| bytes.truncate(usize::from(*at) % bytes.len())),
            Step::Grow(by) => self.maim(|bytes| bytes.push(*by)),
            Step::Delete => drop(std::fs::remove_file(self.file())),
        }
    }

    /// A tree of notes as others may write it.
    fn by_hand(&mut self, from: u8, count: u8, is_deep: bool) {
        let index = self.folder.path().join("index");
        let _ = std::fs::remove_file(&index);
        let git = || Git::outside(self.folder.path());
        if let Some(tip) = self.seals {
            git().check(&["read-tree", &tip.to_string()]).unwrap();
        }
        let seal = format!("{{\"v\":1,\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"merged\",\"attempt\":{from}}}\n");
        let blob = self.repo.write_blob(seal.as_bytes()).unwrap();
        for id in self.stretch(from, count) {
            let hex = id.to_string();
            let path = if is_deep { format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]) } else { hex };
            git().check(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{path}")]).unwrap();
        }
        let tree = git().check(&["write-tree"]).unwrap().text();
        self.seal(ObjectId::from_hex(tree.trim().as_bytes()).unwrap());
    }

    fn maim(&self, how: impl FnOnce(&mut Vec<u8>)) {
        if let Ok(mut bytes) = std::fs::read(self.file()) {
            how(&mut bytes);
            std::fs::write(self.file(), bytes).unwrap();
        }
    }

    fn read(&self, before: &Ledger) -> Ledger {
        Ledger::read(&self.repo, self.queue, self.seals, before)
    }
}

fn assert_same(one: &Ledger, other: &Ledger) {
    assert_eq!(one.queue.specs, other.queue.specs);
    assert_eq!(one.queue.unreadable, other.queue.unreadable);
    assert_eq!(one.seals.folds, other.seals.folds);
    assert_eq!((one.queue.tip, one.seals.tip), (other.queue.tip, other.seals.tip));
    assert_eq!((&one.seals.wrong, one.is_whole()), (&other.seals.wrong, other.is_whole()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_remembered_is_what_is_there(steps in steps(), pick in any::<prop::sample::Index>()) {
        let mut world = World::new();
        let mut readings = vec![Ledger::default()];
        for step in &steps {
            world.step(step, readings.last().unwrap());
            let from_nothing = world.read(&Ledger::default());
            prop_assert!(from_nothing.is_whole());
            assert_same(&world.read(readings.last().unwrap()), &from_nothing);
            assert_same(&world.read(pick.get(&readings)), &from_nothing);
            assert_same(&world.read(&file::load(&world.repo).unwrap_or_default()), &from_nothing);
            readings.push(from_nothing);
        }
    }
}

fn filled() -> World {
    let mut world = World::new();
    for _ in 0..20 {
        world.step(&Step::Enqueue(5), &Ledger::default());
    }
    world.step(&Step::Rubbish, &Ledger::default());
    (0..8).for_each(|at| world.step(&Step::Note(at * 5, 5, at % 4), &Ledger::default()));
    world
}

#[test]
fn what_was_written_is_read_and_nothing_but_that() {
    let world = filled();
    let ledger = world.read(&Ledger::default());
    file::write(&world.file(), &ledger).unwrap();
    assert_same(&file::load(&world.repo).unwrap(), &ledger);
    let bytes = std::fs::read(world.file()).unwrap();
    // Every byte counts, and so does every length.
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(world.file(), &flipped).unwrap();
        assert!(file::load(&world.repo).is_none(), "byte {at} of {}", bytes.len());
        if at % 16 == 0 {
            std::fs::write(world.file(), &bytes[..at]).unwrap();
            assert!(file::load(&world.repo).is_none(), "{at} bytes of {}", bytes.len());
        }
    }
}

#[test]
fn what_is_kept_says_what_commits_and_notes_say_and_only_what_is_looked_at_is_decoded() {
    let world = filled();
    file::write(&world.file(), &world.read(&Ledger::default())).unwrap();
    let ledger = file::load(&world.repo).unwrap();
    let notes = || ledger.seals.folds.iter().flat_map(|fold| &fold.notes);
    let seals = || notes().flat_map(|note| note.sealed.iter().flatten());
    assert!(!ledger.queue.specs.iter().any(|spec| spec.record.is_decoded()));
    assert!(seals().count() > 10 && !seals().any(|seal| seal.event.is_decoded()));
    for spec in ledger.queue.specs.iter() {
        let commit = world.repo.commit(spec.id).unwrap();
        assert_eq!(SpecRecord::parse(&commit.message).unwrap(), *spec.record);
        let (task, minutes) = (&spec.record.task, spec.record.estimate_minutes);
        assert_eq!((&spec.task, spec.estimate_minutes, spec.at), (task, minutes, commit.at));
    }
    for note in notes().filter(|note| note.sealed.is_ok()) {
        let said = Event::parse_lines(&world.repo.blob(note.blob).unwrap());
        let kept: Vec<Event> = note.sealed.iter().flatten().map(|seal| seal.event.read()).collect();
        assert_eq!(kept, said);
    }
    assert!(!seals().any(|seal| seal.event.is_decoded()), "reading keeps nothing");
    for seal in seals() {
        assert_eq!((seal.is_merged, seal.is_reopening), (seal.event.event == "merged", seal.reopens.is_some()));
        assert_eq!(seal.took, seal.duration_seconds);
    }
    assert!(ledger.queue.specs[0].record.is_decoded() && !ledger.queue.specs[0].record.clone().is_decoded());
}

#[test]
fn of_what_is_not_all_there_nothing_is_kept() {
    let world = filled();
    let gone = world.specs[10];
    let hex = gone.to_string();
    std::fs::remove_file(world.folder.path().join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    let fresh = Repo::open(world.folder.path()).unwrap();
    let ledger = Ledger::read(&fresh, world.queue, world.seals, &Ledger::default());
    assert!(!ledger.is_whole());
    assert!(ledger.queue.specs.len() < world.specs.len() - 10);
}

#[test]
fn two_who_write_and_one_who_reads_do_not_disturb_each_other() {
    let world = filled();
    let full = world.read(&Ledger::default());
    let path = world.file();
    let less = Ledger { seals: Seals::default(), ..full.clone() };
    std::thread::scope(|scope| {
        for ledger in [&full, &less] {
            let path = path.clone();
            scope.spawn(move || (0..100).for_each(|_| drop(file::write(&path, ledger))));
        }
    });
    let mut found = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..200).for_each(|_| drop(file::write(&path, &full))));
        let repo = world.repo.clone();
        while !writer.is_finished() {
            if let Some(read) = file::load(&repo) {
                assert_eq!(read.queue.specs, full.queue.specs);
                found += 1;
            }
        }
    });
    assert!(found > 0 && file::load(&world.repo).is_some());
}
