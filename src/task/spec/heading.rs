//! The first heading of a Markdown text: the title of a spec that gives none.
//!
//! Not a Markdown parser: knows headings of both kinds and fenced code, so that a comment in a script is no title.

/// The longest title taken from a heading, in characters.
const MAX_TITLE: usize = 200;

/// Returns the text of the first heading outside fenced code.
pub(super) fn first(body: &str) -> Option<String> {
    let mut fence: Option<&str> = None;
    let mut above = None;
    for line in body.lines() {
        // Four blanks make it code.
        let inner = line.trim_start_matches(' ');
        let indented = line.len() - inner.len() > 3;
        if let Some(open) = fence {
            if !indented && closes(inner, open) {
                fence = None;
            }
            continue;
        }
        if indented {
            above = None;
        } else if let Some(marks) = opens(inner) {
            fence = Some(marks);
            above = None;
        } else if let Some(title) = marked(inner).or_else(|| above.filter(|_| underlines(inner))).and_then(title) {
            return Some(title);
        } else {
            above = Some(inner.trim()).filter(|text| is_paragraph(text));
        }
    }
    None
}

/// Returns the marks that open a fence, if this line does.
fn opens(line: &str) -> Option<&str> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let marks = &line[..line.len() - line.trim_start_matches(mark).len()];
    // An info string of backticks holds none, else the line is inline code.
    let info = &line[marks.len()..];
    (marks.len() >= 3 && !(mark == '`' && info.contains('`'))).then_some(marks)
}

/// Says whether a line closes the fence that these marks opened.
fn closes(line: &str, open: &str) -> bool {
    let line = line.trim_end();
    line.len() >= open.len() && open.starts_with(|mark| line.chars().all(|c| c == mark))
}

/// Returns the text of a heading of the form `## text ##`.
fn marked(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    if !(1..=6).contains(&level) || !(text.is_empty() || text.starts_with([' ', '\t'])) {
        return None;
    }
    let text = text.trim();
    let bare = text.trim_end_matches('#');
    Some(if bare.is_empty() || bare.ends_with([' ', '\t']) { bare.trim_end() } else { text })
}

/// Says whether a line makes a heading of the paragraph above it.
fn underlines(line: &str) -> bool {
    let line = line.trim_end();
    !line.is_empty() && (line.chars().all(|c| c == '=') || (line.len() > 1 && line.chars().all(|c| c == '-')))
}

/// Says whether a line can be the text of an underlined heading: no list, quote or table.
fn is_paragraph(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(['-', '*', '+', '>', '|', '<', '='])
}

/// Makes one line of a bounded length of a heading's text.
fn title(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_TITLE) {
        Some((end, _)) => Some(format!("{}…", &text[..end])),
        None => Some(text).filter(|text| !text.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_found() {
        let cases = [
            ("# Title\n", Some("Title")),
            ("text\n\n## Two  words ##\n", Some("Two words")),
            ("# C#\n", Some("C#")),
            ("#hash\n#!/bin/sh\n", None),
            ("```sh\n# a comment\n```\n# real\n", Some("real")),
            ("~~~\n# a\n```\n# b\n~~~~\n# c", Some("c")),
            ("````md\n```\n# a\n```\n````\n# b", Some("b")),
            ("```never closed\n# a", None),
            ("``` a`b\n# c", Some("c")),
            ("    # code\n", None),
            ("Title\n=====\n# later", Some("Title")),
            ("标题\n---\n", Some("标题")),
            ("- item\n---\n", None),
            ("\n---\n", None),
            ("#\n# x", Some("x")),
            ("####### seven\n", None),
            ("# 打包模式\r\nx\r\n", Some("打包模式")),
            ("", None),
        ];
        for (body, expected) in cases {
            assert_eq!(first(body).as_deref(), expected, "{body:?}");
        }
        assert_eq!(first(&format!("# {}", "x".repeat(300))).unwrap().chars().count(), 201);
    }
}
