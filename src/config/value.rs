//! Owns what a single value may be: its type and its bounds. Does not own where it came from, how texts become values
//! (`texts`), nor rules between settings (`check`).

use toml::Value;

use super::duration::{Dur, DurError};
use super::error::{ConfigError, ErrorKind};
use super::model::Timeout;
use super::near::nearest;
use super::origin::Origin;
use super::path::KeyPath;
use super::refname;
use super::schema::Kind;

/// The priorities by name, as specs write them.
const PRIORITIES: [&str; 4] = ["critical", "high", "default", "low"];

/// Where in a value the problem is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spot {
    Whole,
    Element(usize),
    Entry(String),
}

/// What is wrong with a value. `what` continues the setting's name: "takes …", "is …".
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) of_type: bool,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
    pub(crate) spot: Spot,
}

impl Problem {
    /// Makes the error of it, for a layer without a text to show.
    pub(crate) fn into_error(self, origin: &Origin, path: &KeyPath) -> ConfigError {
        ConfigError::about(self.kind(), origin, path, &self.what, None).with_help(self.help)
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        if self.of_type { ErrorKind::WrongType } else { ErrorKind::BadValue }
    }
}

/// Says in words what a kind takes, with an example.
fn expected(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Text | Kind::RefPrefix | Kind::BranchPrefix | Kind::Branch => ("a text", "\"…\""),
        Kind::Bool => ("true or false", "true"),
        Kind::Count(..) => ("a whole number", "3"),
        Kind::Fraction => ("a number from 0.0 to 1.0", "0.7"),
        Kind::Duration | Kind::Period => ("a duration", "\"30s\""),
        Kind::Timeout => ("a duration or a multiple of the estimate", "\"2h\" or \"3x\""),
        Kind::Choice(_) => ("a word", "\"…\""),
        Kind::Choices(_) | Kind::Texts | Kind::Globs => ("a list of texts", "[\"…\"]"),
        Kind::Argv => ("a list of texts, the program first", "[\"program\", \"argument\"]"),
        Kind::Verify => ("a shell line or a list of texts", "\"make check\" or [\"make\", \"check\"]"),
        Kind::Models => ("a table of texts by priority", "{ default = \"…\" }"),
        Kind::Variables => ("a table of texts by variable", "{ NAME = \"…\" }"),
    }
}

/// Names a value's type with its article.
pub(crate) fn type_in_words(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

pub(crate) fn wrong_type(kind: Kind, got: &str, spot: Spot) -> Problem {
    let (takes, example) = expected(kind);
    Problem {
        of_type: true,
        what: format!("takes {takes}, not {got}"),
        help: Some(format!("write {example}")),
        spot,
    }
}

fn bad(what: impl Into<String>, help: impl Into<Option<String>>, spot: Spot) -> Problem {
    Problem { of_type: false, what: what.into(), help: help.into(), spot }
}

/// Judges a value that has a type already, and gives it back.
pub(crate) fn judge(kind: Kind, value: Value) -> Result<Value, Problem> {
    match (&value, kind) {
        (Value::Boolean(_), Kind::Bool) => {}
        (Value::Integer(number), Kind::Count(least, most)) => judge_count(*number, least, most)?,
        (Value::Integer(0 | 1) | Value::Float(_), Kind::Fraction) => return judge_fraction(&value),
        (Value::Integer(number), Kind::Fraction) => {
            return Err(bad(format!("is {number}, over 1.0"), None, Spot::Whole));
        }
        (Value::String(text), _) if takes_text(kind) => judge_text(kind, text, Spot::Whole)?,
        (Value::Array(items), _) if takes_list(kind) => judge_list(kind, items)?,
        (Value::Table(entries), Kind::Models | Kind::Variables) => judge_table(kind, entries)?,
        _ => {
            return Err(wrong_type(kind, &type_in_words(value.type_str()), Spot::Whole));
        }
    }
    Ok(value)
}

pub(crate) fn takes_list(kind: Kind) -> bool {
    matches!(kind, Kind::Texts | Kind::Argv | Kind::Globs | Kind::Choices(_) | Kind::Verify)
}

fn takes_text(kind: Kind) -> bool {
    use Kind::{Branch, BranchPrefix, Choice, Duration, Period, RefPrefix, Text, Timeout, Verify};
    matches!(kind, Text | Duration | Period | Timeout | Choice(_) | Verify | RefPrefix | BranchPrefix | Branch)
}

fn judge_count(number: i64, least: i64, most: i64) -> Result<(), Problem> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    let (side, bound) = if number < least { ("under", least) } else { ("over", most) };
    Err(bad(format!("is {number}, {side} {bound}"), format!("write a number from {least} to {most}"), Spot::Whole))
}

