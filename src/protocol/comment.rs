//! Comment: where a task stands, as one would post it on the issue that it came from.
//!
//! Owns that nothing in it is more than text: what others wrote stands in code, where neither links nor mentions work, and
//! with what could drive a terminal written out.

use std::fmt::Write as _;

use super::error::Result;
use super::report::{code, took, work_of};
use super::session::Session;
use super::why::Lookout;
use crate::hub::snapshot::{Snapshot, Standing, Task, status_of, target_of};
use crate::task::event::Event;
use crate::task::text::{excerpt, written_out};
use crate::task::{Phase, State};

/// How many paths of a conflict are shown.
const FILES: usize = 20;

/// How much of a title is shown, in characters.
const TITLE: usize = 120;

/// Writes the Markdown.
pub fn comment(session: &Session, snapshot: &Snapshot, task: &Task) -> Result<String> {
    let name = task.name().to_string();
    let (work, repair) = work_of(session, task);
    let mut text = format!("**{}** {}", code(&name), headline(session, task, &work));
    let _ = writeln!(text, "\n\n{}\n", code(&excerpt(&task.spec.record.title, TITLE)));
    for line in facts(&work) {
        let _ = writeln!(text, "- {line}");
    }
    if let Some(error) = work.error.as_ref().filter(|_| task.state() == State::Failed) {
        let _ = writeln!(text, "\n{}", fenced(error));
    }
    let conflict = task.claim_in(Phase::Conflict).and_then(|claim| status_of(&session.hub.repo, claim.id));
    let files = conflict.and_then(|conflict| conflict.files).unwrap_or_default();
    for file in files.iter().take(FILES) {
        let _ = writeln!(text, "- does not merge in {} ({})", code(&file.path), code(&file.kind));
    }
    if files.len() > FILES {
        let _ = writeln!(text, "- and in {} more", files.len() - FILES);
    }
    if let Some(repair) = repair {
        let _ = writeln!(text, "- {} is to resolve it", code(&repair));
    }
    if !matches!(task.state(), State::Merged | State::Cancelled) {
        for reason in Lookout::new(session, snapshot)?.waits_for(task) {
            let _ = writeln!(text, "- {}", code(&reason.to_string()));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    Ok(text)
}

fn headline(session: &Session, task: &Task, work: &Event) -> String {
    let target = || code(&target_of(&session.hub, &task.spec.record));
    let on = |node: Option<&String>| node.map(|node| format!(" on {}", code(node))).unwrap_or_default();
    let node = task.claim().and_then(|claim| claim.record.node.as_ref());
    match (task.state(), &task.standing) {
        (State::Merged, Standing::Sealed { seal, .. }) => {
            let branch = seal.target.as_deref().map_or_else(target, code);
            match &seal.merge_commit {
                // A seal says it, and whoever may push may write one.
                Some(merge) if merge.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    format!("is merged into {branch} as {merge}.")
                }
                Some(merge) => format!("is merged into {branch} as {}.", code(merge)),
                None => format!("is done, and there was nothing to merge into {branch}."),
            }
        }
        (State::Merged, _) => format!("is merged into {}.", target()),
        (State::Completed, _) => {
            format!("is done{}, and waits to be merged into {}.", on(work.node.as_ref()), target())
        }
        (State::Failed, _) => format!("has failed{}.", on(work.node.as_ref())),
        (State::Conflict, _) => format!("is done, and does not merge into {}.", target()),
        (State::Cancelled, _) => "is called off.".to_owned(),
        (State::Pending, _) => "is queued.".to_owned(),
        (State::Assigned, _) => format!("is assigned{}.", on(node)),
        (State::Running, _) => format!("is being worked on{}.", on(node)),
        (State::Unknown, _) => "has records that cannot be read.".to_owned(),
    }
}

fn facts(work: &Event) -> Vec<String> {
    let mut facts = Vec::new();
    if let (Some(files), Some(added), Some(removed)) = (work.files_changed, work.loc_added, work.loc_removed) {
        let noun = if files == 1 { "file" } else { "files" };
        facts.push(format!("{files} {noun} changed, +{added} −{removed} lines"));
    }
    if let Some(seconds) = work.duration_seconds {
        let attempt = work.attempt.filter(|attempt| *attempt > 1);
        let again = attempt.map(|attempt| format!(", at attempt {attempt}")).unwrap_or_default();
        facts.push(format!("took {}{again}", took(seconds)));
    }
    if let Some(branch) = &work.branch {
        facts.push(format!("branch {}", code(branch)));
    }
    if let Some(outside) = work.outside_modifies.as_ref().filter(|outside| !outside.is_empty()) {
        let paths: Vec<String> = outside.iter().take(FILES).map(|path| code(path)).collect();
        facts.push(format!("changed outside of what it said: {}", paths.join(", ")));
    }
    facts
}

/// A block of code that holds whatever it is given.
fn fenced(text: &str) -> String {
    let text = written_out(text.trim());
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_whatever_it_is_given() {
        assert_eq!(fenced("a\n```\n@all\u{1b}[2J"), "````text\na\n```\n@all\\u{1b}[2J\n````");
    }
}
