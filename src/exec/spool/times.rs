//! Owns when the bytes of a capture came: a file of marks beside the output, never more than [`MOST`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in the capture's folder; a line each: byte and second.
const FILE: &str = "times";

/// More marks than that are thinned out.
const MOST: usize = 1024;

/// From this byte of the output on it came at this second of Unix time, or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The byte, counted from the beginning of the output.
    pub from: u64,
    /// The second.
    pub second: i64,
}

/// When lines came: pairs of a line of a text, counted from 0, and the second of Unix time at which it and those after it
/// came.
pub type LineSeconds = Vec<(usize, i64)>;

/// The writing side.
#[derive(Debug)]
pub(super) struct Times {
    path: PathBuf,
    marks: Vec<Mark>,
    /// None once something could not be written: times are told as far as they go.
    file: Option<File>,
}

impl Times {
    pub(super) fn create(dir: &Path) -> io::Result<Times> {
        let path = dir.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = Some(open(&path)?);
        Ok(Times { path, marks: Vec::new(), file })
    }

    /// Notes that what comes from this byte on comes now. One mark a second is enough.
    pub(super) fn note(&mut self, mark: Mark) {
        if self.marks.last().is_some_and(|last| last.second == mark.second) {
            return;
        }
        self.marks.push(mark);
        let written = match self.marks.len() > MOST {
            true => self.thin_out(),
            false => self.file.as_mut().map_or(Ok(()), |file| file.write_all(line(mark).as_bytes())),
        };
        if written.is_err() {
            self.file = None;
        }
    }

    /// Keeps every second mark, so that a long output has coarse times and not none.
    fn thin_out(&mut self) -> io::Result<()> {
        let mut place = 0;
        self.marks.retain(|_| {
            place += 1;
            place % 2 == 1
        });
        if self.file.is_none() {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut file = open(&new)?;
        file.write_all(self.marks.iter().copied().map(line).collect::<String>().as_bytes())?;
        // Never empty to a reader.
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Reads the marks of the capture in `dir`, which may be under way in another process; none where there are none.
pub(in crate::exec) fn marks(dir: &Path) -> Vec<Mark> {
    let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
    let mark = |line: &str| {
        let (from, second) = line.split_once(' ')?;
        Some(Mark { from: from.parse().ok()?, second: second.parse().ok()? })
    };
    // The last line may be half written.
    text.split_inclusive('\n').filter_map(|line| mark(line.strip_suffix('\n')?)).take(MOST).collect()
}

fn line(mark: Mark) -> String {
    format!("{} {}\n", mark.from, mark.second)
}

/// Never follows a link that someone has put there.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_mark_and_many_are_thinned_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut times = Times::create(dir.path()).unwrap();
        assert_eq!(marks(dir.path()), []);
        for second in 0..=MOST as i64 {
            for half in 0..2 {
                times.note(Mark { from: second as u64 * 10 + half, second });
            }
        }
        let kept = marks(dir.path());
        assert_eq!(kept.len(), MOST / 2 + 1);
        assert!(kept.iter().all(|mark| mark.second % 2 == 0 && mark.from == mark.second as u64 * 10));
        times.note(Mark { from: 99_999, second: 99_999 });
        assert_eq!(marks(dir.path()).last(), Some(&Mark { from: 99_999, second: 99_999 }));
        // A new capture has none of the old one's.
        Times::create(dir.path()).unwrap();
        assert_eq!(marks(dir.path()), []);
    }
}
