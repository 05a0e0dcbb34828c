//! Logs: an executor's output, wherever it is (DESIGN.md 2).
//!
//! Owns the frame by which several attempts share one note, and where output is looked for: in the slot while the
//! attempt runs here, in its node's last heartbeat while it runs elsewhere, on the hub's log notes once it ended, in the
//! claim's own tree as a last resort.

pub mod follow;
pub mod stamp;

use super::error::{Error, Result};
use super::session::Session;
use crate::exec::capture;
use crate::executor::slot::SlotRecord;
use crate::git::ObjectId;
use crate::hub::Layout;
use crate::hub::format::claim::LOG_FILE;
use crate::hub::history::whole_chain;
use crate::hub::snapshot::{Claim, Snapshot, Standing};
use crate::task::name::NameKind;
use crate::task::{Name, Phase, Reason, TaskName};
use stamp::LineTime;

/// What frames hold: an attempt's output, and the times of its lines.
const OUTPUT: &str = "attempt";
const TIMES: &str = "times of attempt";

/// The line between what the executor said and what a verification of its work said.
const VERIFICATION: &[u8] = b"== verification of the merge\n";

/// The output of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The attempt.
    pub attempt: u32,
    /// The node.
    pub node: String,
    /// What was kept of the output.
    pub text: Vec<u8>,
    /// When its lines came; nothing where that is not known.
    pub times: Vec<LineTime>,
    /// Whether the attempt is under way, so that more may come.
    pub live: bool,
}

/// Frames one attempt's output for the note on its spec: a line that says whose it is and how long, then the bytes; in the
/// same way the times of its lines.
pub fn framed(attempt: u32, node: &str, text: &[u8], times: &[(usize, i64)]) -> Vec<u8> {
    let mut framed = Vec::new();
    let mut add = |what: &str, text: &[u8]| {
        framed.extend_from_slice(format!("== {what} {attempt} on {node}: {} bytes\n", text.len()).as_bytes());
        framed.extend_from_slice(text);
        if !text.ends_with(b"\n") {
            framed.push(b'\n');
        }
    };
    add(OUTPUT, text);
    if !times.is_empty() {
        add(TIMES, stamp::written(times).as_bytes());
    }
    framed
}

/// The output of one attempt, as it stands in a log note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The attempt.
    pub attempt: u32,
    /// Its node.
    pub node: String,
    /// What was kept of the output.
    pub text: Vec<u8>,
    /// When its lines came.
    pub times: Vec<LineTime>,
}