fn judge_fraction(value: &Value) -> Result<Value, Problem> {
    let number = match value {
        Value::Integer(1) => 1.0,
        Value::Float(number) => *number,
        _ => 0.0,
    };
    match (0.0..=1.0).contains(&number) {
        true => Ok(Value::Float(number)),
        false => Err(bad(format!("is {number}, not from 0.0 to 1.0"), None, Spot::Whole)),
    }
}

fn judge_list(kind: Kind, items: &[Value]) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        let Value::String(text) = item else {
            let got = format!("{} in it", type_in_words(item.type_str()));
            return Err(wrong_type(kind, &got, Spot::Element(index)));
        };
        if index == 0 && text.is_empty() && matches!(kind, Kind::Argv | Kind::Verify) {
            return Err(bad("names no program", None, Spot::Element(index)));
        }
        let of_items = if let Kind::Choices(words) = kind { Kind::Choice(words) } else { kind };
        judge_text(of_items, text, Spot::Element(index))?;
    }
    Ok(())
}

fn judge_table(kind: Kind, entries: &toml::Table) -> Result<(), Problem> {
    for (name, value) in entries {
        let spot = Spot::Entry(name.clone());
        let Value::String(text) = value else {
            let got = format!("{} for {name:?}", type_in_words(value.type_str()));
            return Err(wrong_type(kind, &got, spot));
        };
        if kind == Kind::Models && !PRIORITIES.contains(&name.as_str()) && name.parse::<u32>().is_err() {
            let help = match nearest(name, PRIORITIES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a priority is one of {}, or a number", PRIORITIES.join(", ")),
            };
            return Err(bad(format!("has {name:?}, which is no priority"), help, spot));
        }
        if kind == Kind::Variables && (name.is_empty() || name.contains(['=', '\0'])) {
            return Err(bad(format!("has {name:?}, which is no variable's name"), None, spot));
        }
        judge_text(Kind::Text, text, spot)?;
    }
    Ok(())
}

fn judge_text(kind: Kind, text: &str, spot: Spot) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(bad("holds a NUL character, which no program can be given", None, spot));
    }
    match kind {
        Kind::Duration | Kind::Period => judge_duration(text, kind == Kind::Period, spot),
        Kind::Timeout => match text.parse::<Timeout>() {
            Ok(_) => Ok(()),
            Err(_) if text.ends_with('x') => Err(bad(
                format!("is {text:?}, not a multiple over zero"),
                "write \"3x\" or \"1.5x\"".to_owned(),
                spot,
            )),
            Err(_) => judge_duration(text, true, spot),
        },
        Kind::Choice(words) if !words.contains(&text) => {
            let help = match nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            Err(bad(format!("has the unknown value {text:?}"), help, spot))
        }
        Kind::Globs => match globset::Glob::new(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(bad(format!("has {text:?}, which is no glob: {}", error.kind()), None, spot)),
        },
        Kind::RefPrefix => judge_name(text, refname::wrong_ref_prefix, "write as in \"refs/dispatch/\"", spot),
        Kind::BranchPrefix => judge_name(text, refname::wrong_branch_prefix, "write as in \"task/\"", spot),
        Kind::Branch => judge_name(text, refname::wrong_branch, "write as in \"main\"", spot),
        _ => Ok(()),
    }
}

fn judge_name(text: &str, wrong: fn(&str) -> Option<&'static str>, help: &str, spot: Spot) -> Result<(), Problem> {
    match wrong(text) {
        None => Ok(()),
        Some(why) => Err(bad(format!("is {text:?}, which {why}"), help.to_owned(), spot)),
    }
}

fn judge_duration(text: &str, over_zero: bool, spot: Spot) -> Result<(), Problem> {
    let help = "a duration is a whole number and a unit: 200ms, 30s, 5m, 2h, 30d".to_owned();
    match text.parse::<Dur>() {
        Ok(duration) if over_zero && duration.is_zero() => {
            Err(bad(format!("is {text:?}, and must be over zero"), None, spot))
        }
        Ok(_) => Ok(()),
        Err(DurError::Form) => Err(bad(format!("is {text:?}, which is no duration"), help, spot)),
        Err(DurError::TooLong) => Err(bad(format!("is {text:?}, over a hundred years"), help, spot)),
    }
}
