//! The report as one page: no network, nothing beside it, everything in it.
//!
//! Owns the page's parts and that no text of others is more than text in it: what is not written by `html::Html::text` is
//! a constant of the program. Beside that, its policy lets the browser load nothing and run only the script that carries
//! this page's own mark.

mod axis;
mod charts;
mod graph;
mod html;
mod landings;
mod table;
mod timeline;

use jiff::Timestamp;

use super::forge::Forge;
use crate::protocol::chronicle::{Chronicle, Entry};
use crate::task::State;
use crate::task::text::lasting;
use html::Html;

/// What the page is written with.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// A mark that nobody could foresee: only what carries it is run.
    pub nonce: String,
    /// Where commits and branches can be looked at.
    pub forge: Option<Forge>,
}

/// Writes the page.
pub fn write(chronicle: &Chronicle, setting: &Setting) -> String {
    let mut page = Html::default();
    head(&mut page, chronicle, setting);
    top(&mut page, chronicle);
    figures(&mut page, chronicle);
    timeline::write(&mut page, chronicle);
    graph::write(&mut page, chronicle);
    page.raw("<div class=\"pair\">");
    charts::throughput(&mut page, chronicle);
    charts::estimates(&mut page, chronicle);
    page.raw("</div>");
    landings::write(&mut page, chronicle, setting.forge.as_ref());
    table::write(&mut page, chronicle, setting.forge.as_ref());
    page.raw("</main><footer><p>Written by <code>git dispatch report</code> ").text(env!("CARGO_PKG_VERSION"));
    page.raw("; times are UTC. This file is whole: it loads nothing.</p></footer><script nonce=\"");
    page.text(&setting.nonce).raw("\">").raw(include_str!("page/script.js")).raw("</script></body></html>\n");
    page.into_text()
}

fn head(page: &mut Html, chronicle: &Chronicle, setting: &Setting) {
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; ");
    page.raw("style-src 'nonce-")
        .text(&setting.nonce)
        .raw("'; script-src 'nonce-")
        .text(&setting.nonce)
        .raw("'\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\"><title>");
    page.text(&chronicle.project).raw(": what was done</title><style nonce=\"").text(&setting.nonce).raw("\">");
    page.raw(include_str!("page/style.css")).raw("</style></head><body>");
    page.raw("<a class=\"skip\" href=\"#tasks\">Go to the table of tasks</a>");
}

fn top(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<header><div><p class=\"over\">git dispatch report</p><h1>").text(&chronicle.project);
    page.raw("</h1><p class=\"under\">into <b>").text(&chronicle.target).raw("</b>, read ").raw("<time>");
    page.text(&minute(chronicle.at)).raw("</time>");
    if let Some(since) = chronicle.since {
        page.raw(", what happened since <time>").text(&minute(since)).raw("</time>");
    }
    page.raw("</p></div><div class=\"tools\"><button type=\"button\" id=\"theme\" hidden>Light or dark</button></div></header>");
    page.raw("<nav aria-label=\"Parts of this page\"><a href=\"#timeline\">Timeline</a><a href=\"#graph\">Dependencies</a>");
    page.raw(
        "<a href=\"#throughput\">Throughput</a><a href=\"#estimates\">Estimates</a><a href=\"#landed\">Merges</a>",
    );
    page.raw("<a href=\"#tasks\">Tasks</a></nav><main>");
}

/// The states that are shown, in the order of a task's life backwards: what is done first.
const SHOWN: &[State] = &[
    State::Merged,
    State::Completed,
    State::Running,
    State::Assigned,
    State::Pending,
    State::Conflict,
    State::Failed,
    State::Unknown,
    State::Cancelled,
];

fn figures(page: &mut Html, chronicle: &Chronicle) {
    let tasks = &chronicle.tasks;
    let count = |state: State| tasks.iter().filter(|task| task.state == Some(state)).count();
    page.raw(
        "<section aria-label=\"At a glance\"><div class=\"states\" role=\"img\" aria-label=\"Tasks by state: ",
    );
    for state in SHOWN.iter().filter(|state| count(**state) > 0) {
        page.int(count(*state)).raw(" ").text(state.as_str()).raw(", ");
    }
    page.raw("of ")
        .int(tasks.len())
        .raw("\"><svg viewBox=\"0 0 1000 14\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    let mut x = 0.0;
    for state in SHOWN {
        let width = 1000.0 * count(*state) as f64 / tasks.len().max(1) as f64;
        if width > 0.0 {
            page.raw("<rect y=\"0\" height=\"14\" x=\"").num(x).raw("\" width=\"").num(width).raw("\" class=\"s-");
            page.text(state.as_str()).raw("\"/>");
        }
        x += width;
    }
    page.raw("</svg></div><dl class=\"figures\">");
    for state in SHOWN.iter().filter(|state| count(**state) > 0) {
        page.raw("<div><dt><i class=\"dot s-").text(state.as_str()).raw("\"></i>").text(state.as_str());
        page.raw("</dt><dd>").int(count(*state)).raw("</dd></div>");
    }
    let worked: f64 = tasks.iter().map(|task| task.worked(chronicle.at)).sum();
    let lines =
        |of: fn(&(u64, u64)) -> u64| tasks.iter().filter_map(|task| task.lines.as_ref().map(of)).sum::<u64>();
    let attempts: usize = tasks.iter().map(|task| task.attempts.len()).sum();
    figure(page, "time of work", &lasting(worked.round() as u64));
    if let Some((from, to)) = span(chronicle) {
        let wall = to.duration_since(from).as_secs_f64();
        figure(page, "from first to last", &lasting(wall.round() as u64));
        if wall > 0.0 {
            figure(page, "at work at a time", &format!("{:.1}", worked / wall));
        }
    }
    figure(page, "attempts", &attempts.to_string());
    figure(page, "lines", &format!("+{} −{}", lines(|both| both.0), lines(|both| both.1)));
    page.raw("</dl></section>");
}

fn figure(page: &mut Html, name: &'static str, value: &str) {
    page.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
}

/// From the beginning of the first attempt to the end of the last, or until now while one runs.
fn span(chronicle: &Chronicle) -> Option<(Timestamp, Timestamp)> {
    let attempts = || chronicle.tasks.iter().flat_map(|task| &task.attempts);
    let from = attempts().map(|attempt| attempt.begun).min()?;
    let to = attempts().map(|attempt| attempt.ended.unwrap_or(chronicle.at)).max()?;
    Some((from, to))
}

/// A link to a task's row.
fn link_to(page: &mut Html, at: usize, task: &Entry) {
    page.raw("<a href=\"#t-").int(at).raw("\">").text(&task.name).raw("</a>");
}

/// A time to the minute.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A number of seconds as it is said.
fn said(seconds: f64) -> String {
    if seconds < 9.95 { format!("{seconds:.1} s") } else { lasting(seconds.round() as u64) }
}

#[cfg(test)]
mod tests;