/// Reads frames; what follows a line that is none is left out.
pub fn frames(note: &[u8]) -> Vec<Frame> {
    let mut found: Vec<Frame> = Vec::new();
    let mut rest = note;
    while let Some((header, after)) = split_line(rest) {
        let Some((what, attempt, node, length)) = header_of(header) else {
            break;
        };
        let Some(text) = after.get(..length) else {
            break;
        };
        match found.last_mut().filter(|_| what == TIMES) {
            Some(last) if last.attempt == attempt => last.times = stamp::read(text),
            Some(_) => {}
            None => found.push(Frame { attempt, node, text: text.to_vec(), times: Vec::new() }),
        }
        rest = &after[length..];
        if !text.ends_with(b"\n") {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
    }
    found
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

fn header_of(line: &[u8]) -> Option<(&'static str, u32, String, usize)> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("== ")?;
    let (what, line) =
        [OUTPUT, TIMES].into_iter().find_map(|what| Some((what, line.strip_prefix(what)?.strip_prefix(' ')?)))?;
    let (attempt, line) = line.split_once(" on ")?;
    let (node, line) = line.split_once(": ")?;
    let length = line.strip_suffix(" bytes")?;
    Some((what, attempt.parse().ok()?, node.to_owned(), length.parse().ok()?))
}

/// Finds the output of a task's newest attempt, or of the one named.
pub fn find(session: &Session, snapshot: &Snapshot, name: &TaskName, attempt: Option<u32>) -> Result<Output> {
    let none = || Error::NoLog { task: name.clone(), attempt };
    let task = snapshot.get(name).ok_or_else(none)?;
    let chain = whole_chain(&session.hub, task);
    let newest = task.attempts().begun;
    let wanted = attempt.unwrap_or(newest);
    let running = task.claim_in(Phase::Running).filter(|claim| claim.record.attempts.begun == wanted);
    if let Some((claim, (text, times))) = running.and_then(|claim| Some((claim, live(session, name, claim)?))) {
        let node = claim.record.node.clone().unwrap_or_default();
        return Ok(Output { attempt: wanted, node, text, times, live: true });
    }
    let current = match &task.standing {
        Standing::Sealed { seal, .. } => Some(&**seal),
        _ => None,
    };
    let seals =
        current.into_iter().chain(task.past_seals.iter().map(|seal| &**seal)).filter_map(|seal| seal.node.clone());
    let nodes = nodes_of(&chain, wanted, seals);
    for node in &nodes {
        let Ok(node) = Name::new(NameKind::Node, node) else {
            continue;
        };
        if let Some(Frame { text, times, .. }) = noted(session, &node, task.spec.id, wanted)? {
            let output = Output { attempt: wanted, node: node.to_string(), text, times, live: false };
            return Ok(with_verification(session, &chain, output));
        }
    }
    let is_own =
        |claim: &&Claim| claim.record.attempts.begun == wanted && claim.record.reason != Some(Reason::Verify);
    let ended = chain.iter().filter(is_own).find(|claim| claim.result.is_some());
    // One that said nothing has an empty output: that is an answer too.
    let text = ended.map(|claim| session.hub.repo.file_in(claim.id, LOG_FILE).unwrap_or_default());
    let node = nodes.into_iter().next().unwrap_or_default();
    let output = text.map(|text| Output { attempt: wanted, node, text, times: Vec::new(), live: false });
    output.map(|output| with_verification(session, &chain, output)).ok_or_else(none)
}

/// Adds what a verification said that the work did not pass, behind what the executor said.
fn with_verification(session: &Session, chain: &[Claim], mut output: Output) -> Output {
    let attempt = output.attempt;
    let failed = chain
        .iter()
        .find(|claim| claim.record.attempts.begun == attempt && claim.record.reason == Some(Reason::Verify));
    if let Some((claim, log)) =
        failed.and_then(|claim| Some((claim, session.hub.repo.file_in(claim.id, LOG_FILE)?)))
    {
        if !output.text.is_empty() && !output.text.ends_with(b"\n") {
            output.text.push(b'\n');
        }
        let line = output.text.split_inclusive(|byte| *byte == b'\n').count();
        output.times.push(LineTime { line, at: Some(claim.at) });
        output.text.extend_from_slice(VERIFICATION);
        output.text.extend_from_slice(&log);
    }
    output
}

/// The nodes that may have written the attempt's output: those of its claims, then those that seals name.
fn nodes_of(chain: &[Claim], attempt: u32, seals: impl Iterator<Item = String>) -> Vec<String> {
    let mut nodes: Vec<String> = chain
        .iter()
        .filter(|claim| claim.record.attempts.begun == attempt)
        .filter_map(|claim| claim.record.node.clone())
        .chain(seals)
        .collect();
    nodes.dedup();
    nodes
}

/// Reads the output of an attempt that runs: in one of this clone's slots, or as far as its node's last beat tells.
fn live(session: &Session, name: &TaskName, claim: &Claim) -> Option<(Vec<u8>, Vec<LineTime>)> {
    let work_dir = session.work_dir();
    if let Some(slot) = SlotRecord::list(&work_dir).into_iter().find(|slot| is_here(slot, claim.id)) {
        let (text, times) = capture::read_timed(&slot.log_dir(&work_dir)).ok()?;
        return Some((text, stamp::of_capture(&times)));
    }
    let node = Name::new(NameKind::Node, claim.record.node.as_deref()?).ok()?;
    let tail = session.hub.tail(&node, name, &claim.id.to_string())?;
    // It came no later than with its node's beat.
    Some((tail.text, vec![LineTime { line: 0, at: tail.at }]))
}

/// Says whether a slot holds the output of this claim; before its executor begins, it is that of the task before.
fn is_here(slot: &SlotRecord, claim: ObjectId) -> bool {
    slot.begun && slot.claim == claim.to_string().as_str()
}

/// Reads the output from the node's log notes, which are fetched now and only now.
fn noted(session: &Session, node: &Name, spec: ObjectId, attempt: u32) -> Result<Option<Frame>> {
    let name = session.hub.layout.logs(node);
    let there = match session.hub.fetch_unmirrored(std::slice::from_ref(&name)) {
        Ok(there) => there.get(&name).copied(),
        Err(_) => None,
    };
    let known =
        || session.hub.repo.ref_value(&name).or_else(|| session.hub.repo.ref_value(&Layout::arrival(&name)));
    let Some(tip) = there.or_else(known) else {
        return Ok(None);
    };
    let note = session.hub.repo.note(tip, spec).unwrap_or_default();
    Ok(frames(&note).into_iter().rev().find(|frame| frame.attempt == attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_whatever_the_output_holds() {
        let outputs: [&[u8]; 5] = [
            b"hello\n",
            b"",
            b"== attempt 9 on x: 3 bytes\nabc",
            b"== times of attempt 1 on n: 2 bytes\n1",
            b"no end",
        ];
        let mut note = Vec::new();
        for (at, output) in outputs.iter().enumerate() {
            let times = [(0, 1_000_000_000), (1, 1_000_000_009)];
            note.extend(framed(at as u32 + 1, "n", output, &times[..at % 3]));
        }
        let read = frames(&note);
        assert_eq!(read.len(), outputs.len());
        for (at, (frame, output)) in read.iter().zip(outputs).enumerate() {
            assert_eq!((frame.attempt as usize, &*frame.node, &*frame.text), (at + 1, "n", output));
            assert_eq!(frame.times.len(), at % 3);
        }
    }
}
