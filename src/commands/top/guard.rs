//! Gives the terminal back when `top` is killed and can do nothing about that itself.
//!
//! Owns a shell that waits, in a process group of its own, for the end of this process. It leaves the other screen at once;
//! the settings of the line it puts back only where they are still those of `top`: a shell that has taken the terminal
//! over again has set its own. Where there is no shell or no `stty`, there is no guard.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// What waits: `$1` are the settings of before; the first line says what they are meanwhile, the second that all is well.
const SCRIPT: &str = "trap '' HUP INT QUIT TERM TTOU; read -r ours; read -r word; [ \"$word\" = done ] && exit; \
                      printf '\\033[?1049l\\033[?25h' >/dev/tty; sleep 0.3; \
                      [ \"$(stty -g </dev/tty)\" = \"$ours\" ] && stty \"$1\" </dev/tty";

/// Stands by until it is told that all is well.
pub(super) struct Guard {
    shell: Child,
    told: Option<ChildStdin>,
}

impl Guard {
    /// Begins to stand by; before anything was changed.
    pub(super) fn start() -> Option<Self> {
        let before = settings()?;
        let mut shell = command("sh")
            .args(["-c", SCRIPT, "git-dispatch", &before])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()?;
        let told = shell.stdin.take();
        Some(Self { shell, told })
    }

    /// Says what the settings are meanwhile.
    pub(super) fn changed(&mut self) {
        if let (Some(told), Some(ours)) = (&mut self.told, settings()) {
            let _ = writeln!(told, "{ours}");
        }
    }
}

impl Drop for Guard {
    /// The terminal was given back.
    fn drop(&mut self) {
        if let Some(mut told) = self.told.take() {
            let _ = told.write_all(b"done\ndone\n");
        }
        let _ = self.shell.wait();
    }
}

/// The settings of the terminal's line, in the words of `stty`.
fn settings() -> Option<String> {
    let terminal = File::open("/dev/tty").ok()?;
    let out = command("stty").arg("-g").stdin(terminal).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let text = text.trim();
    (out.status.success() && !text.is_empty()).then(|| text.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "no executor and no git: the terminal's own tools")]
fn command(program: &str) -> Command {
    Command::new(program)
}
