//! The values of the frontmatter, each in the form that its key asks for.
//!
//! Owns what is possible for a key: ranges, words, lengths. How a value is got at is `field`'s.

use miette::SourceSpan;

use super::branch::is_branch;
use super::error::SpecError;
use super::field::{Field, Item};
use super::mode::Mode;
use super::yaml::{Kind, Node};
use crate::task::name::{Name, NameKind};
use crate::task::text;

/// The longest label or executor, in characters.
const MAX_WORD: usize = 200;
/// The longest glob, in characters.
const MAX_GLOB: usize = 1000;
/// The longest title, in characters.
const MAX_TITLE: usize = 500;
/// The longest time, in minutes: a year.
const MAX_MINUTES: u32 = 366 * 24 * 60;

impl Field<'_> {
    /// Reads a name; one that is given and left empty is refused rather than replaced by the default.
    pub(super) fn name(&self, kind: NameKind) -> Result<Option<(Name, SourceSpan)>, SpecError> {
        let (text, at) = match &self.value.node {
            // An empty value has no place of its own.
            Node::Scalar { kind: Kind::Null, text } if text.is_empty() => ("", self.key_at),
            _ => match self.text()? {
                Some(text) => (text, self.value.at),
                None => return Ok(None),
            },
        };
        let name = Name::new(kind, text).map_err(|error| SpecError::Name { error, file: self.file.clone(), at })?;
        Ok(Some((name, at)))
    }

    /// Reads a title as one line; what is empty counts as not given.
    pub(super) fn title(&self) -> Result<Option<String>, SpecError> {
        let title = self.text()?.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        if title.chars().count() > MAX_TITLE {
            return Err(
                self.bad("is longer than 500 characters", "a title is one line; the body has room for the rest")
            );
        }
        Ok(Some(title).filter(|title| !title.is_empty()))
    }

    /// Reads a priority: a number from 0, the first, or a word.
    pub(super) fn priority(&self) -> Result<Option<u8>, SpecError> {
        let help = "write a number from 0 (first) to 255, or critical, high, default or low";
        let Some((kind, text)) = self.scalar("a number or a word", help)? else {
            return Ok(None);
        };
        if kind == Kind::Bool {
            return Err(self.wrong("a number or a word", help));
        }
        match text.to_ascii_lowercase().as_str() {
            "critical" => Ok(Some(0)),
            "high" => Ok(Some(1)),
            "default" => Ok(Some(2)),
            "low" => Ok(Some(3)),
            number => number.parse().map(Some).map_err(|_| self.bad_text(text, "is no priority", help)),
        }
    }

    /// Reads a number of minutes, from 1.
    pub(super) fn minutes(&self) -> Result<Option<u32>, SpecError> {
        let (wanted, help) = ("a number of minutes", "write a whole number of minutes, from 1 to 527040 (a year)");
        let Some((kind, text)) = self.scalar(wanted, help)? else {
            return Ok(None);
        };
        match text.parse::<u32>() {
            Ok(minutes @ 1..=MAX_MINUTES) => Ok(Some(minutes)),
            Err(_) if kind != Kind::Number => Err(self.wrong(wanted, help)),
            _ => Err(self.bad_text(text, "is no possible number of minutes", help)),
        }
    }

    /// Reads a yes or no.
    pub(super) fn flag(&self) -> Result<Option<bool>, SpecError> {
        let (wanted, help) = ("true or false", "write `true` or `false`");
        let Some((_, text)) = self.scalar(wanted, help)? else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(self.wrong(wanted, help)),
        }
    }

    /// Reads a mode.
    pub(super) fn mode(&self) -> Result<Option<Mode>, SpecError> {
        let help = "write undecided, push or pull";
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| self.bad_text(text, "is no mode", help))
    }

    /// Reads a command: any text without NUL, which no process can be given.
    pub(super) fn command(&self) -> Result<Option<String>, SpecError> {
        let text = self.text()?.unwrap_or_default().trim_end();
        if text.contains('\0') {
            return Err(self.bad("holds a NUL character", "a command line cannot carry one: take it out"));
        }
        Ok(Some(text.to_owned()).filter(|text| !text.trim().is_empty()))
    }

    /// Reads the name of a branch, as git takes it.
    pub(super) fn branch(&self) -> Result<Option<String>, SpecError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        if is_branch(text) {
            return Ok(Some(text.to_owned()));
        }
        let help = "write the name of a branch of this repository, such as `main`, without `refs/heads/`";
        Err(self.bad_text(text, "is no name of a branch", help))
    }

    /// Reads one short text that goes into a trailer.
    pub(super) fn word(&self) -> Result<Option<String>, SpecError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        self.trailer(&Item { text, at: self.value.at }, MAX_WORD).map(Some)
    }

    /// Reads short texts that go into trailers, each once.
    pub(super) fn words(&self) -> Result<Vec<String>, SpecError> {
        self.trailers(MAX_WORD)
    }

    /// Reads globs, each once.
    pub(super) fn globs(&self) -> Result<Vec<String>, SpecError> {
        self.trailers(MAX_GLOB)
    }

    fn trailers(&self, max: usize) -> Result<Vec<String>, SpecError> {
        let mut texts: Vec<String> = Vec::new();
        for item in self.list()? {
            let text = self.trailer(&item, max)?;
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Ok(texts)
    }

    /// Takes a text that fits on the one line of a trailer, and shows as it is.
    fn trailer(&self, item: &Item<'_>, max: usize) -> Result<String, SpecError> {
        let text = item.text.trim_matches(' ');
        let help = "write it on one line, without control characters or invisible ones";
        let refuse = |problem: &str| Err(self.bad_at(item.at, problem, help));
        if text.is_empty() {
            refuse("has an empty text")
        } else if text.chars().count() > max {
            refuse(&format!("has a text of more than {max} characters"))
        } else if text::escaped(text) != text {
            refuse(&format!("holds a control or invisible character: `{}`", text::excerpt(text, 80)))
        } else {
            Ok(text.to_owned())
        }
    }
}
