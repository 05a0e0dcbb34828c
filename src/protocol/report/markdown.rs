//! Writing a report as Markdown.
//!
//! Owns that nothing in it is more than text: what others wrote stands in code spans, in which neither links nor markup,
//! HTML or mentions of people work, and with what could drive a terminal written out.

use std::fmt::Write as _;

use super::{Report, Row, Section};
use crate::task::Reason;
use crate::task::event::ConflictFile;
use crate::task::text::{escaped, excerpt};

/// How much of a title is shown, in characters.
const TITLE: usize = 80;

/// How many paths of one conflict are shown.
const FILES: usize = 20;

pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    for section in &report.targets {
        let verb = if report.dry_run { "Would be collected into" } else { "Collected into" };
        let _ = writeln!(text, "# {verb} {}\n", code(&section.target));
        let _ = writeln!(text, "{}\n", summary(report, section));
        tables(&mut text, section);
        text.push_str("## What to do next\n\n");
        for step in next(section) {
            let _ = writeln!(text, "- {step}");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn summary(report: &Report, section: &Section) -> String {
    let short = |id: Option<crate::git::ObjectId>| {
        id.map_or_else(|| "nothing".to_owned(), |id| format!("`{}`", &id.to_string()[..10]))
    };
    let moved = match section.old == section.new {
        true => format!("stays at {}", short(section.new)),
        false => format!("from {} to {}", short(section.old), short(section.new)),
    };
    let works = || section.merged.iter().map(|(row, _)| &row.work);
    let sum = |count: fn(&crate::task::event::Event) -> Option<u64>| works().filter_map(count).sum::<u64>();
    let files = match sum(|work| work.files_changed) {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    format!(
        "{} on {}, {moved}: {} merged, {} conflicting, {} rejected, {} waiting; {files}, +{} −{} lines, {} of work.",
        section.at,
        code(&report.node),
        section.merged.len(),
        section.conflicts.len(),
        section.rejected.len(),
        section.waiting.len(),
        sum(|work| work.loc_added),
        sum(|work| work.loc_removed),
        took(works().filter_map(|work| work.duration_seconds).sum()),
    )
}

fn tables(text: &mut String, section: &Section) {
    let merged = section.merged.iter().map(|(row, commit)| {
        let commit =
            commit.map_or_else(|| "nothing to merge".to_owned(), |id| format!("`{}`", &id.to_string()[..10]));
        cells(row, &commit)
    });
    table(text, "Merged", "merge commit", merged.collect());
    let conflicts = section.conflicts.iter().map(|(row, files)| cells(row, &paths(files)));
    table(text, "Conflicting", "where", conflicts.collect());
    let rejected = section.rejected.iter().map(|(row, reason)| cells(row, meaning(*reason)));
    table(text, "Rejected", "why", rejected.collect());
    let waiting = section.waiting.iter().map(|(row, what)| cells(row, &code(what)));
    table(text, "Waiting", "for", waiting.collect());
}

fn table(text: &mut String, heading: &str, last: &str, rows: Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "## {heading}\n");
    let _ = writeln!(text, "| task | title | node | files | lines | took | {last} |");
    let _ = writeln!(text, "| --- | --- | --- | ---: | ---: | ---: | --- |");
    for row in rows {
        text.push_str(&row);
    }
    text.push('\n');
}

fn cells(row: &Row, last: &str) -> String {
    let work = &row.work;
    let lines = match (work.loc_added, work.loc_removed) {
        (Some(added), Some(removed)) => format!("+{added} −{removed}"),
        _ => String::new(),
    };
    let node = match (&work.node, work.attempt) {
        (Some(node), Some(attempt)) if attempt > 1 => format!("{}, attempt {attempt}", code(node)),
        (Some(node), _) => code(node),
        _ => String::new(),
    };
    format!(
        "| {} | {} | {node} | {} | {lines} | {} | {last} |\n",
        code(&row.task),
        code_of(&excerpt(&row.title, TITLE)),
        work.files_changed.map(|files| files.to_string()).unwrap_or_default(),
        work.duration_seconds.map(took).unwrap_or_default(),
    )
}

fn paths(files: &[ConflictFile]) -> String {
    let mut shown: Vec<String> =
        files.iter().take(FILES).map(|file| format!("{} ({})", code(&file.path), code(&file.kind))).collect();
    if files.len() > FILES {
        shown.push(format!("and {} more", files.len() - FILES));
    }
    shown.join(", ")
}

const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Verify => "it breaks the verification",
        Reason::Stale => "what it was built on will not land",
        _ => "it was taken back",
    }
}

