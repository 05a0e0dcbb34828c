//! Owns the output of an executor while it runs and after: takes it from a pipe, keeps it bounded
//! in files (`spool.rs`), and notes each sign of life. What is not to be written down is taken out
//! before it is (`redact.rs`). Does not wait for executors.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionread};

use super::progress::Progress;
use super::redact::{Mask, Masking};
use super::spool::{self, Spool};
pub use super::spool::{LineSeconds, Mark};
use crate::ambient::Ambient;

/// How long the reader may take to notice that it is to stop. Only a disk that hangs needs it.
const STOPPING: Duration = Duration::from_secs(10);

/// A capture under way. Dropped without [`Capture::finish`], it stops.
#[derive(Debug)]
pub struct Capture {
    dir: PathBuf,
    progress: Progress,
    done: Receiver<Spool>,
    /// The reader stops when this end is closed.
    stop: PipeWriter,
}

/// What is kept of an output, and how.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a> {
    /// How many bytes of its beginning, and as many of its end.
    pub limit: u64,
    /// What is written down as `***`, and counted as that.
    pub mask: &'a Mask,
    /// By which its lines get their times.
    pub clock: &'a Ambient,
}

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    /// All of it, or its beginning and end with a line between that says how many bytes are left
    /// out.
    pub text: Vec<u8>,
    /// How many bytes there were.
    pub total_bytes: u64,
    /// When the lines of `text` came.
    pub times: LineSeconds,
}

impl Capture {
    /// Starts to capture into files in `dir`, made if need be; an earlier capture there is removed.
    ///
    /// The two ends are for the child's stdout and
    /// stderr, in this order; both lead into the same pipe, so that lines stand in the order in
    /// which they were written.
    pub fn start(dir: &Path, keep: &Keep<'_>) -> io::Result<(Capture, Stdio, Stdio)> {
        let (output, pen) = io::pipe()?;
        let capture = Capture::of(dir, keep, output)?;
        let (stdout, stderr) = ends(&pen)?;
        Ok((capture, stdout, stderr))
    }

    /// Starts to capture what several write one after the other, each with [`ends`] of its own of the pen that is
    /// returned. The output ends when that and all ends are gone.
    pub fn open(dir: &Path, keep: &Keep<'_>) -> io::Result<(Capture, PipeWriter)> {
        let (output, pen) = io::pipe()?;
        Ok((Capture::of(dir, keep, output)?, pen))
    }

    /// Starts to capture what comes out of a pipe that was opened elsewhere, such as one with a name.
    pub fn of(dir: &Path, keep: &Keep<'_>, output: PipeReader) -> io::Result<Capture> {
        let spool = Spool::create(dir, keep.limit)?;
        let sink = Sink { spool, masking: Masking::new(keep.mask.clone()), clock: keep.clock.clone() };
        let (stopped, stop) = io::pipe()?;
        let (sender, done) = mpsc::sync_channel(1);
        let progress = Progress::new();
        let touched = progress.clone();
        thread::Builder::new().name("capture".into()).spawn(move || {
            let _ = sender.send(pump(output, &stopped, sink, &touched));
        })?;
        Ok(Capture { dir: dir.to_owned(), progress, done, stop })
    }

    /// Returns what is touched whenever something is written; for [`super::Limits::stall`].
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Ends the capture and returns what there is.
    ///
    /// Waits for the end of the output, but no longer than `wait`: a child that left its group may
    /// hold the pipe for ever. It then loses its reader.
    pub fn finish(self, wait: Duration) -> io::Result<Captured> {
        let Capture { dir, done, stop, .. } = self;
        let early = done.recv_timeout(wait).ok();
        drop(stop);
        let late = || done.recv_timeout(STOPPING).map_err(|_| stuck());
        let spool = early.map_or_else(late, Ok)?;
        let (mut text, times) = spool::read_timed(&dir)?;
        spool.add_complaint(&mut text);
        Ok(Captured { text, total_bytes: spool.total(), times })
    }
}

/// Returns what stdout and stderr of one writer are set to, in this order; both lead into the same pipe.
pub fn ends(pen: &PipeWriter) -> io::Result<(Stdio, Stdio)> {
    Ok((pen.try_clone()?.into(), pen.try_clone()?.into()))
}

/// Returns the last `n` bytes of the capture in `dir`, which may be under way in another process, and where they begin.
pub fn tail(dir: &Path, n: u64) -> io::Result<(u64, Vec<u8>)> {
    spool::tail(dir, n)
}

/// Returns what is kept of the capture in `dir`, which may be under way in another process; nothing
/// if there is none.
pub fn read(dir: &Path) -> io::Result<Vec<u8>> {
    spool::read(dir)
}

/// Returns the same with the times of its lines, as [`Captured::times`] has them.
pub fn read_timed(dir: &Path) -> io::Result<(Vec<u8>, LineSeconds)> {
    spool::read_timed(dir)
}

/// Returns when the bytes of the capture in `dir` came; nothing where that is not known.
pub fn marks(dir: &Path) -> Vec<Mark> {
    spool::marks(dir)
}

/// Returns what the capture in `dir` has from byte `from` on, as far as it goes without a gap, and
/// where that begins.
///
/// That is later than `from` when those bytes are no longer kept. To follow, ask again from where
/// it ends.
pub fn since(dir: &Path, from: u64) -> io::Result<(u64, Vec<u8>)> {
    spool::since(dir, from)
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the output cannot be written to disk")
}

/// Where output goes: through the mask, into the files.
struct Sink {
    spool: Spool,
    masking: Masking,
    clock: Ambient,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.spool.mark(self.clock.now().as_second());
        }
        self.masking.take(bytes, |fit| self.spool.put(fit));
    }

    fn end(mut self) -> Spool {
        self.masking.end(|fit| self.spool.put(fit));
        self.spool
    }
}

/// Takes from the pipe until it ends, or until `stopped` does.
fn pump(output: PipeReader, stopped: &PipeReader, mut sink: Sink, progress: &Progress) -> Spool {
    let mut block = vec![0; 64 * 1024];
    while readable(&output, stopped) {
        match take(&output, &mut block, &mut sink) {
            0 => return sink.end(),
            _ => progress.touch(),
        }
    }
    // What is in the pipe at this moment and no more: whoever still writes may do so without end.
    let mut left = ioctl_fionread(&output).map_or(0, |left| usize::try_from(left).unwrap_or(0));
    while left > 0 {
        let most = left.min(block.len());
        match take(&output, &mut block[..most], &mut sink) {
            0 => return sink.end(),
            taken => left -= taken,
        }
    }
    sink.end()
}

/// Reads once; nothing is the end of it, an error that will not go away too.
fn take(mut output: &PipeReader, block: &mut [u8], sink: &mut Sink) -> usize {
    loop {
        match output.read(block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return 0,
            Ok(count) => {
                sink.put(&block[..count]);
                return count;
            }
        }
    }
}

/// Waits until there is something to read (true) or a reason to stop (false).
fn readable(output: &PipeReader, stopped: &PipeReader) -> bool {
    let mut ends = [PollFd::new(output, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    loop {
        match poll(&mut ends, None) {
            Err(Errno::INTR) => {}
            // Nobody writes to `stopped`: any word of it is its end.
            other => return other.is_ok() && ends[1].revents().is_empty(),
        }
    }
}
