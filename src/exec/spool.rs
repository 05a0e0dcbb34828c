//! Owns the files of a capture: the first N bytes in `log`, the last N in segments named after the
//! place where they begin (`log.65536`), of which there are never more than two.
//!
//! The names tell a reader in another process all that it needs: what is missing in the middle, and
//! how far the output has come. So it can follow without a word from the writer.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

mod reading;
mod times;

pub(super) use reading::{read, read_timed, since, tail};
use times::Times;
pub(super) use times::marks;
pub use times::{LineSeconds, Mark};

const HEAD: &str = "log";

/// No more than this is read of one file. Ours are far smaller; an executor that knows the path may
/// have made one grow.
const MOST: u64 = 64 * 1024 * 1024;

/// The writing side.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    limit: u64,
    file: File,
    /// How much the file at hand still takes.
    room: u64,
    /// Where the segments begin, the one at hand last.
    segments: VecDeque<u64>,
    total: u64,
    times: Times,
    /// From when on nothing could be written, and why.
    failed: Option<(u64, io::Error)>,
}

impl Spool {
    /// Makes the folder, removes an earlier capture from it, and opens `log`.
    pub(super) fn create(dir: &Path, limit: u64) -> io::Result<Spool> {
        // For the user alone: nobody has looked for secrets in it yet.
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for (_, path) in list(dir)? {
            fs::remove_file(path)?;
        }
        let limit = limit.clamp(1, MOST);
        let file = create_new(&dir.join(HEAD))?;
        let times = Times::create(dir)?;
        Ok(Spool {
            dir: dir.to_owned(),
            limit,
            file,
            room: limit,
            segments: VecDeque::new(),
            total: 0,
            times,
            failed: None,
        })
    }

    /// Notes that what is taken next comes at this second of Unix time.
    pub(super) fn mark(&mut self, second: i64) {
        self.times.note(Mark { from: self.total, second });
    }

    /// Takes some output. Never fails: an executor must not be held up because our disk is full.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.write(bytes)
        {
            self.failed = Some((self.total, error));
        }
        self.total += bytes.len() as u64;
    }

    /// Returns how many bytes were taken.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Says at the end of `text` what could not be stored, if anything.
    pub(super) fn add_complaint(&self, text: &mut Vec<u8>) {
        if let Some((from, error)) = &self.failed {
            add_line(text, &format!("[git-dispatch: the output from byte {from} on could not be stored: {error}]"));
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut position = self.total;
        while !bytes.is_empty() {
            if self.room == 0 {
                // What would be removed again before this is done need not be written at all.
                let segments = (bytes.len() as u64).div_ceil(self.limit);
                let skipped = segments.saturating_sub(2) * self.limit;
                position += skipped;
                bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
                self.turn(position)?;
            }
            let fits = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
            self.file.write_all(&bytes[..fits])?;
            self.room -= fits as u64;
            position += fits as u64;
            bytes = &bytes[fits..];
        }
        Ok(())
    }

    /// Begins the next segment and removes the last but one.
    fn turn(&mut self, position: u64) -> io::Result<()> {
        self.file = create_new(&self.dir.join(format!("{HEAD}.{position}")))?;
        self.room = self.limit;
        self.segments.push_back(position);
        if self.segments.len() > 2
            && let Some(oldest) = self.segments.pop_front()
        {
            fs::remove_file(self.dir.join(format!("{HEAD}.{oldest}")))?;
        }
        Ok(())
    }
}

/// Never follows a link that someone has put there. Appends, so that what others add to the file is
/// not written over.
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

/// Lists a capture's files with the place where each begins, in order. No folder, no files.
fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let start = entry.file_name().to_str().and_then(start_of);
        files.extend(start.map(|start| (start, entry.path())));
    }
    files.sort();
    Ok(files)
}

fn start_of(name: &str) -> Option<u64> {
    let rest = name.strip_prefix(HEAD)?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('.')?.parse().ok() }
}

/// Adds a line of our own, which stands alone whatever was before.
fn add_line(text: &mut Vec<u8>, line: &str) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
}