/// What a person should do, one step a task that needs one.
fn next(section: &Section) -> Vec<String> {
    let mut steps = Vec::new();
    for (row, files) in &section.conflicts {
        let task = &row.task;
        let was_rewritten = files.iter().any(|file| file.kind == "base_rewritten");
        steps.push(match &row.repair {
            Some(repair) => format!("{}: nothing by hand, {} resolves the conflict", code(task), code(repair)),
            None if was_rewritten => format!(
                "{}: the branch was rewritten under it; `git dispatch retry {task}` runs it again on the branch as it is, \
                 `git dispatch cancel {task}` calls it off",
                code(task)
            ),
            None => format!(
                "{}: `git dispatch retry {task}` runs it again on top of what was merged, `git dispatch cancel {task}` \
                 calls it off{}",
                code(task),
                row.work.branch.as_ref().map(|branch| format!("; its work is on {}", code(branch))).unwrap_or_default()
            ),
        });
    }
    for (row, reason) in &section.rejected {
        let task = &row.task;
        steps.push(match reason {
            Reason::Verify => format!(
                "{}: `git dispatch logs {task}` shows what failed; then `git dispatch retry {task}` or \
                 `git dispatch cancel {task}`",
                code(task)
            ),
            _ => format!("{}: nothing by hand, it runs again on what landed", code(task)),
        });
    }
    if !section.waiting.is_empty() {
        steps.push(
            "What waits joins a later `git dispatch collect` by itself, once what it waits for is there".to_owned(),
        );
    }
    if steps.is_empty() {
        steps.push("Nothing".to_owned());
    }
    steps
}

/// Untrusted text as a code span of a table.
pub fn code(text: &str) -> String {
    code_of(&escaped(text))
}

/// The same, of text that is harmless on a terminal already.
pub fn code_of(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    // Longer than any run of backticks inside; a bar would end the cell, even here.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 || text.starts_with(' ') || text.ends_with(' ') { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", in_cell(text))
}

/// Keeps bars from ending a cell. A backslash before one would take our own away from it.
fn in_cell(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '|' {
            shown.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        shown.push(c);
    }
    shown
}

