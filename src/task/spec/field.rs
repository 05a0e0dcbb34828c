//! A known key with its value: as one text, as a list, or as an error that points at it.
//!
//! Knows forms only; which form a key asks for is for `values`. An unquoted null (`~`, `null` or nothing) means: not
//! given.

use std::fmt::Display;

use miette::SourceSpan;

use super::error::{Source, SpecError};
use super::yaml::{Kind, Node, Value};
use crate::task::text;

/// The most entries of a list: each becomes a trailer of the spec commit.
const MAX_ITEMS: usize = 1000;

/// One known key with its value, and all that an error about it has to say.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) file: &'a Source,
    pub(super) key: &'static str,
    pub(super) key_at: SourceSpan,
    pub(super) value: &'a Value,
}

/// One text of a list, and where it stands.
pub(super) struct Item<'a> {
    pub(super) text: &'a str,
    pub(super) at: SourceSpan,
}

impl<'a> Field<'a> {
    /// Reads a list of texts; one text is a list of one, a number is not.
    pub(super) fn list(&self) -> Result<Vec<Item<'a>>, SpecError> {
        let (wanted, help) = (
            "a list of texts",
            "write `[a, b]`; a text that looks like a number needs quotes when it stands alone",
        );
        let items = match &self.value.node {
            Node::Scalar { kind: Kind::Null, .. } => return Ok(Vec::new()),
            Node::Scalar { kind: Kind::Bool | Kind::Text, text } => vec![Item { text, at: self.value.at }],
            Node::Scalar { kind: Kind::Number, .. } | Node::Mapping => return Err(self.wrong(wanted, help)),
            Node::List(values) => {
                let item = |value: &'a Value| match &value.node {
                    Node::Scalar { kind, text } if *kind != Kind::Null => Ok(Item { text, at: value.at }),
                    _ => Err(Field { value, ..*self }.wrong("texts in its list", help)),
                };
                values.iter().map(item).collect::<Result<_, _>>()?
            }
        };
        if items.len() > MAX_ITEMS {
            return Err(self.bad("has more than 1000 entries", "cut the task in several, or name less"));
        }
        Ok(items)
    }

    /// Returns a scalar as it is written, whatever YAML takes it for.
    pub(super) fn text(&self) -> Result<Option<&'a str>, SpecError> {
        let help = "write one text; a text that begins with `[` or `{` needs quotes";
        Ok(self.scalar("a text", help)?.map(|(_, text)| text))
    }

    pub(super) fn scalar(
        &self,
        wanted: &'static str,
        help: &'static str,
    ) -> Result<Option<(Kind, &'a str)>, SpecError> {
        match &self.value.node {
            Node::Scalar { kind: Kind::Null, .. } => Ok(None),
            Node::Scalar { kind, text } => Ok(Some((*kind, text))),
            Node::List(_) | Node::Mapping => Err(self.wrong(wanted, help)),
        }
    }

    pub(super) fn wrong(&self, wanted: &'static str, help: &'static str) -> SpecError {
        let found = match &self.value.node {
            Node::Scalar { kind: Kind::Null, .. } => "nothing",
            Node::Scalar { kind: Kind::Bool, .. } => "a yes or no",
            Node::Scalar { kind: Kind::Number, .. } => "a number",
            Node::Scalar { kind: Kind::Text, .. } => "a text",
            Node::List(_) => "a list",
            Node::Mapping => "a mapping",
        };
        SpecError::WrongType { key: self.key, wanted, found, help, file: self.file.clone(), at: self.value.at }
    }

    pub(super) fn bad_text(&self, value: &str, problem: &str, help: &'static str) -> SpecError {
        self.bad(format!("is `{}`, which {problem}", text::excerpt(value, 80)), help)
    }

    pub(super) fn bad(&self, problem: impl Display, help: &'static str) -> SpecError {
        self.bad_at(self.value.at, problem, help)
    }

    pub(super) fn bad_at(&self, at: SourceSpan, problem: impl Display, help: &'static str) -> SpecError {
        SpecError::BadValue { key: self.key, problem: problem.to_string(), help, file: self.file.clone(), at }
    }
}
