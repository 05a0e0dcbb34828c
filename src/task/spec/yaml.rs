//! The frontmatter as YAML: entries with their places, scalars as they were written.
//!
//! Owns the only use of the YAML crate. What a key means, and which form its value should have, is decided elsewhere.
//! serde-saphyr guesses types (`007` is 7, `no` is false); the spans it gives lead back to the text that was written.

use std::fmt;

use miette::SourceSpan;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Location, Options, Spanned};

use super::error::{Source, SpecError};
use crate::task::text;

/// One key of the frontmatter with its value.
pub(super) struct Entry {
    /// The key as written.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) key_at: SourceSpan,
    /// What it says.
    pub(super) value: Value,
}

/// A value and where it stands; for an alias, where it is used.
pub(super) struct Value {
    pub(super) node: Node,
    pub(super) at: SourceSpan,
}

/// What a value is.
pub(super) enum Node {
    Scalar { kind: Kind, text: String },
    List(Vec<Value>),
    Mapping,
}

/// What YAML takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
}

/// Reads frontmatter; it begins at the start of the file, so that its offsets are the file's.
pub(super) fn read(file: &Source, frontmatter: &str) -> Result<Vec<Entry>, SpecError> {
    let root = serde_saphyr::from_str_with_options::<Spanned<Raw>>(frontmatter, options())
        .map_err(|error| refusal(file, frontmatter, &error))?;
    let at = span(frontmatter, root.referenced);
    let found = match root.value {
        Raw::Mapping(pairs) => {
            return pairs.into_iter().map(|(key, value)| entry(file, frontmatter, key, value)).collect();
        }
        Raw::Null => return Ok(Vec::new()),
        Raw::List(_) => "a list",
        Raw::Text(_) | Raw::Typed(..) => "a text",
    };
    Err(SpecError::WrongType {
        key: "frontmatter",
        wanted: "lines of the form `key: value`",
        found,
        help: "write `key: value`; if no frontmatter is meant, put a blank line before the first `---`",
        file: file.clone(),
        at,
    })
}

/// Bounds what the parser does for us, so that no file of 1 MiB keeps us for a second, even unoptimised.
fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        ignore_binary_tag_for_string: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_depth: 24,
            flow_nesting_limit: 24,
            max_documents: 1,
            max_nodes: 20_000,
            max_events: 50_000,
            max_anchors: 100,
            max_aliases: 200,
            max_merge_keys: 20,
            max_total_scalar_bytes: 4 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 5_000,
            max_replay_stack_depth: 8,
        },
    }
}

fn entry(file: &Source, text: &str, key: Spanned<Raw>, value: Spanned<Raw>) -> Result<Entry, SpecError> {
    let key = settle(text, key);
    match key.node {
        Node::Scalar { text: name, .. } => Ok(Entry { key: name, key_at: key.at, value: settle(text, value) }),
        Node::List(_) | Node::Mapping => Err(SpecError::WrongType {
            key: "frontmatter",
            wanted: "texts as keys",
            found: if matches!(key.node, Node::Mapping) { "a mapping" } else { "a list" },
            help: "write `key: value`; a value that begins with `{` or `[` needs quotes",
            file: file.clone(),
            at: key.at,
        }),
    }
}

/// Gives scalars the text that was written, and drops what a mapping holds: no key of ours takes one.
fn settle(text: &str, raw: Spanned<Raw>) -> Value {
    let at = span(text, raw.referenced);
    let node = match raw.value {
        Raw::Null => Node::Scalar { kind: Kind::Null, text: written(text, raw.defined).unwrap_or_default() },
        Raw::Text(text) => Node::Scalar { kind: Kind::Text, text },
        Raw::Typed(kind, guess) => Node::Scalar { kind, text: written(text, raw.defined).unwrap_or(guess) },
        Raw::List(items) => Node::List(items.into_iter().map(|item| settle(text, item)).collect()),
        Raw::Mapping(_) => Node::Mapping,
    };
    Value { node, at }
}

/// Returns a scalar's text as it stands in the file; a tag such as `!!int` may have made a number of a quoted one.
fn written(text: &str, location: Location) -> Option<String> {
    let (start, len) = bytes(location)?;
    let raw = text.get(start..start.checked_add(len)?)?.trim();
    let inner = |quote| raw.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    Some(inner('"').or_else(|| inner('\'')).unwrap_or(raw).to_owned())
}

fn bytes(location: Location) -> Option<(usize, usize)> {
    let span = location.span();
    Some((usize::try_from(span.byte_offset()?).ok()?, usize::try_from(span.byte_len()?).ok()?))
}

/// Finds a place in the file; parser errors know line and column only.
fn span(text: &str, location: Location) -> SourceSpan {
    if let Some(found) =
        bytes(location).filter(|&(start, len)| text.get(start..start.saturating_add(len)).is_some())
    {
        return SourceSpan::from(found);
    }
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(count(location.line())).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or_default();
    let column: usize = line.chars().take(count(location.column())).map(char::len_utf8).sum();
    SourceSpan::from(start + column)
}

/// Translates the parser's error; its own text names our options, and places that the label shows better.
fn refusal(file: &Source, text: &str, error: &serde_saphyr::Error) -> SpecError {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    let at = error.location().map_or_else(|| SourceSpan::from(0), |location| span(text, location));
    let file = file.clone();
    let (message, help) = match error {
        Yaml::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "the key".to_owned(), |key| text::excerpt(key, 80));
            let note = "a mapping has each key once".to_owned();
            return SpecError::DuplicateKey { key, note, file, first: None, at };
        }
        Yaml::Budget { .. }
        | Yaml::AliasReplayLimitExceeded { .. }
        | Yaml::AliasExpansionLimitExceeded { .. }
        | Yaml::AliasReplayStackDepthExceeded { .. }
        | Yaml::RecursiveReferencesRequireWeakTypes { .. } => (
            "it is too deep, or too much once its aliases are followed".to_owned(),
            "frontmatter is flat: `key: value` and lists of texts; move the rest to the body",
        ),
        other => (
            first_words(&other.to_string()),
            "quote a value that holds `: ` or ` #`, or begins with one of `@ * & ! % { [ |`; close every quote and bracket",
        ),
    };
    SpecError::Syntax { message, help, file, at }
}

/// Cuts the parser's own account of the place off its message.
fn first_words(message: &str) -> String {
    text::excerpt(message.split(" at line ").next().unwrap_or(message), 200)
}

/// A node as the parser hands it over.
enum Raw {
    Null,
    Text(String),
    Typed(Kind, String),
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Bool, value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Number, value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Number, value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Number, value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Number, value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(Kind::Number, value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Mapping(pairs))
    }
}
