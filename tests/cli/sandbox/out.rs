//! Owns what a command said: as it was, and as one text that is the same in every run.

use std::fmt;
use std::path::Path;

use serde_json::Value;

/// Words behind which even a number of seven digits is an abbreviated id.
const BEFORE_IDS: [&str; 8] = ["commit", "id", "claim", "base", "tip", "merge", "HEAD", "head"];

/// What a command said, and its exit code (128+n for signal n).
///
/// Shown, it is stdout, then stderr with `! ` before each line, then `[exit N]`; with what differs
/// from run to run replaced: the sandbox' folder by `$ROOT`, ids by `<id>`, times by `<time>`,
/// durations by `<dur>`.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    root: String,
}

impl Out {
    pub(super) fn new(stdout: String, stderr: String, code: i32, root: &Path) -> Out {
        Out { stdout, stderr, code, root: root.display().to_string() }
    }

    /// Demands exit code 0.
    #[track_caller]
    pub(crate) fn success(self) -> Out {
        self.code(0)
    }

    /// Demands this exit code.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Out {
        assert!(self.code == expected, "expected exit {expected}:\n{self}");
        self
    }

    /// Returns stdout as the one JSON document that it must be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document ({error}):\n{self}"))
    }
}

impl fmt::Display for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.stdout.lines() {
            writeln!(f, "{}", normalised(line, &self.root))?;
        }
        for line in self.stderr.lines() {
            writeln!(f, "{}", format!("! {}", normalised(line, &self.root)).trim_end())?;
        }
        write!(f, "[exit {}]", self.code)
    }
}

/// Replaces in one line what differs from run to run.
///
/// Ids are 40 or 64 hexadecimal digits, or 7 to 16 with letters and figures among them, or any 7 to
/// 16 behind a word such as `commit` or in a range. Durations are a number right before `s`, `ms`,
/// `us`, `µs` or `ns`, or a fraction before `m` or `h`: `30m`, as one configures it, stays.
pub(super) fn normalised(line: &str, root: &str) -> String {
    let line = line.replace(root, "$ROOT");
    let mut text = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        let word_before = text.chars().next_back().is_some_and(is_word);
        let replaced = if word_before { None } else { replace(rest, &text) };
        let (length, replacement) = replaced.unwrap_or((first.len_utf8(), &rest[..first.len_utf8()]));
        text.push_str(replacement);
        rest = &rest[length..];
    }
    text
}

/// Looks at the beginning of a word; returns how much of it is to be replaced, and by what.
fn replace(rest: &str, before: &str) -> Option<(usize, &'static str)> {
    let found = time(rest).map(|length| (length, "<time>"));
    let found = found.or_else(|| duration(rest).map(|length| (length, "<dur>")));
    found.or_else(|| id(rest, before).map(|length| (length, "<id>")))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn ends_word(rest: &str) -> bool {
    !rest.chars().next().is_some_and(is_word)
}

fn run(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| of(*byte)).count()
}

fn digits(text: &str) -> usize {
    run(text, |byte| byte.is_ascii_digit())
}

/// Measures an RFC 3339 time, with `T` or a space, with or without seconds, fraction and zone.
fn time(text: &str) -> Option<usize> {
    let shape = |pattern: &str, text: &str| {
        let fits = |(wanted, byte): (u8, u8)| {
            if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted }
        };
        (text.len() >= pattern.len() && pattern.bytes().zip(text.bytes()).all(fits)).then_some(pattern.len())
    };
    let mut length = shape("0000-00-00T00:00", text).or_else(|| shape("0000-00-00 00:00", text))?;
    if let Some(seconds) = shape(":00", &text[length..]) {
        length += seconds;
        if text[length..].starts_with('.') {
            length += 1 + digits(&text[length + 1..]);
        }
    }
    let zones = ["Z", "+00:00", "-00:00", "+0000", "-0000", " +0000", " -0000"];
    length += zones.iter().find_map(|zone| shape(zone, &text[length..])).unwrap_or(0);
    ends_word(&text[length..]).then_some(length)
}

fn duration(text: &str) -> Option<usize> {
    let mut length = digits(text);
    let whole = length;
    if length > 0 && text[length..].starts_with('.') && digits(&text[length + 1..]) > 0 {
        length += 1 + digits(&text[length + 1..]);
    }
    let long: &[&str] = if length > whole { &["m", "h"] } else { &[] };
    let unit = ["s", "ms", "us", "µs", "ns"]
        .iter()
        .chain(long)
        .find(|unit| text[length..].strip_prefix(**unit).is_some_and(ends_word))?;
    (whole > 0).then_some(length + unit.len())
}

fn id(text: &str, before: &str) -> Option<usize> {
    let length = run(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !ends_word(&text[length..]) {
        return None;
    }
    let mixed = digits(text) < length && text[..length].bytes().any(|byte| byte.is_ascii_digit());
    let told = before.ends_with("..") || text[length..].starts_with("..");
    let told = told || BEFORE_IDS.contains(&before.trim_end().rsplit(|c| !is_word(c)).next().unwrap_or_default());
    match length {
        40 | 64 => Some(length),
        7..=16 if mixed || told => Some(length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_differs_from_run_to_run_and_nothing_else() {
        let forty = "0123456789abcdef0123456789abcdef01234567";
        for (line, expected) in [
            (&*format!("{forty}\trefs/heads/main"), "<id>\trefs/heads/main"),
            (&format!("{forty}0 x{forty}"), &format!("{forty}0 x{forty}")),
            ("[main 1a2b3c4] Add", "[main <id>] Add"),
            ("1234567..abcdefa  main", "<id>..<id>  main"),
            ("claim 7654321, 7654321 bytes", "claim <id>, 7654321 bytes"),
            ("defaced facade S01 1a2b", "defaced facade S01 1a2b"),
            ("slot clone-1a2b3c4d", "slot clone-<id>"),
            ("at 2026-01-02T03:04:05.678Z, 2026-01-02 03:04:05 +0200", "at <time>, <time>"),
            ("on 2026-01-02, 2026-01-02T03:04:05+01:00", "on 2026-01-02, <time>"),
            ("took 1.23s, 12ms, 3s, 4µs, 1.5h", "took <dur>, <dur>, <dur>, <dur>, <dur>"),
            ("in 30m or 2h, v1.2s3, 10 s, x3s, 1.2.3", "in 30m or 2h, v1.2s3, 10 s, x3s, 1.2.3"),
            ("/tmp/x/a: é ❯ ok", "$ROOT/a: é ❯ ok"),
            ("", ""),
        ] {
            assert_eq!(normalised(line, "/tmp/x"), expected);
        }
    }

    #[test]
    fn shows_both_streams_and_the_code() {
        let out = Out::new("{}\n".into(), "one\n\ntwo".into(), 3, Path::new("/tmp/x"));
        assert_eq!(out.to_string(), "{}\n! one\n!\n! two\n[exit 3]");
        assert_eq!(out.json(), serde_json::json!({}));
        assert_eq!(
            Out::new(String::new(), String::new(), 0, Path::new("/tmp/x")).success().to_string(),
            "[exit 0]"
        );
    }
}
