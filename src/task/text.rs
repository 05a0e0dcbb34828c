//! How text that somebody else wrote is made fit to be shown.
//!
//! Owns which characters may reach a terminal. Width, colour and truncation to a column are `ui`'s; nothing here
//! decides what may be stored.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Shows text with everything that could drive or deceive a terminal written out: `\u{1b}`, `\n`, `\u{202e}`.
///
/// Chinese, emoji and accents stay as they are. A backslash stays too, so the result is for eyes, not for parsing.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            if is_deceptive(c) && !joins_emoji(before, c, rest.clone().next()) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
            before = Some(c);
        }
        Ok(())
    }
}

/// Returns the text as [`Escaped`] shows it.
pub fn escaped(text: &str) -> String {
    Escaped(text).to_string()
}

/// Returns a text of several lines with everything written out that [`Escaped`] would, but for line ends and tabs; lines end
/// as they do on Unix.
pub fn written_out(text: &str) -> String {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let cells = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t");
    lines.map(cells).collect::<Vec<_>>().join("\n")
}

/// Returns a line of output as a terminal would leave it: without colours and titles, and where it was written over again
/// (`\r`), as it was written last. What is not understood stays, for [`Escaped`] to write out.
pub fn settled(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match sequence(after) {
            Some(length) => rest = &after[length..],
            None => {
                text.push('\u{1b}');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// How long the control sequence is that begins here, behind its escape; `None` for what is none, or has no end.
fn sequence(after: &str) -> Option<usize> {
    match after.bytes().next()? {
        b'[' => {
            let end = after.bytes().skip(1).position(|byte| !(0x20..=0x3f).contains(&byte))? + 1;
            (0x40..=0x7e).contains(&after.as_bytes()[end]).then_some(end + 1)
        }
        b']' => {
            let bell = after.find('\u{7}').map(|at| at + 1);
            let string = after.find("\u{1b}\\").map(|at| at + 2);
            [bell, string].into_iter().flatten().min()
        }
        b'(' | b')' => after.chars().nth(1).filter(char::is_ascii).map(|_| 2),
        _ => None,
    }
}

/// Returns the first `max` characters of the text, escaped, with `…` where something was left out.
pub fn excerpt(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", Escaped(&text[..end])),
        None => escaped(text),
    }
}

/// Says how long something lasts, in the two largest units that matter.
pub fn lasting(seconds: u64) -> String {
    let two = |count: u64, unit: &str, rest: u64, small: &str| match rest {
        0 => format!("{count} {unit}"),
        _ => format!("{count} {unit} {rest} {small}"),
    };
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "days", seconds % 86_400 / 3600, "h"),
    }
}

/// Collapses every run of white space and control characters to one blank and trims: for commit subjects.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Writes out what may drive or deceive a terminal in a JSON document, as JSON does it: it says the same.
pub fn in_json(document: &str) -> Cow<'_, str> {
    // By the piece, not by the byte: most documents are plain, and long.
    let is_plain = |piece: &[u8]| {
        piece.iter().fold(true, |is_plain, byte| is_plain & (*byte == b'\n' || (b' '..=b'~').contains(byte)))
    };
    if document.as_bytes().chunks(256).all(is_plain) {
        return Cow::Borrowed(document);
    }
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || !is_deceptive(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

/// Replaces what [`escaped`] would write out by fillers of the same number of bytes.
///
/// Diagnostics print the source they point into, raw: it must be harmless, and byte offsets into it must not move.
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let line_end = c == '\n' || (c == '\r' && rest.peek() == Some(&'\n'));
        if line_end || c == '\t' || !is_deceptive(c) {
            shown.push(c);
        } else {
            shown.push_str(match c.len_utf8() {
                1 => "?",
                2 => "\u{bf}",
                3 => "\u{fffd}",
                _ => "\u{fffd}?",
            });
        }
    }
    shown
}

/// Says whether a character is invisible, moves the cursor, or reorders what stands around it.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}'
            // Tag characters: a whole sentence can be hidden in them.
            | '\u{e0000}'..='\u{e007f}')
}

