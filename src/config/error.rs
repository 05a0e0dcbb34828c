//! Owns the one error of loading settings: what, where, and what to do. Does not own the exit code (the face maps every
//! `dispatch::config::…` to wrong usage).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use super::origin::Origin;
use super::path::KeyPath;
use crate::task::text::masked;

/// Sorts what can be wrong with settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The file is not TOML.
    Syntax,
    /// There is no such setting.
    UnknownKey,
    /// The setting exists, and takes another type.
    WrongType,
    /// The type fits, the value does not.
    BadValue,
    /// What should be the name of a node or a project is none.
    BadName,
}

impl ErrorKind {
    /// Gives the stable code that scripts and `git dispatch explain` know.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "dispatch::config::syntax",
            Self::UnknownKey => "dispatch::config::unknown_key",
            Self::WrongType => "dispatch::config::wrong_type",
            Self::BadValue => "dispatch::config::bad_value",
            Self::BadName => "dispatch::name::invalid",
        }
    }
}

/// Says what is wrong with a setting, where it was given, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    place: Option<Box<Place>>,
}

/// A piece of the file, with what is to be said about it.
#[derive(Debug, Clone)]
struct Place {
    text: Arc<NamedSource<String>>,
    span: SourceSpan,
    label: String,
}

impl ConfigError {
    /// Makes the error about a value that only its user can judge: a remote that cannot be a hub, for instance.
    ///
    /// `what` continues the setting's name: "is a mirror remote".
    pub fn bad_value(origin: &Origin, path: &KeyPath, what: &str, help: Option<String>) -> Self {
        Self::about(ErrorKind::BadValue, origin, path, what, None).with_help(help)
    }

    /// Makes the error about a file that is not text.
    pub fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Self {
        let at = error.utf8_error().valid_up_to();
        let text = Arc::new(NamedSource::new(name, String::from_utf8_lossy(error.as_bytes()).into_owned()));
        Self::new(ErrorKind::Syntax, format!("{} is not UTF-8 text", name.escape_debug()))
            .at(&text, &(at..at + "\u{fffd}".len()), "here")
            .with_help(Some("save it as UTF-8".to_owned()))
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, place: None }
    }

    /// Makes the error about a setting that was given at `origin`: the message begins with its name as it is written
    /// there, the label shows the value where it is in a file.
    pub(crate) fn about(
        kind: ErrorKind,
        origin: &Origin,
        path: &KeyPath,
        what: &str,
        text: Option<&Arc<NamedSource<String>>>,
    ) -> Self {
        let error = Self::new(kind, format!("{} {what}", origin.subject(path)));
        match (origin, text) {
            (Origin::File { span, .. }, Some(text)) => error.at(text, span, "given here"),
            _ => error,
        }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Shows a piece of the text. Parsers may point behind its end; the renderer must not be sent there.
    #[must_use]
    pub(crate) fn at(mut self, text: &Arc<NamedSource<String>>, span: &Range<usize>, label: &str) -> Self {
        let length = text.inner().len();
        let start = span.start.min(length);
        let end = span.end.clamp(start, length);
        let span = SourceSpan::new(start.into(), end - start);
        // The file may be somebody else's: what is shown of it must not drive the terminal.
        let text = Arc::new(NamedSource::new(text.name(), masked(text.inner())));
        self.place = Some(Box::new(Place { text, span, label: label.to_owned() }));
        self
    }

    /// Tells which kind of mistake it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Diagnostic for ConfigError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.kind.code()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| place.text.as_ref() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let label = LabeledSpan::new_with_span(Some(place.label.clone()), place.span);
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_behind_the_end_is_drawn_in() {
        let text = Arc::new(NamedSource::new("f.toml", "a = 1\n".to_owned()));
        let error = ConfigError::new(ErrorKind::Syntax, "x").at(&text, &(90..99), "here");
        let spans: Vec<_> = error.labels().unwrap().map(|label| (label.offset(), label.len())).collect();
        assert_eq!(spans, [(6, 0)]);
    }

    #[test]
    fn the_message_names_the_setting_as_its_giver_wrote_it() {
        let path = KeyPath::parse("node.slots");
        let origin = Origin::GitConfig { key: "dispatch.node.slots".into(), scope: "local".into() };
        let error = ConfigError::about(ErrorKind::BadValue, &origin, &path, "is 0", None);
        assert_eq!(error.to_string(), "git config `dispatch.node.slots` (local) is 0");
        assert_eq!(error.code().unwrap().to_string(), "dispatch::config::bad_value");
        assert!(error.source_code().is_none());
    }
}
