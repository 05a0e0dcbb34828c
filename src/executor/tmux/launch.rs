//! How the agent itself is started in its pane: by a call of this program that takes folder, argv and environment from a
//! file and becomes the agent.
//!
//! So neither a shell nor tmux reads any of it, nothing of it shows in a list of processes, and the environment is the
//! one that the configuration lets through, not that of whoever started the tmux server.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ambient::Ambient;

/// What the terminal says of itself, which the node cannot know.
const OF_THE_PANE: &[&str] = &["TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "COLORTERM", "TMUX", "TMUX_PANE"];

/// What is to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) folder: PathBuf,
    pub(super) argv: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// Writes it to a file for the user alone; each text ends with a zero byte, which none can hold.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut put = |text: &OsStr| {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        };
        put(self.folder.as_os_str());
        put(OsStr::new(&self.argv.len().to_string()));
        self.argv.iter().for_each(|text| put(text));
        for (name, value) in &self.environment {
            put(name);
            put(value);
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(&bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut texts = bytes.strip_suffix(&[0])?.split(|byte| *byte == 0).map(|t| OsString::from_vec(t.to_vec()));
        let folder = texts.next()?.into();
        let count: usize = texts.next()?.to_str()?.parse().ok()?;
        let argv: Vec<OsString> = texts.by_ref().take(count).collect();
        let mut environment = Vec::new();
        while let Some(name) = texts.next() {
            environment.push((name, texts.next()?));
        }
        (argv.len() == count && count > 0).then_some(Self { folder, argv, environment })
    }
}

/// Becomes what the file says, and removes the file. Returns only where that cannot be.
#[expect(clippy::disallowed_methods, reason = "an executor's command, made in its pane")]
pub fn launch(path: &Path, ambient: &Ambient) -> io::Error {
    let launch = match fs::read(path) {
        Ok(bytes) => Launch::read(&bytes),
        Err(error) => return error,
    };
    let _ = fs::remove_file(path);
    let Some(launch) = launch else { return io::Error::other("nothing to start is written there") };
    let mut command = Command::new(&launch.argv[0]);
    command.args(&launch.argv[1..]).current_dir(&launch.folder).env_clear().envs(launch.environment);
    command.envs(OF_THE_PANE.iter().filter_map(|name| Some((name, ambient.var(name)?))));
    let error = command.exec();
    io::Error::new(error.kind(), format!("`{}`: {error}", launch.argv[0].to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_was_written() {
        let launch = Launch {
            folder: "/a b".into(),
            argv: vec!["agent".into(), "".into(), "x\ny".into()],
            environment: vec![("A".into(), "".into()), ("B".into(), OsString::from_vec(vec![0xff, b'=']))],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("start");
        launch.write(&path).unwrap();
        assert_eq!(Launch::read(&fs::read(&path).unwrap()), Some(launch.clone()));
        assert!(launch.write(&path).is_err(), "never over something that is there");
        for broken in [&b""[..], b"/a\0", b"/a\x001\0", b"/a\x000\0", b"/a\x002\0x\0"] {
            assert_eq!(Launch::read(broken), None, "{broken:?}");
        }
    }
}
