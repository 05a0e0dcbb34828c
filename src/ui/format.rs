//! Lines of one's own making, in the language of `git for-each-ref --format`.
//!
//! Owns the language: `%(field)`, `%(field:modifier)`, `%%`, `%xx`, `%(color:…)`, `%(align:…)…%(end)`,
//! `%(if)…%(then)…%(else)…%(end)`. What the fields hold is told by a document. No value can drive a terminal.

use jiff::Timestamp;
use serde_json::Value;

use super::colour;
use super::table::columns_of;
use super::time::ago;
use crate::task::text::{escaped, lasting};

/// A format that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field { name: String, shape: Shape },
    Colour(String),
    Align { width: usize, position: Position, inner: Vec<Part> },
    If { test: Test, of: Vec<Part>, then: Vec<Part>, other: Vec<Part> },
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Short(usize),
    Relative,
    Unix,
    Lasting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Left,
    Middle,
    Right,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Filled,
    Equals(String),
    Differs(String),
}

/// What a format is written out with.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether colours are wanted.
    pub coloured: bool,
    /// The time by which others are called long ago.
    pub now: Timestamp,
}

/// Why a format cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There is no such field.
    #[error("unknown field `{0}`")]
    Field(String),
    /// The field has no such modifier.
    #[error("`{0}` cannot be written so: {1}")]
    Modifier(String, &'static str),
    /// `%(…` without its end.
    #[error("`%({0}` is not closed")]
    Unclosed(String),
    /// `%(end)` and the like where nothing was begun, or nothing where they are needed.
    #[error("`%({0})` {1}")]
    Misplaced(String, &'static str),
    /// A colour that nobody knows.
    #[error("unknown colour `{0}`")]
    Colour(String),
}

/// Reads a format; `fields` are the names that there are.
pub fn parse(text: &str, fields: &[&str]) -> Result<Format, Wrong> {
    let mut reader = Reader { rest: text, fields };
    let (parts, end) = reader.parts()?;
    match end {
        None => Ok(Format(parts)),
        Some(end) => Err(Wrong::Misplaced(end.to_owned(), "stands where nothing was begun")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    fields: &'a [&'a str],
}

impl<'a> Reader<'a> {
    /// Reads up to the end, or to `then`, `else` or `end`, which is returned.
    fn parts(&mut self) -> Result<(Vec<Part>, Option<&'a str>), Wrong> {
        let mut parts = Vec::new();
        while let Some(at) = self.rest.find('%') {
            push_text(&mut parts, &self.rest[..at]);
            let after = &self.rest[at + 1..];
            if let Some(inner) = after.strip_prefix('(') {
                let end = inner.find(')').ok_or_else(|| Wrong::Unclosed(escaped(inner)))?;
                let atom = &inner[..end];
                self.rest = &inner[end + 1..];
                if matches!(atom, "then" | "else" | "end") {
                    return Ok((parts, Some(atom)));
                }
                parts.push(self.atom(atom)?);
            } else if let Some(byte) = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                // A format is its user's own: what it writes is not made harmless.
                push_text(&mut parts, &char::from(byte).to_string());
                self.rest = &after[2..];
            } else {
                push_text(&mut parts, "%");
                self.rest = after.strip_prefix('%').unwrap_or(after);
            }
        }
        push_text(&mut parts, self.rest);
        self.rest = "";
        Ok((parts, None))
    }

    fn atom(&mut self, atom: &'a str) -> Result<Part, Wrong> {
        let (name, modifier) = atom.split_once(':').map_or((atom, None), |(name, rest)| (name, Some(rest)));
        match name {
            "color" | "colour" => {
                let said = modifier.unwrap_or_default();
                Ok(Part::Colour(colour::code(said).ok_or_else(|| Wrong::Colour(escaped(said)))?))
            }
            "align" => {
                let (width, position) = alignment(modifier.unwrap_or_default()).ok_or(Wrong::Misplaced(
                    escaped(atom),
                    "needs a width, such as `%(align:20)` or `%(align:8,right)`",
                ))?;
                let inner = self.until(&["end"], atom)?.0;
                Ok(Part::Align { width, position, inner })
            }
            "if" => self.condition(atom, modifier),
            name => {
                let known = self.fields.iter().find(|field| **field == name);
                let name = known.ok_or_else(|| Wrong::Field(escaped(name)))?;
                Ok(Part::Field { name: (*name).to_owned(), shape: shape(name, modifier)? })
            }
        }
    }

    fn condition(&mut self, atom: &str, modifier: Option<&str>) -> Result<Part, Wrong> {
        let test = match modifier.map(|said| said.split_once('=').unwrap_or((said, ""))) {
            None => Test::Filled,
            Some(("equals", value)) => Test::Equals(value.to_owned()),
            Some(("notequals", value)) => Test::Differs(value.to_owned()),
            Some(_) => return Err(Wrong::Misplaced(escaped(atom), "knows `equals=` and `notequals=`")),
        };
        let of = self.until(&["then"], atom)?.0;
        let (then, end) = self.until(&["else", "end"], atom)?;
        let other = if end == "else" { self.until(&["end"], atom)?.0 } else { Vec::new() };
        Ok(Part::If { test, of, then, other })
    }

    fn until(&mut self, ends: &[&str], begun: &str) -> Result<(Vec<Part>, &'a str), Wrong> {
        match self.parts()? {
            (parts, Some(end)) if ends.contains(&end) => Ok((parts, end)),
            (_, Some(end)) => Err(Wrong::Misplaced(end.to_owned(), "stands where it does not belong")),
            (_, None) => Err(Wrong::Misplaced(escaped(begun), "has no `%(end)`, or no `%(then)`")),
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn alignment(said: &str) -> Option<(usize, Position)> {
    let (mut width, mut position) = (None, Position::Left);
    for part in said.split(',') {
        let value = part.strip_prefix("width=").or(part.strip_prefix("position=")).unwrap_or(part);
        match value {
            "left" => position = Position::Left,
            "middle" => position = Position::Middle,
            "right" => position = Position::Right,
            number => width = Some(number.parse().ok().filter(|width| *width <= 1000)?),
        }
    }
    Some((width?, position))
}

fn shape(name: &str, modifier: Option<&str>) -> Result<Shape, Wrong> {
    let is_time = name.ends_with("_at") || name == "hold_until";
    let is_id = matches!(name, "spec" | "claim" | "result" | "merge_commit" | "artifact_hash");
    let Some(modifier) = modifier else { return Ok(Shape::Plain) };
    let length = modifier.strip_prefix("short=").and_then(|length| length.parse().ok());
    match modifier {
        "short" if is_id => Ok(Shape::Short(10)),
        _ if is_id && length.is_some_and(|length: usize| length >= 4) => Ok(Shape::Short(length.unwrap_or(10))),
        "relative" if is_time => Ok(Shape::Relative),
        "unix" if is_time => Ok(Shape::Unix),
        "lasting" if name.ends_with("_seconds") => Ok(Shape::Lasting),
        _ => {
            let help = match (is_id, is_time, name.ends_with("_seconds")) {
                (true, ..) => "`:short` or `:short=N`",
                (_, true, _) => "`:relative` or `:unix`",
                (.., true) => "`:lasting`",
                _ => "it has no modifier",
            };
            Err(Wrong::Modifier(escaped(&format!("{name}:{modifier}")), help))
        }
    }
}

impl Format {
    /// Writes one line for a document, without its end. A colour that was set ends with the line.
    pub fn line(&self, document: &Value, look: Look) -> String {
        let mut out = Line { look, document, text: String::new(), columns: 0, is_set: false };
        out.write(&self.0);
        if out.is_set {
            out.text.push_str("\x1b[m");
        }
        out.text
    }

    /// Says whether a field is named anywhere in it.
    pub fn names(&self, field: &str) -> bool {
        fn any(parts: &[Part], field: &str) -> bool {
            parts.iter().any(|part| match part {
                Part::Field { name, .. } => name == field,
                Part::Align { inner, .. } => any(inner, field),
                Part::If { of, then, other, .. } => [of, then, other].iter().any(|parts| any(parts, field)),
                Part::Text(_) | Part::Colour(_) => false,
            })
        }
        any(&self.0, field)
    }
}

struct Line<'a> {
    look: Look,
    document: &'a Value,
    text: String,
    columns: usize,
    is_set: bool,
}

impl Line<'_> {
    fn write(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Text(text) => self.plain(text),
                Part::Field { name, shape } => {
                    self.plain(&shown(&self.document[name.as_str()], *shape, self.look.now))
                }
                Part::Colour(code) => {
                    if self.look.coloured {
                        self.text.push_str(&format!("\x1b[{code}m"));
                        self.is_set = !code.is_empty();
                    }
                }
                Part::Align { width, position, inner } => self.align(*width, *position, inner),
                Part::If { test, of, then, other } => {
                    let told = Line { look: Look { coloured: false, ..self.look }, ..self.inner() }.of(of).text;
                    let holds = match test {
                        Test::Filled => !told.trim().is_empty(),
                        Test::Equals(value) => told == *value,
                        Test::Differs(value) => told != *value,
                    };
                    self.write(if holds { then } else { other });
                }
            }
        }
    }

    fn plain(&mut self, text: &str) {
        self.columns += columns_of(text);
        self.text.push_str(text);
    }

    fn inner(&self) -> Self {
        Line { look: self.look, document: self.document, text: String::new(), columns: 0, is_set: self.is_set }
    }

    fn of(mut self, parts: &[Part]) -> Self {
        self.write(parts);
        self
    }

    fn align(&mut self, width: usize, position: Position, parts: &[Part]) {
        let inner = self.inner().of(parts);
        let room = width.saturating_sub(inner.columns);
        let before = match position {
            Position::Left => 0,
            Position::Middle => room / 2,
            Position::Right => room,
        };
        self.plain(&" ".repeat(before));
        self.text.push_str(&inner.text);
        self.columns += inner.columns;
        self.is_set = inner.is_set;
        self.plain(&" ".repeat(room - before));
    }
}

