//! Owns running a tool to its end and handing over all that it wrote, as for git(1). What an
//! executor writes is [`super::capture`]'s.
//!
//! Through files without a name rather than pipes: what the tool leaves in the background (an ssh
//! ControlMaster) may hold a pipe open for ever, and must live on.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::cancel::Cancel;
use super::child::{Ended, Limits, spawn};
use crate::fail;

/// Runs a command and returns how it ended, its stdout and its stderr. stdin is what is given, or
/// nothing.
///
/// With `cancel` up already, nothing is started. All of the output is held in memory.
pub fn collect_output(
    command: &mut Command,
    stdin: Option<Vec<u8>>,
    limits: &Limits,
    cancel: &Cancel,
) -> io::Result<(Ended, Vec<u8>, Vec<u8>)> {
    if cancel.is_raised() {
        return Ok((Ended::Cancelled, Vec::new(), Vec::new()));
    }
    let stdout = for_output()?;
    let stdin = stdin.map_or_else(|| Ok(Stdio::null()), |bytes| stdin_from(&bytes))?;
    let (ended, stderr) = run_through(command, stdin, stdout.try_clone()?.into(), limits, cancel)?;
    Ok((ended, read_all(&stdout)?, stderr))
}

/// Runs a command between a source and a sink that the caller has opened, and returns how it ended and its stderr:
/// for what is too large to be held in memory.
pub fn run_through(
    command: &mut Command,
    stdin: Stdio,
    stdout: Stdio,
    limits: &Limits,
    cancel: &Cancel,
) -> io::Result<(Ended, Vec<u8>)> {
    if cancel.is_raised() {
        return Ok((Ended::Cancelled, Vec::new()));
    }
    let stderr = for_output()?;
    command.stdin(stdin).stdout(stdout).stderr(stderr.try_clone()?);
    let child = spawn(command)?;
    fail::point("process.started");
    let ended = child.wait_leaving_rest(limits, cancel)?;
    Ok((ended, read_all(&stderr)?))
}

/// Returns a standard input that holds these bytes and then ends.
///
/// A file, so that nobody has to write while the child reads, and a child that does not read breaks
/// nothing.
pub fn stdin_from(bytes: &[u8]) -> io::Result<Stdio> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Opens a file for a child's output.
///
/// Appending: a script that opens `/dev/stderr` anew cuts the file short, and what comes after
/// would else be written behind a hole.
fn for_output() -> io::Result<File> {
    let file = tempfile::tempfile()?;
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags | OFlags::APPEND)?;
    Ok(file)
}

/// Reads what is there now, by position: the child's background may still be writing at the
/// position we share with it.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}
