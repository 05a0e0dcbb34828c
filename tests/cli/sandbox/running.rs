//! Owns a process under way: its output so far, its end, and that it does not outlive its handle.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Out;
use super::world::World;

/// A process that was started and may still run. Dropped, it is killed with its process group.
///
/// Its output goes to files, so that it neither blocks on us nor is lost when it dies.
pub(crate) struct Running {
    child: Child,
    what: String,
    stdout: PathBuf,
    stderr: PathBuf,
    world: Arc<World>,
}

impl Running {
    #[track_caller]
    pub(super) fn start(mut command: Command, stdin: Stdio, world: &Arc<World>) -> Running {
        let (stdout, stderr) = (world.fresh("stdout"), world.fresh("stderr"));
        command.stdin(stdin);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let what = format!("{:?} {:?}", command.get_program(), command.get_args().collect::<Vec<_>>());
        let started = command.process_group(0).spawn();
        let child = started.unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        Running { child, what, stdout, stderr, world: Arc::clone(world) }
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process alone, at once, as a crash would: what it started lives on until the
    /// sandbox ends.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGTERM to the process alone.
    pub(crate) fn term(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal to the process alone, if it still runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        // Until we have reaped it, its id can be nobody else's.
        if self.is_running() {
            let _ = kill_process(pid(self.id()), signal);
        }
    }

    /// Waits for its end, which must come within `deadline`.
    #[track_caller]
    pub(crate) fn wait(mut self, deadline: Duration) -> Out {
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < deadline, "{} did not end in {deadline:?}:\n{}", self.what, self.output());
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        self.out(code(status))
    }

    /// Tells whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns what it has written so far, with no exit code worth the name (-1).
    pub(crate) fn output(&self) -> Out {
        self.out(-1)
    }

    fn out(&self, code: i32) -> Out {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Out::new(read(&self.stdout), read(&self.stderr), code, self.world.root())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(pid(self.id()), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// A shell's view of an exit: 128+n for signal n.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).unwrap()
}

/// Kills, each by its id, all processes that have this `NAME=value` in the environment they were
/// started with. Only a sandbox' own can have its home, whatever became of who started them. Where
/// there is no /proc, they are left.
pub(super) fn kill_all_with(entry: &str) {
    // Again, until there is none: one that we have seen may have started another meanwhile.
    for _ in 0..20 {
        let found = all_with(entry);
        if found.is_empty() {
            return;
        }
        for id in found {
            let _ = kill_process(pid(id), Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn all_with(entry: &str) -> Vec<u32> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = folder.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok());
    ids.filter(|id| {
        // A process that is dead or another user's has no environment for us.
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        *id != std::process::id() && environment.split(|byte| *byte == 0).any(|held| held == entry.as_bytes())
    })
    .collect()
}
