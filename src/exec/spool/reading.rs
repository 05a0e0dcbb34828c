//! Owns reading a capture back, whole or in part, while it may still be growing in another process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::{LineSeconds, MOST, Mark, add_line, list, marks};

/// How often a reader looks anew when segments vanish under it.
const LOOKS: u32 = 20;

/// Returns what is kept: all of it, or the beginning and the last N bytes with a line between.
pub(in crate::exec) fn read(dir: &Path) -> io::Result<Vec<u8>> {
    Ok(assemble(dir)?.text)
}

/// The same, with the times of its lines.
pub(in crate::exec) fn read_timed(dir: &Path) -> io::Result<(Vec<u8>, LineSeconds)> {
    let kept = assemble(dir)?;
    let times = kept.times(&marks(dir));
    Ok((kept.text, times))
}

/// What is kept of an output, and where in the output it stood.
struct Kept {
    text: Vec<u8>,
    /// Where the end begins in `text`, and in the output; before that, both are the same.
    end_at: usize,
    end_from: u64,
}

impl Kept {
    fn times(&self, marks: &[Mark]) -> LineSeconds {
        let mut times = LineSeconds::new();
        let mut at = 0;
        for (number, line) in self.text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let from = if at < self.end_at { at as u64 } else { self.end_from + (at - self.end_at) as u64 };
            let before = marks.partition_point(|mark| mark.from <= from);
            let second = before.checked_sub(1).map(|last| marks[last].second);
            if let Some(second) = second.filter(|second| times.last().is_none_or(|(_, last)| last != second)) {
                times.push((number, second));
            }
            at += line.len();
        }
        times
    }
}

fn assemble(dir: &Path) -> io::Result<Kept> {
    let mut pieces = load(dir, 0)?;
    // Without a head somebody has removed it; then all that is left is the end.
    let has_head = pieces.first().is_some_and(|piece| piece.start == 0);
    let mut text = if has_head { pieces.remove(0).bytes } else { Vec::new() };
    let head = text.len();
    let (from, tail) = last_run(pieces);
    // The head is full when there is more, so its length is N, and a reader need not be told it.
    let keep = if has_head { tail.len().min(head) } else { tail.len() };
    let left_out = (from + (tail.len() - keep) as u64).saturating_sub(head as u64);
    if left_out > 0 && keep > 0 {
        add_line(&mut text, &format!("[git-dispatch: {left_out} bytes left out]"));
    }
    let skipped = tail.len() - keep;
    let (end_at, end_from) = (text.len(), from + skipped as u64);
    text.extend_from_slice(&tail[skipped..]);
    Ok(Kept { text, end_at, end_from })
}

/// Returns the last `n` bytes, or fewer where less is there without a gap, and where they begin.
pub(in crate::exec) fn tail(dir: &Path, n: u64) -> io::Result<(u64, Vec<u8>)> {
    let end = load(dir, u64::MAX)?.pop().map_or(0, |piece| piece.end());
    let (from, mut bytes) = last_run(load(dir, end.saturating_sub(n))?);
    let keep = bytes.len().min(usize::try_from(n).unwrap_or(usize::MAX));
    let skipped = bytes.len() - keep;
    Ok((from + skipped as u64, bytes.split_off(skipped)))
}

/// Returns what stands from byte `from` on without a gap, and where that begins: later than asked
/// for when what was asked for is no longer kept.
pub(in crate::exec) fn since(dir: &Path, from: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut run = (from, Vec::new());
    for piece in load(dir, from)?.into_iter().filter(|piece| !piece.bytes.is_empty()) {
        let start = piece.start + piece.skipped;
        if run.1.is_empty() {
            run.0 = start;
        } else if start != run.0 + run.1.len() as u64 {
            break;
        }
        run.1.extend(piece.bytes);
    }
    Ok(run)
}

/// A file's part of the output.
struct Piece {
    start: u64,
    bytes: Vec<u8>,
    /// Bytes before `bytes` that were not asked for.
    skipped: u64,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.skipped + self.bytes.len() as u64
    }
}