/// Says whether a zero-width joiner glues two emoji, its one use that a reader would miss.
fn joins_emoji(before: Option<char>, c: char, after: Option<char>) -> bool {
    let pictogram = |c: char| matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    c == '\u{200d}' && before.is_some_and(|c| pictogram(c) || c == '\u{fe0f}') && after.is_some_and(pictogram)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_says_the_same_with_nothing_raw_in_it() {
        let value =
            serde_json::json!({"a\u{9b}": "\u{1b}[2J\u{7f}\u{202e}\u{e0041}\n\u{1f469}\u{200d}\u{1f52c} 中"});
        let document = serde_json::to_string_pretty(&value).unwrap();
        let shown = in_json(&document);
        assert!(!shown.chars().any(|c| is_deceptive(c) && c != '\n') && shown.contains('中'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn times_are_cut_to_what_matters() {
        let said = [0, 119, 240, 7260, 86_400, 200_000].map(lasting);
        assert_eq!(said, ["0 s", "119 s", "4 min", "2 h 1 min", "24 h", "2 days 7 h"]);
    }

    #[test]
    fn what_drives_a_terminal_is_written_out() {
        assert_eq!(escaped("a\x1b[31mb\n\t\r"), "a\\u{1b}[31mb\\n\\t\\r");
        assert_eq!(escaped("\0\x7f\u{9b}"), "\\u{0}\\u{7f}\\u{9b}");
        assert_eq!(escaped("x\u{202e}y\u{2066}\u{200f}\u{61c}"), "x\\u{202e}y\\u{2066}\\u{200f}\\u{61c}");
        assert_eq!(escaped("a\u{200b}b\u{feff}\u{2028}\u{2029}"), "a\\u{200b}b\\u{feff}\\u{2028}\\u{2029}");
        assert_eq!(escaped("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn what_people_write_stays() {
        for text in
            ["打包模式", "naïve", "🚀 ok", "C:\\temp", "“q” 'q' \"q\"", "❤️", "👩\u{200d}💻", "full\u{3000}width"]
        {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("a\u{200d}b"), "a\\u{200d}b");
        assert_eq!(escaped(""), "");
    }

    #[test]
    fn lines_stay_where_all_else_is_written_out() {
        assert_eq!(written_out("a\r\n\tb\x1b[2J\u{202e}\n\nc\rd\0"), "a\n\tb\\u{1b}[2J\\u{202e}\n\nc\\rd\\u{0}");
        assert_eq!(written_out(""), "");
    }

    #[test]
    fn a_line_is_left_as_a_terminal_would_leave_it() {
        for (line, left) in [
            ("\u{1b}[1;31merror\u{1b}[0m: \u{1b}[Kno\r", "error: no"),
            ("\r10%\r20%\r30%", "30%"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;https://x\u{1b}\\b\u{1b}]8;;\u{1b}\\c\u{1b}(Bd", "abcd"),
            ("\u{1b}[31", "\u{1b}[31"),
            ("\u{1b}[é \u{1b}]x \u{1b}", "\u{1b}[é \u{1b}]x \u{1b}"),
            ("\u{1b}c 用中文", "\u{1b}c 用中文"),
            ("", ""),
        ] {
            assert_eq!(settled(line), left, "{line:?}");
        }
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("abcdef", 3), "abc…");
        assert_eq!(excerpt("打包模", 3), "打包模");
        assert_eq!(excerpt("\x1b\x1b", 1), "\\u{1b}…");
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("  a\r\n\tb \x1b c\u{2028}d  "), "a b c d");
        assert_eq!(one_line("\n \t"), "");
    }

    #[test]
    fn a_mask_keeps_line_ends() {
        assert_eq!(masked("a\r\nb\tc\rd\x1be\u{85}f\u{202e}"), "a\r\nb\tc?d?e\u{bf}f\u{fffd}");
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in any::<String>()) {
            let shown = escaped(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            let deceives = shown.chars().any(|c| is_deceptive(c) && c != '\u{200d}');
            prop_assert!(!deceives);
        }

        #[test]
        fn no_line_makes_settling_panic(line in any::<String>(), wild in "[\u{1b}\\[\\]();0-9a-z\r\u{7}é\\\\]{0,40}") {
            prop_assert!(settled(&line).len() <= line.len() && settled(&wild).len() <= wild.len());
        }

        #[test]
        fn a_subject_has_no_control_character(text in any::<String>()) {
            let subject = one_line(&text);
            prop_assert!(!subject.chars().any(char::is_control));
            prop_assert_eq!(one_line(&subject), subject);
        }

        #[test]
        fn a_mask_moves_no_byte(text in any::<String>()) {
            let shown = masked(&text);
            prop_assert_eq!(shown.len(), text.len());
            for (at, _) in text.char_indices() {
                prop_assert!(shown.is_char_boundary(at));
            }
        }
    }
}