/// A value as it is shown: harmless, a list in one line, nothing for null.
fn shown(value: &Value, shape: Shape, now: Timestamp) -> String {
    let text = plain(value);
    match shape {
        Shape::Plain => escaped(&text),
        Shape::Short(length) => escaped(&text.chars().take(length).collect::<String>()),
        Shape::Relative | Shape::Unix => match (text.parse::<Timestamp>(), shape) {
            (Ok(at), Shape::Relative) => ago(now, at),
            (Ok(at), _) => at.as_second().to_string(),
            (Err(_), _) => escaped(&text),
        },
        Shape::Lasting => match value.as_f64() {
            Some(seconds) => lasting(seconds.round().max(0.0) as u64),
            None => escaped(&text),
        },
    }
}

/// A value of a document as one line of text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.contains_key("path") => {
            format!("{} ({})", plain(&fields["path"]), plain(fields.get("kind").unwrap_or(&Value::Null)))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const FIELDS: &[&str] = &["task", "title", "state", "spec", "enqueued_at", "estimate_seconds", "labels"];

    fn written(format: &str, coloured: bool) -> String {
        let document = json!({
            "task": "p/S01", "title": "\u{1b}[31mred 任务", "state": null, "spec": "0123456789abcdef",
            "enqueued_at": "2026-01-02T03:04:05Z", "estimate_seconds": 2700, "labels": ["a", "b"],
        });
        let now = "2026-01-02T04:04:05Z".parse().unwrap();
        parse(format, FIELDS).unwrap().line(&document, Look { coloured, now })
    }

    #[test]
    fn fields_are_filled_in_and_harmless() {
        assert_eq!(written("%(task): %(title) %(state)|", false), "p/S01: \\u{1b}[31mred 任务 |");
        assert_eq!(written("%(spec:short) %(spec:short=4) %(labels)", false), "0123456789 0123 a, b");
        assert_eq!(written("%(enqueued_at:relative) %(enqueued_at:unix)", false), "60 min ago 1767323045");
        assert_eq!(written("%(estimate_seconds:lasting) 100%% %41%0a%x", false), "45 min 100% A\n%x");
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        assert_eq!(written("%(align:8)%(task)%(end)|", false), "p/S01   |");
        assert_eq!(
            written("%(align:width=8,position=right)%(color:red)%(task)%(color:reset)%(end)|", true),
            "   \u{1b}[31mp/S01\u{1b}[m|"
        );
        assert_eq!(written("%(align:9,middle)%(labels)%(end)|", false), "  a, b   |");
        assert_eq!(written("%(align:2)%(task)%(end)|", false), "p/S01|");
    }

    #[test]
    fn colours_end_with_the_line_and_are_only_there_when_wanted() {
        assert_eq!(written("%(color:bold green)%(task)", true), "\u{1b}[1;32mp/S01\u{1b}[m");
        assert_eq!(written("%(color:bold green)%(task)", false), "p/S01");
    }

    #[test]
    fn conditions_are_those_of_git() {
        assert_eq!(written("%(if)%(state)%(then)yes%(else)no%(end)", false), "no");
        assert_eq!(written("%(if)%(task)%(then)yes%(end)!", false), "yes!");
        assert_eq!(
            written("%(if:equals=p/S01)%(task)%(then)%(if)%(state)%(then)a%(else)b%(end)%(end)", false),
            "b"
        );
        assert_eq!(written("%(if:notequals=x)%(task)%(then)yes%(end)", false), "yes");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let wrong = |text: &str| parse(text, FIELDS).unwrap_err().to_string();
        assert_eq!(wrong("%(tsk)"), "unknown field `tsk`");
        assert_eq!(wrong("%(title:short)"), "`title:short` cannot be written so: it has no modifier");
        assert_eq!(
            wrong("%(enqueued_at:short)"),
            "`enqueued_at:short` cannot be written so: `:relative` or `:unix`"
        );
        assert_eq!(wrong("%(task"), "`%(task` is not closed");
        assert_eq!(wrong("%(end)"), "`%(end)` stands where nothing was begun");
        assert_eq!(
            wrong("%(align:x)%(end)"),
            "`%(align:x)` needs a width, such as `%(align:20)` or `%(align:8,right)`"
        );
        assert_eq!(wrong("%(if)%(task)%(end)"), "`%(end)` stands where it does not belong");
        assert_eq!(wrong("%(align:4)%(task)"), "`%(align:4)` has no `%(end)`, or no `%(then)`");
        assert_eq!(wrong("%(color:reddish)"), "unknown colour `reddish`");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[%()a-z:=,0-9é]{0,40}") {
            if let Ok(format) = parse(&text, FIELDS) {
                let look = Look { coloured: true, now: Timestamp::UNIX_EPOCH };
                let _ = format.line(&json!({"task": "x"}), look);
            }
        }
    }
}
