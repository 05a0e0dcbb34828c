//! Logs: an executor's output, wherever it is (DESIGN.md 2).
//!
//! Owns the frame by which several attempts share one note, and where output is looked for: in the slot while the
//! attempt runs here, in its node's last heartbeat while it runs elsewhere, on the hub's log notes once it ended, in the
//! claim's own tree as a last resort.

pub mod follow;

use super::error::{Error, Result};
use super::session::Session;
use crate::executor::slot::SlotRecord;
use crate::git::ObjectId;
use crate::hub::Layout;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::LOG_FILE;
use crate::hub::history::whole_chain;
use crate::hub::snapshot::{Claim, Snapshot, Standing};
use crate::task::name::NameKind;
use crate::task::{Name, Phase, Reason, TaskName};

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
    /// Whether the attempt is under way, so that more may come.
    pub live: bool,
}

/// Frames one attempt's output for the note on its spec: a line that says whose it is and how long, then the bytes.
pub fn framed(record: &ClaimRecord, text: &[u8]) -> Vec<u8> {
    let node = record.node.as_deref().unwrap_or("-");
    let mut framed = format!("== attempt {} on {node}: {} bytes\n", record.attempts.begun, text.len()).into_bytes();
    framed.extend_from_slice(text);
    if !text.ends_with(b"\n") {
        framed.push(b'\n');
    }
    framed
}

/// Reads frames; what follows a line that is none is left out.
pub fn frames(note: &[u8]) -> Vec<(u32, String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = note;
    while let Some((header, after)) = split_line(rest) {
        let Some((attempt, node, length)) = header_of(header) else {
            break;
        };
        let Some(text) = after.get(..length) else {
            break;
        };
        found.push((attempt, node, text.to_vec()));
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

fn header_of(line: &[u8]) -> Option<(u32, String, usize)> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("== attempt ")?;
    let (attempt, line) = line.split_once(" on ")?;
    let (node, line) = line.split_once(": ")?;
    let length = line.strip_suffix(" bytes")?;
    Some((attempt.parse().ok()?, node.to_owned(), length.parse().ok()?))
}

/// Finds the output of a task's newest attempt, or of the one named.
pub fn find(session: &Session, snapshot: &Snapshot, name: &TaskName, attempt: Option<u32>) -> Result<Output> {
    let none = || Error::NoLog { task: name.clone(), attempt };
    let task = snapshot.get(name).ok_or_else(none)?;
    let chain = whole_chain(&session.hub, task);
    let newest = task.attempts().begun;
    let wanted = attempt.unwrap_or(newest);
    let running = task.claim_in(Phase::Running).filter(|claim| claim.record.attempts.begun == wanted);
    if let Some((claim, text)) = running.and_then(|claim| Some((claim, live(session, name, claim)?))) {
        let node = claim.record.node.clone().unwrap_or_default();
        return Ok(Output { attempt: wanted, node, text, live: true });
    }
    let current = match &task.standing {
        Standing::Sealed { seal, .. } => Some(&**seal),
        _ => None,
    };
    let seals = current.into_iter().chain(&task.past_seals).filter_map(|seal| seal.node.clone());
    let nodes = nodes_of(&chain, wanted, seals);
    // What a verification said that the work did not pass stands behind what the executor said.
    let verified = |mut text: Vec<u8>| {
        if let Some(log) = verification(session, &chain, wanted) {
            if !text.is_empty() && !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            text.extend_from_slice(VERIFICATION);
            text.extend_from_slice(&log);
        }
        text
    };
    for node in &nodes {
        let Ok(node) = Name::new(NameKind::Node, node) else {
            continue;
        };
        if let Some(text) = noted(session, &node, task.spec.id, wanted)? {
            return Ok(Output { attempt: wanted, node: node.to_string(), text: verified(text), live: false });
        }
    }
    let is_own =
        |claim: &&Claim| claim.record.attempts.begun == wanted && claim.record.reason != Some(Reason::Verify);
    let ended = chain.iter().filter(is_own).find(|claim| claim.result.is_some());
    // One that said nothing has an empty output: that is an answer too.
    let text = ended.map(|claim| session.hub.repo.file_in(claim.id, LOG_FILE).unwrap_or_default());
    let node = nodes.into_iter().next().unwrap_or_default();
    text.map(|text| Output { attempt: wanted, node, text: verified(text), live: false }).ok_or_else(none)
}

/// Reads what the verification said of an attempt's work that did not pass.
fn verification(session: &Session, chain: &[Claim], attempt: u32) -> Option<Vec<u8>> {
    let failed = chain
        .iter()
        .find(|claim| claim.record.attempts.begun == attempt && claim.record.reason == Some(Reason::Verify))?;
    session.hub.repo.file_in(failed.id, LOG_FILE)
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
fn live(session: &Session, name: &TaskName, claim: &Claim) -> Option<Vec<u8>> {
    let work_dir = session.work_dir();
    if let Some(slot) = SlotRecord::list(&work_dir).into_iter().find(|slot| is_here(slot, claim.id)) {
        return crate::exec::capture::read(&slot.log_dir(&work_dir)).ok();
    }
    let node = Name::new(NameKind::Node, claim.record.node.as_deref()?).ok()?;
    session.hub.tail(&node, name, &claim.id.to_string()).map(|tail| tail.text)
}

/// Says whether a slot holds the output of this claim; before its executor begins, it is that of the task before.
fn is_here(slot: &SlotRecord, claim: ObjectId) -> bool {
    slot.begun && slot.claim == claim.to_string().as_str()
}

/// Reads the output from the node's log notes, which are fetched now and only now.
fn noted(session: &Session, node: &Name, spec: ObjectId, attempt: u32) -> Result<Option<Vec<u8>>> {
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
    Ok(frames(&note).into_iter().rev().find(|(number, _, _)| *number == attempt).map(|(_, _, text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_whatever_the_output_holds() {
        let outputs: [&[u8]; 4] = [b"hello\n", b"", b"== attempt 9 on x: 3 bytes\nabc", b"no newline"];
        let mut note = Vec::new();
        for (at, output) in outputs.iter().enumerate() {
            note.extend(format!("== attempt {} on n: {} bytes\n", at + 1, output.len()).into_bytes());
            note.extend_from_slice(output);
            if !output.ends_with(b"\n") {
                note.push(b'\n');
            }
        }
        let read: Vec<(u32, Vec<u8>)> = frames(&note).into_iter().map(|(number, _, text)| (number, text)).collect();
        let expected: Vec<(u32, Vec<u8>)> =
            outputs.iter().enumerate().map(|(at, output)| (at as u32 + 1, output.to_vec())).collect();
        assert_eq!(read, expected);
    }
}
