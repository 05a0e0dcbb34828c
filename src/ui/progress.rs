//! What is shown while a command works: a line for each thing that happened, and a spinner on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Ui;
use super::theme::Theme;
use crate::protocol::{Announce, Happened};
use crate::task::text::escaped;

/// Shows what happens on standard error.
#[derive(Debug)]
pub struct Progress {
    ui: Ui,
    bar: ProgressBar,
}

impl Progress {
    /// Starts showing; `what` stands beside the spinner.
    pub fn start(ui: &Ui, what: &'static str) -> Self {
        let bar = if ui.progress { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        if ui.progress {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { ui: ui.clone(), bar }
    }

    /// Changes what stands beside the spinner.
    pub fn now(&self, what: &'static str) {
        self.bar.set_message(what);
    }

    fn line(&self, happened: &Happened) -> String {
        let theme = &self.ui.err;
        match happened {
            Happened::Started { task, title, attempt } => {
                let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                format!("{} {task}{again}: {}", theme.faint("started  "), escaped(title))
            }
            Happened::Completed { task, files, lines: (added, removed), took } => format!(
                "{} {task}: {files} {}, +{added} −{removed}, {}",
                theme.good("completed"),
                if *files == 1 { "file" } else { "files" },
                seconds(*took)
            ),
            Happened::Failed { task, reason, error } => {
                format!("{} {task} ({reason}): {}", theme.bad("failed   "), escaped(error))
            }
            Happened::Fenced { task, why, kept } => {
                let kept = kept.as_ref().map(|name| format!("; the work is kept at {name}")).unwrap_or_default();
                format!("{} {task}: {}{kept}", theme.warning("fenced   "), escaped(why))
            }
            Happened::Waiting { task } => {
                format!(
                    "{} {task}: the hub does not answer; the result is kept here and published by the next `run`",
                    theme.warning("waiting  ")
                )
            }
            Happened::Released { task, reason } => {
                format!("{} {task} ({reason})", theme.warning("released "))
            }
            Happened::TakenOver { task, node, attempt } => {
                format!("{} {task} from {}, as attempt {attempt}", theme.warning("took over"), escaped(node))
            }
            Happened::Blocked { task, by, state } => {
                format!("{} {task}: {by}, which it depends on, is {state}", theme.warning("blocked  "))
            }
            Happened::Merged { task, .. } => format!("{} {task}", theme.good("merged   ")),
            Happened::Conflicted { task, files, repair } => {
                let files: Vec<String> =
                    files.iter().map(|file| format!("{} ({})", escaped(&file.path), escaped(&file.kind))).collect();
                let repair =
                    repair.as_ref().map(|repair| format!("; {repair} is to resolve it")).unwrap_or_default();
                format!("{} {task}: {}{repair}", theme.bad("conflict "), files.join(", "))
            }
            Happened::Verified { target, merges, passed, again, took } => {
                verified(theme, target, *merges, (*passed, *again), *took)
            }
            Happened::Enqueued { task, from } => {
                format!("{} {task} from {}", theme.good("enqueued "), escaped(from))
            }
            Happened::Rejected { file, why } => {
                format!("{} {}: {}", theme.bad("rejected "), escaped(file), escaped(why))
            }
            Happened::Bundled { task, file } => {
                format!("{} {task}: carry {} to the hub", theme.warning("bundled  "), escaped(file))
            }
            Happened::Note(text) => format!("{} {}", theme.faint("note     "), escaped(text)),
        }
    }
}

/// What a verification said; `(passed, is tried again)`.
fn verified(theme: &Theme, target: &str, merges: usize, how: (bool, bool), took: Duration) -> String {
    let what = match merges {
        0 => "as it is".to_owned(),
        1 => "with 1 merge".to_owned(),
        count => format!("with {count} merges"),
    };
    let how = match how {
        (true, _) => theme.good("passes"),
        (false, true) => theme.warning("fails, and is tried again"),
        (false, false) => theme.bad("does not pass"),
    };
    format!("{} {} {what} {how}, {}", theme.faint("verified "), escaped(target), seconds(took))
}

impl Announce for Progress {
    fn happened(&self, what: &Happened) {
        if matches!(what, Happened::Started { .. }) && !self.ui.progress && !self.ui.verbose {
            return;
        }
        self.bar.suspend(|| self.ui.note(&self.line(what)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A duration as people read it.
pub fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        10..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min", whole / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