/// A duration as people read it.
pub(in crate::protocol) fn took(seconds: f64) -> String {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min", whole / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::git::ObjectId;
    use crate::task::event::Event;

    fn row(task: &str, title: &str) -> Row {
        let work = Event {
            node: Some("a".into()),
            attempt: Some(2),
            files_changed: Some(3),
            loc_added: Some(10),
            loc_removed: Some(4),
            duration_seconds: Some(75.5),
            branch: Some("task/p-x-a".into()),
            ..Event::default()
        };
        Row { task: task.into(), title: title.into(), work, repair: None }
    }

    fn report(section: Section) -> Report {
        Report { node: "a".into(), targets: vec![section], ..Report::default() }
    }

    #[test]
    fn each_outcome_has_its_table_and_its_step() {
        let id = |hex: u8| ObjectId::from_hex(&[hex; 40]).ok();
        let file = |kind: &str| ConflictFile { path: "src/a.rs".into(), kind: kind.into() };
        let section = Section {
            target: "main".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            old: id(b'1'),
            new: id(b'2'),
            merged: vec![(row("p/one", "One"), id(b'2')), (row("p/none", "None"), None)],
            conflicts: vec![
                (row("p/two", "Two"), vec![file("contents")]),
                (row("p/old", "Old"), vec![file("base_rewritten")]),
                (Row { repair: Some("p/mend".into()), ..row("p/three", "Three") }, vec![file("add/add")]),
            ],
            rejected: vec![(row("p/bad", "Bad"), Reason::Verify), (row("p/stale", "Stale"), Reason::Stale)],
            waiting: vec![(row("p/later", "Later"), "p/two, whose work it was built on".into())],
        };
        insta::assert_snapshot!(report(section).to_markdown(), @r"
        # Collected into `main`

        1970-01-01T00:00:00Z on `a`, from `1111111111` to `2222222222`: 2 merged, 3 conflicting, 2 rejected, 1 waiting; 6 files, +20 −8 lines, 2 min of work.

        ## Merged

        | task | title | node | files | lines | took | merge commit |
        | --- | --- | --- | ---: | ---: | ---: | --- |
        | `p/one` | `One` | `a`, attempt 2 | 3 | +10 −4 | 75 s | `2222222222` |
        | `p/none` | `None` | `a`, attempt 2 | 3 | +10 −4 | 75 s | nothing to merge |

        ## Conflicting

        | task | title | node | files | lines | took | where |
        | --- | --- | --- | ---: | ---: | ---: | --- |
        | `p/two` | `Two` | `a`, attempt 2 | 3 | +10 −4 | 75 s | `src/a.rs` (`contents`) |
        | `p/old` | `Old` | `a`, attempt 2 | 3 | +10 −4 | 75 s | `src/a.rs` (`base_rewritten`) |
        | `p/three` | `Three` | `a`, attempt 2 | 3 | +10 −4 | 75 s | `src/a.rs` (`add/add`) |

        ## Rejected

        | task | title | node | files | lines | took | why |
        | --- | --- | --- | ---: | ---: | ---: | --- |
        | `p/bad` | `Bad` | `a`, attempt 2 | 3 | +10 −4 | 75 s | it breaks the verification |
        | `p/stale` | `Stale` | `a`, attempt 2 | 3 | +10 −4 | 75 s | what it was built on will not land |

        ## Waiting

        | task | title | node | files | lines | took | for |
        | --- | --- | --- | ---: | ---: | ---: | --- |
        | `p/later` | `Later` | `a`, attempt 2 | 3 | +10 −4 | 75 s | `p/two, whose work it was built on` |

        ## What to do next

        - `p/two`: `git dispatch retry p/two` runs it again on top of what was merged, `git dispatch cancel p/two` calls it off; its work is on `task/p-x-a`
        - `p/old`: the branch was rewritten under it; `git dispatch retry p/old` runs it again on the branch as it is, `git dispatch cancel p/old` calls it off
        - `p/three`: nothing by hand, `p/mend` resolves the conflict
        - `p/bad`: `git dispatch logs p/bad` shows what failed; then `git dispatch retry p/bad` or `git dispatch cancel p/bad`
        - `p/stale`: nothing by hand, it runs again on what landed
        - What waits joins a later `git dispatch collect` by itself, once what it waits for is there
        ");
    }

    #[test]
    fn with_nothing_to_tell_there_is_nothing_to_do() {
        let text = report(Section { target: "main".into(), ..Section::default() }).to_markdown();
        assert!(text.ends_with("## What to do next\n\n- Nothing\n") && !text.contains("## Merged"), "{text}");
    }

    #[test]
    fn a_code_span_holds_whatever_it_is_given() {
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        assert_eq!(code("\u{1b}[2J\n"), "`\\u{1b}[2J\\n`");
    }

    /// Counts the bars that end cells, as readers of tables do: what follows a backslash is passed over.
    fn bars(line: &str) -> usize {
        let mut rest = line.chars();
        let mut count = 0;
        while let Some(c) = rest.next() {
            match c {
                '\\' => drop(rest.next()),
                '|' => count += 1,
                _ => {}
            }
        }
        count
    }

    proptest! {
        #[test]
        fn no_title_leaves_its_cell(title in "([a`|\\\\<\u{1b}]|\\PC){0,20}") {
            let section = Section {
                target: "main".into(),
                merged: vec![(row("p/one", &title), None)],
                ..Section::default()
            };
            let text = report(section).to_markdown();
            let line = text.lines().find(|line| line.starts_with("| `p/one`")).unwrap();
            prop_assert_eq!(bars(line), 8);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert_eq!(text.lines().count(), 13);
        }
    }
}