/// Reads the files in order, each from `from` on.
fn load(dir: &Path, from: u64) -> io::Result<Vec<Piece>> {
    for _ in 0..LOOKS {
        let listed = list(dir)?;
        let nexts = listed.iter().skip(1).map(|(start, _)| *start).chain([u64::MAX]);
        let pieces = listed.iter().zip(nexts).map(|((start, path), next)| load_piece(*start, path, next, from));
        match pieces.collect() {
            // The writer has gone on and removed it; there is a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the output grows faster than it can be read"))
}

fn load_piece(start: u64, path: &Path, next: u64, from: u64) -> io::Result<Piece> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len().min(next - start);
    let skipped = from.saturating_sub(start).min(length);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take((length - skipped).min(MOST)).read_to_end(&mut bytes)?;
    Ok(Piece { start, bytes, skipped })
}

/// Joins what stands at the end without a gap; returns where it begins, too.
fn last_run(pieces: Vec<Piece>) -> (u64, Vec<u8>) {
    let mut run = (0, Vec::new());
    for piece in pieces {
        let start = piece.start + piece.skipped;
        if start != run.0 + run.1.len() as u64 {
            run = (start, Vec::new());
        }
        run.1.extend(piece.bytes);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::super::Spool;
    use super::*;
    use std::fs;

    fn spooled(limit: u64, parts: &[&str]) -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path(), limit).unwrap();
        parts.iter().for_each(|part| spool.put(part.as_bytes()));
        (dir, spool)
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn keeps_everything_up_to_twice_the_limit() {
        for all in ["", "abc", "abcd", "abcdefgh"] {
            let (dir, spool) = spooled(4, &[all]);
            assert_eq!(text(read(dir.path()).unwrap()), all);
            assert_eq!(text(tail(dir.path(), 100).unwrap().1), all);
            assert_eq!(spool.total(), all.len() as u64);
        }
    }

    #[test]
    fn says_what_is_left_out_of_the_middle() {
        for (written, expected) in [
            ("abcdefghi", "abcd\n[git-dispatch: 1 bytes left out]\nfghi"),
            ("abcdefghijklmnopqrstuvwxyz", "abcd\n[git-dispatch: 18 bytes left out]\nwxyz"),
        ] {
            let single: Vec<String> = written.chars().map(String::from).collect();
            let single: Vec<&str> = single.iter().map(String::as_str).collect();
            for parts in [vec![written], single] {
                let (dir, _) = spooled(4, &parts);
                assert_eq!(text(read(dir.path()).unwrap()), expected);
                assert!(list(dir.path()).unwrap().len() <= 3);
            }
        }
    }

    #[test]
    fn each_line_has_the_time_at_which_it_began() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path(), 12).unwrap();
        for (second, part) in [(5, "one\ntw"), (7, "o\nthree\n"), (7, "four\n"), (9, "five\nsix\n")] {
            spool.mark(second);
            spool.put(part.as_bytes());
        }
        let (kept, times) = read_timed(dir.path()).unwrap();
        assert_eq!(text(kept), "one\ntwo\nthre\n[git-dispatch: 4 bytes left out]\nur\nfive\nsix\n");
        assert_eq!(times, [(0, 5), (2, 7), (5, 9)]);
        // Without a gap.
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path(), 4).unwrap();
        spool.mark(1);
        spool.put(b"a\nb\n");
        spool.mark(2);
        spool.put(b"c\n");
        assert_eq!(read_timed(dir.path()).unwrap(), (b"a\nb\nc\n".to_vec(), vec![(0, 1), (2, 2)]));
    }

    #[test]
    fn can_be_followed_from_any_place() {
        let (dir, mut spool) = spooled(4, &["abc"]);
        assert_eq!(since(dir.path(), 0).unwrap(), (0, b"abc".to_vec()));
        assert_eq!(since(dir.path(), 3).unwrap(), (3, vec![]));
        spool.put(b"def");
        assert_eq!(since(dir.path(), 3).unwrap(), (3, b"def".to_vec()));
        spool.put(b"ghijklmnopqrst");
        assert_eq!(since(dir.path(), 1).unwrap(), (1, b"bcd".to_vec()));
        assert_eq!(since(dir.path(), 6).unwrap(), (12, b"mnopqrst".to_vec()));
        assert_eq!(tail(dir.path(), 6).unwrap(), (14, b"opqrst".to_vec()));
        assert_eq!(tail(dir.path(), 0).unwrap(), (20, Vec::new()));
    }

    #[test]
    fn a_new_capture_removes_the_old_one_and_nothing_else() {
        let (dir, _) = spooled(2, &["abcdefghij"]);
        fs::write(dir.path().join("log.txt"), "mine").unwrap();
        Spool::create(dir.path(), 2).unwrap();
        assert_eq!(read(dir.path()).unwrap(), b"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(read(&dir.path().join("nowhere")).unwrap(), b"");
    }

    #[test]
    fn what_cannot_be_stored_is_counted_and_said() {
        let (dir, mut spool) = spooled(4, &["abcd"]);
        // In the way of the next segment: a link that leads elsewhere is not followed.
        std::os::unix::fs::symlink("/dev/null", dir.path().join("log.4")).unwrap();
        spool.put(b"efg");
        spool.put(b"h");
        let mut kept = b"abcd".to_vec();
        spool.add_complaint(&mut kept);
        assert_eq!(spool.total(), 8);
        assert!(text(kept).starts_with("abcd\n[git-dispatch: the output from byte 4 on could not be stored: "));
    }
}
