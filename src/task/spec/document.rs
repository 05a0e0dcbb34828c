//! The outer form of a spec file: size, encoding, and where the frontmatter ends.
//!
//! Knows no YAML and no Markdown.

use std::ops::Range;

use miette::SourceSpan;

use super::error::{self, Source, SpecError, Warning};
use super::keys;

/// The largest spec, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A spec file, cut in two.
pub(super) struct Document<'a> {
    /// The file for diagnostics; offsets in `text` are offsets in it.
    pub(super) file: Source,
    /// All of it, without a byte order mark.
    text: &'a str,
    /// The frontmatter with its opening line, without its closing one.
    front: Option<Range<usize>>,
    /// Where the body begins.
    body: usize,
}

impl<'a> Document<'a> {
    /// Looks at the bytes of a file; the name is for errors.
    pub(super) fn open(file_name: &str, bytes: &'a [u8]) -> Result<Self, SpecError> {
        if bytes.len() > MAX_BYTES {
            let start = String::from_utf8_lossy(&bytes[..80]);
            let file = error::source(file_name, &start);
            return Err(SpecError::TooLarge { bytes: bytes.len(), file, at: SourceSpan::from(0) });
        }
        let text = std::str::from_utf8(bytes).map_err(|cause| {
            // Up to the bad byte, the lossy text has the same offsets.
            let file = error::source(file_name, &String::from_utf8_lossy(bytes));
            SpecError::NotUtf8 { file, at: SourceSpan::from(cause.valid_up_to()) }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = error::source(file_name, text);
        if text.trim().is_empty() {
            return Err(SpecError::Empty { file, at: SourceSpan::from(0) });
        }
        let mut lines = Lines { text, at: 0 };
        let opening = lines.next().filter(|line| text[line.clone()].trim_end() == "---");
        let Some(opening) = opening else {
            return Ok(Self { file, text, front: None, body: 0 });
        };
        let closing = lines.find(|line| matches!(text[line.clone()].trim_end(), "---" | "..."));
        match closing {
            Some(line) => Ok(Self { file, text, front: Some(0..line.start), body: line.end }),
            None => Err(SpecError::Unclosed { file, at: SourceSpan::from((opening.start, "---".len())) }),
        }
    }

    /// Returns the frontmatter with its opening line, so that lines and offsets in it are those of the file.
    pub(super) fn frontmatter(&self) -> Option<&'a str> {
        self.front.clone().map(|range| &self.text[range])
    }

    /// Returns what follows the frontmatter, without the blank lines between.
    pub(super) fn body(&self) -> &'a str {
        let mut lines = Lines { text: self.text, at: self.body };
        let start = lines.find(|line| !self.text[line.clone()].trim().is_empty());
        start.map_or("", |line| &self.text[line.start..])
    }

    /// Returns the place behind the last character that is not white space, on a line that has something to show.
    pub(super) fn end(&self) -> SourceSpan {
        SourceSpan::from(self.text.trim_end().len())
    }

    /// Warns of frontmatter that is none because something blank precedes it.
    pub(super) fn warn(&self, warnings: &mut Vec<Warning>) {
        if self.front.is_some() {
            return;
        }
        let mut lines = self.body().lines();
        let fence = lines.next().is_some_and(|line| line.trim() == "---");
        let key =
            lines.next().and_then(|line| line.split_once(':')).is_some_and(|(key, _)| keys::known(key).is_some());
        if fence && key {
            let at = SourceSpan::from((self.text.len() - self.body().trim_start().len(), "---".len()));
            warnings.push(Warning::LateFrontmatter { file: self.file.clone(), at });
        }
    }
}

/// Walks over lines as byte ranges, their ends included.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let rest = &self.text[start..];
        if rest.is_empty() {
            return None;
        }
        self.at = start + rest.find('\n').map_or(rest.len(), |end| end + 1);
        Some(start..self.at)
    }
}
