//! In which order work landed, what did not merge, and what mended it.

use super::html::Html;
use super::{link_to, minute};
use crate::protocol::chronicle::{Chronicle, Landing};
use crate::task::text::excerpt;
use crate::ui::forge::Forge;

/// How many files of one conflict are named.
const FILES: usize = 6;

pub(super) fn write(page: &mut Html, chronicle: &Chronicle, forge: Option<&Forge>) {
    page.raw("<section id=\"landed\" aria-labelledby=\"h-landed\"><h2 id=\"h-landed\">Merges, in order</h2>");
    if chronicle.landings.is_empty() {
        page.raw("<p class=\"none\">Nothing was collected yet.</p></section>");
        return;
    }
    let conflicts = chronicle.landings.iter().filter(|landing| landing.commit.is_none()).count();
    page.raw("<p class=\"hint\">").int(chronicle.landings.len() - conflicts).raw(" merged, ").int(conflicts);
    page.raw(" did not merge at first.</p><ol class=\"rail\" tabindex=\"0\" aria-label=\"Merges and conflicts, oldest first\">");
    for landing in &chronicle.landings {
        item(page, chronicle, landing, forge);
    }
    page.raw("</ol></section>");
}

fn item(page: &mut Html, chronicle: &Chronicle, landing: &Landing, forge: Option<&Forge>) {
    let task = &chronicle.tasks[landing.task];
    page.raw("<li class=\"").raw(if landing.commit.is_some() { "landed" } else { "clash" }).raw("\" data-t=\"");
    page.int(landing.task).raw("\"><time>").text(&minute(landing.at)).raw("</time> ");
    link_to(page, landing.task, task);
    page.raw(" <span>").text(&excerpt(&task.title, 90)).raw("</span>");
    match landing.commit.as_deref() {
        Some("") => {
            page.raw(" <small>changed nothing</small>");
        }
        Some(commit) => commit_of(page, commit, forge),
        None => {
            page.raw(" <b class=\"bad\">does not merge</b>");
            for (nth, file) in landing.files.iter().take(FILES).enumerate() {
                page.raw(if nth == 0 { ": " } else { ", " })
                    .raw("<code>")
                    .text(&excerpt(&file.path, 80))
                    .raw("</code> (");
                page.text(&file.kind).raw(")");
            }
            if landing.files.len() > FILES {
                page.raw(" and ").int(landing.files.len() - FILES).raw(" more");
            }
        }
    }
    if let Some(repair) = landing.repair {
        page.raw("; mended by ");
        link_to(page, repair, &chronicle.tasks[repair]);
    }
    if let Some(of) = task.repairs {
        page.raw(" <small>mends ");
        link_to(page, of, &chronicle.tasks[of]);
        page.raw("</small>");
    }
    page.raw("</li>");
}

/// A commit's short name, as a link where there is a page of it.
pub(super) fn commit_of(page: &mut Html, commit: &str, forge: Option<&Forge>) {
    let short: String = commit.chars().take(10).collect();
    match forge {
        Some(forge) => {
            page.raw(" <a rel=\"noreferrer\" href=\"").text(&forge.commit(commit)).raw("\"><code>").text(&short);
            page.raw("</code></a>");
        }
        None => {
            page.raw(" <code>").text(&short).raw("</code>");
        }
    }
}
