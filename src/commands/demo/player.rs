//! One process of the demo: its output is passed on line by line while it runs, and kept for the case that it fails.

use std::io::{self, BufRead, BufReader, PipeReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::Wrong;
use crate::exec::{Cancel, Child, Ended, Limits, spawn};

/// How long the end of the output is waited for once the process has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A process under way. Dropped, it is ended.
pub(super) struct Player {
    child: Child,
    lines: Receiver<String>,
}

/// What a process said, both streams in the order in which they were written, and its exit code.
pub(super) struct Spoken {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// The output.
    pub(super) text: String,
}

impl Player {
    /// Starts a process, and has `heard` called with each line, on a thread of its own.
    pub(super) fn start(command: &mut Command, heard: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let (output, stdout) = io::pipe()?;
        let stderr = stdout.try_clone()?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn(command)?;
        let (sender, lines) = mpsc::channel();
        thread::Builder::new().name("demo".into()).spawn(move || pass_on(output, &heard, &sender))?;
        Ok(Self { child, lines })
    }

    /// Waits for its end, or ends it once `cancel` is raised.
    pub(super) fn end(self, patience: Duration, cancel: &Cancel) -> Result<Spoken, Wrong> {
        let limits = Limits::within(patience);
        let ended = self.child.wait(&limits, cancel)?;
        let text = rest(&self.lines);
        match ended {
            Ended::Exited(status) => Ok(Spoken { code: status.code(), text }),
            Ended::Cancelled => Err(Wrong::Interrupted),
            Ended::TimedOut | Ended::Stalled => Err(Wrong::Unexpected(format!(
                "it took longer than {} s, and had said: {}",
                patience.as_secs(),
                text.trim_end()
            ))),
        }
    }
}

impl Spoken {
    /// Says that this is not what was expected of the command.
    pub(super) fn unexpected(&self, command: &str) -> Wrong {
        let how = match self.code {
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        };
        let text = match self.text.trim() {
            "" => "and said nothing".to_owned(),
            text => format!("and said: {text}"),
        };
        Wrong::Unexpected(format!("`{command}` {how} {text}"))
    }
}

fn pass_on(output: PipeReader, heard: &impl Fn(&str), sender: &mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        heard(text.trim_end_matches('\n'));
        let _ = sender.send(text.into_owned());
        line.clear();
    }
}

/// Gathers what was said up to its end. What a process leaves in the background may hold the pipe for ever.
fn rest(lines: &Receiver<String>) -> String {
    let until = Instant::now() + LAST_WORDS;
    let mut text = String::new();
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => text.push_str(&line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return text,
        }
    }
}
