//! Running the generator: the state on its standard input, an empty folder for what it writes.
//!
//! Owns what it is given, how long it may take, and reading what it wrote: all of it must be specs, or none counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::FactoryError;
use crate::config::model::Verify;
use crate::exec::{Cancel, Ended, Limits, collect_output};
use crate::executor::command::as_given;
use crate::git::Error as GitError;
use crate::protocol::enqueue::Entry;
use crate::protocol::error::{Error, Result};
use crate::protocol::session::Session;
use crate::task::spec::Defaults;
use crate::task::text::one_line;

/// How long a generator may take: as long as a task, by default.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// How much of what it said last stands in an error, in characters.
const SAID: usize = 500;

/// A file larger than any spec is not read whole to find that out.
const READ_LIMIT: u64 = 8 << 20;

/// Runs the generator and reads what it wrote.
pub(super) fn generate(session: &Session, generation: u32, state: &Value, cancel: &Cancel) -> Result<Vec<Entry>> {
    let out = folder(session)?;
    run(session, generation, state, out.path(), cancel)?;
    read(session, out.path())
}

/// An empty folder; with those before it, should a crash have left any, gone.
fn folder(session: &Session) -> Result<tempfile::TempDir> {
    let root = session.work_dir().join("factory");
    // We hold the factory's lock: nobody else's are in there.
    let _ = std::fs::remove_dir_all(&root);
    let failed = |error| Error::from(GitError::file(&root, error));
    std::fs::create_dir_all(&root).map_err(failed)?;
    tempfile::Builder::new().prefix("generation-").tempdir_in(&root).map_err(failed)
}

fn run(session: &Session, generation: u32, state: &Value, out: &Path, cancel: &Cancel) -> Result<()> {
    let repo = &session.hub.repo;
    let checkout = repo.work_tree().unwrap_or_else(|| repo.common_dir());
    let variables =
        [("DISPATCH_GENERATION", generation.to_string()), ("DISPATCH_OUT", out.to_string_lossy().into_owned())];
    let how = Verify::Argv(session.config.factory.generate.clone());
    let mut command = as_given(&how, checkout, &variables, &session.ambient).ok_or(FactoryError::NoGenerator)?;
    command.current_dir(checkout);
    let limits = Limits::within(PATIENCE);
    let input = format!("{state}\n").into_bytes();
    let failed = |how: String, said: &[u8]| Error::from(FactoryError::Failed { how, said: last(said) });
    match collect_output(&mut command, Some(input), &limits, cancel) {
        Ok((ended, ..)) if ended.success() => Ok(()),
        Ok((Ended::Cancelled, ..)) => Err(GitError::Interrupted.into()),
        Ok((Ended::Exited(status), stdout, stderr)) => {
            let said = if stderr.trim_ascii().is_empty() { stdout } else { stderr };
            Err(failed(format!("ended with {status}"), &said))
        }
        Ok((_, _, stderr)) => Err(failed(format!("took longer than {} s", PATIENCE.as_secs()), &stderr)),
        Err(error) => Err(failed(format!("cannot be run: {error}"), b"")),
    }
}

/// The end of what was said, on one line.
fn last(said: &[u8]) -> String {
    let text = one_line(&String::from_utf8_lossy(&said[said.len().saturating_sub(8 * SAID)..]));
    let skip = text.chars().count().saturating_sub(SAID);
    text.chars().skip(skip).collect()
}

/// Reads the specs; one that is wrong refuses all.
fn read(session: &Session, out: &Path) -> Result<Vec<Entry>> {
    let failed = |path: &Path, source| Error::Unreadable { path: path.to_string_lossy().into_owned(), source };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(out)
        .map_err(|error| failed(out, error))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let mut bytes = Vec::new();
            let read = std::fs::File::open(path).and_then(|file| {
                std::io::Read::read_to_end(&mut std::io::Read::take(file, READ_LIMIT), &mut bytes)
            });
            read.map_err(|error| failed(path, error))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            Entry::read(name, bytes, &Defaults { project: session.project.clone(), id })
        })
        .collect()
}
