//! All tasks as a table, which the page's script sorts and filters; without it, it is whole.

use std::collections::BTreeSet;

use super::html::Html;
use super::landings::commit_of;
use super::{SHOWN, minute, said};
use crate::protocol::chronicle::{Chronicle, Entry};
use crate::task::text::excerpt;
use crate::ui::forge::Forge;

/// The columns: what they are called, and whether they hold numbers.
const COLUMNS: &[(&str, bool)] = &[
    ("Task", false),
    ("State", false),
    ("Title", false),
    ("Node", false),
    ("Tries", true),
    ("Priority", true),
    ("Waited", true),
    ("Estimate", true),
    ("Took", true),
    ("Lines", true),
    ("Merged", true),
];

pub(super) fn write(page: &mut Html, chronicle: &Chronicle, forge: Option<&Forge>) {
    page.raw("<section id=\"tasks\" aria-labelledby=\"h-tasks\"><h2 id=\"h-tasks\">Tasks</h2>");
    controls(page, chronicle);
    page.raw("<div class=\"wide\"><table id=\"table\"><caption class=\"unseen\">All tasks, in queue order; buttons in the ");
    page.raw("headings sort</caption><thead><tr>");
    for (name, is_number) in COLUMNS {
        page.raw("<th scope=\"col\"")
            .raw(if *is_number { " class=\"n\"" } else { "" })
            .raw("><button type=\"button\">");
        page.raw(name).raw("</button></th>");
    }
    page.raw("</tr></thead><tbody>");
    for (at, task) in chronicle.tasks.iter().enumerate() {
        row(page, chronicle, at, task, forge);
    }
    page.raw("</tbody></table></div></section>");
}

fn controls(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<form class=\"controls\" id=\"controls\" hidden><label class=\"find\">Find <input type=\"search\" id=\"find\" ");
    page.raw("autocomplete=\"off\" spellcheck=\"false\" placeholder=\"any words; press /\"></label>");
    page.raw("<fieldset><legend class=\"unseen\">States</legend>");
    for state in SHOWN {
        let count = chronicle.tasks.iter().filter(|task| task.state == Some(*state)).count();
        if count > 0 {
            page.raw("<label class=\"chip\"><input type=\"checkbox\" name=\"state\" value=\"")
                .text(state.as_str())
                .raw("\">");
            page.raw("<i class=\"dot s-")
                .text(state.as_str())
                .raw("\"></i>")
                .text(state.as_str())
                .raw(" ")
                .int(count);
            page.raw("</label>");
        }
    }
    page.raw("</fieldset>");
    let nodes: BTreeSet<&str> = chronicle.tasks.iter().filter_map(node_of).collect();
    if nodes.len() > 1 {
        page.raw("<label>Node <select id=\"node\"><option value=\"\">all</option>");
        for node in nodes {
            page.raw("<option>").text(node).raw("</option>");
        }
        page.raw("</select></label>");
    }
    page.raw("<button type=\"reset\">Show all</button><output id=\"shown\" role=\"status\"></output></form>");
}

fn node_of(task: &Entry) -> Option<&str> {
    task.attempts.last().map(|attempt| attempt.node.as_str())
}

fn row(page: &mut Html, chronicle: &Chronicle, at: usize, task: &Entry, forge: Option<&Forge>) {
    let state = task.state.map_or("unknown", |state| state.as_str());
    page.raw("<tr id=\"t-").int(at).raw("\" data-state=\"").text(state).raw("\" data-node=\"");
    page.text(node_of(task).unwrap_or_default())
        .raw("\"><th scope=\"row\">")
        .text(&task.name)
        .raw("</th><td><i class=\"dot s-");
    page.text(state).raw("\"></i>").text(state).raw("</td><td class=\"title\">").text(&excerpt(&task.title, 120));
    if let Some(blocked) = &task.blocked {
        page.raw(" <small class=\"bad\">blocked by ").text(&excerpt(blocked, 200)).raw("</small>");
    }
    if let Some(trouble) = &task.trouble {
        page.raw(" <small class=\"bad\">").text(&excerpt(trouble, 200)).raw("</small>");
    }
    page.raw("</td><td>").text(node_of(task).unwrap_or_default()).raw("</td>");
    number(page, Some(task.attempts.len() as f64), &task.attempts.len().to_string());
    number(page, Some(f64::from(task.priority)), &task.priority.to_string());
    for seconds in [task.waited(chronicle.at), task.estimate, task.took] {
        number(page, seconds, &seconds.map(said).unwrap_or_default());
    }
    let lines = task.lines.map(|(added, removed)| format!("+{added} −{removed}")).unwrap_or_default();
    number(page, task.lines.map(|(added, removed)| (added + removed) as f64), &lines);
    page.raw("<td class=\"n\" data-v=\"");
    if let Some(merged) = task.merged_at {
        page.num(merged.as_second() as f64).raw("\"><time>").text(&minute(merged)).raw("</time>");
    } else {
        page.raw("\">");
    }
    if let Some(commit) = &task.merge_commit {
        commit_of(page, commit, forge);
    } else if let (Some(forge), Some(branch)) = (forge, &task.branch) {
        page.raw("<a rel=\"noreferrer\" href=\"").text(&forge.branch(branch)).raw("\">branch</a>");
    }
    page.raw("</td></tr>");
}

fn number(page: &mut Html, value: Option<f64>, shown: &str) {
    page.raw("<td class=\"n\" data-v=\"");
    if let Some(value) = value {
        page.num(value);
    }
    page.raw("\">").text(shown).raw("</td>");
}
