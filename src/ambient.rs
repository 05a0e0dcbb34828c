//! The world outside: clock, randomness, environment and terminal.
//!
//! Owns every read of them; nobody else asks the system for the time, for random bytes or for a variable, so that a
//! test can hold them still with [`Ambient::fixed`]. It does not own settings: what a variable *means* is `config`'s.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// A handle on clock, randomness, environment and terminal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ambient {
    source: Source,
    vars: Arc<BTreeMap<OsString, OsString>>,
    /// The folder the process was started in.
    pub cwd: PathBuf,
    /// Whether standard error is a terminal: progress is drawn only there.
    pub stderr_is_terminal: bool,
    /// Whether standard output is a terminal: tables are coloured only there.
    pub stdout_is_terminal: bool,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed { second: Arc<AtomicU64>, count: Arc<AtomicU64> },
}

impl Ambient {
    /// Reads the real world.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    pub fn system() -> std::io::Result<Self> {
        Ok(Self {
            source: Source::System,
            vars: Arc::new(std::env::vars_os().collect()),
            cwd: std::env::current_dir()?,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
        })
    }

    /// Makes a still world for tests: the clock stands at `second`, nonces count up from 1, no variable is set.
    pub fn fixed(second: u64) -> Self {
        Self {
            source: Source::Fixed { second: Arc::new(AtomicU64::new(second)), count: Arc::new(AtomicU64::new(0)) },
            vars: Arc::default(),
            cwd: PathBuf::from("/"),
            stderr_is_terminal: false,
            stdout_is_terminal: false,
        }
    }

    /// Returns the wall clock's time, cut to whole seconds: that is what commits and records hold.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
    pub fn now(&self) -> Timestamp {
        let second = match &self.source {
            Source::System => Timestamp::now().as_second(),
            Source::Fixed { second, .. } => second.load(Ordering::Relaxed) as i64,
        };
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Draws 128 fresh random bits as 32 hexadecimal digits. Two claims are told apart by them, so a system without
    /// randomness is an error and never a constant.
    pub fn nonce(&self) -> std::io::Result<String> {
        let mut bytes = [0u8; 16];
        match &self.source {
            Source::System => getrandom::fill(&mut bytes).map_err(std::io::Error::other)?,
            Source::Fixed { count, .. } => {
                let next = count.fetch_add(1, Ordering::Relaxed) + 1;
                bytes[8..].copy_from_slice(&next.to_be_bytes());
            }
        }
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Draws a random fraction in `0.0..1.0`, for jitter.
    pub fn fraction(&self) -> f64 {
        self.nonce()
            .ok()
            .and_then(|nonce| u32::from_str_radix(&nonce[..8], 16).ok())
            .map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
    }

    /// Returns an environment variable, if it is set and holds text.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(std::ffi::OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// Returns all environment variables.
    pub fn vars(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.vars.iter()
    }

    /// Returns the file of the running program, where that can be told.
    pub fn program(&self) -> Option<PathBuf> {
        match self.source {
            Source::System => std::env::current_exe().ok(),
            Source::Fixed { .. } => None,
        }
    }

    /// Asks how many columns the terminal has: `COLUMNS`, else the terminal itself.
    pub fn terminal_columns(&self) -> Option<usize> {
        let said = self.var("COLUMNS").and_then(|columns| columns.parse().ok());
        said.or_else(|| {
            let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
            Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
        })
    }

    /// Returns the machine's name, up to the first dot.
    pub fn host(&self) -> String {
        match self.source {
            Source::System => {
                let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
                name.split('.').next().unwrap_or_default().to_owned()
            }
            Source::Fixed { .. } => "host".to_owned(),
        }
    }

    /// Returns the user's folder for state that is kept between runs: `$XDG_STATE_HOME`, else `~/.local/state`, else
    /// the folder for temporary files.
    pub fn state_home(&self) -> PathBuf {
        let absolute = |name| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .unwrap_or_else(std::env::temp_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_world_repeats_itself_and_never_repeats_a_nonce() {
        let (one, two) = (Ambient::fixed(7), Ambient::fixed(7));
        assert_eq!(one.now(), two.now());
        let (first, second) = (one.nonce().unwrap(), one.nonce().unwrap());
        assert_eq!(first, two.nonce().unwrap());
        assert_ne!(first, second);
    }
}
