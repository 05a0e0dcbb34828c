//! The names of projects, tasks and nodes.
//!
//! Owns what a name may look like (DESIGN.md 2.1). Whether two tasks of a queue clash is for whoever sees the queue;
//! how names become ref names is `hub::layout`'s.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::task::text;

/// The longest name, in characters.
pub const MAX_LEN: usize = 64;

/// Says what a name is of; errors say it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A project.
    Project,
    /// A task's id within its project.
    Task,
    /// A node.
    Node,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Project => "project",
            Self::Task => "task",
            Self::Node => "node",
        })
    }
}

/// Says why a text is not taken as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum NameError {
    /// The text does not have the form of a name.
    #[error("`{shown}` is not a valid {kind} name")]
    #[diagnostic(
        code(dispatch::name::invalid),
        help(
            "a name is 1 to 64 of A-Z a-z 0-9 . _ -, begins with a letter or digit, holds no `..`, and does not end in `.` or `.lock`"
        )
    )]
    Invalid {
        /// What it was to name.
        kind: NameKind,
        /// The text, escaped and cut short.
        shown: String,
    },
    /// The name differs from one in use only in letter case, which some file systems cannot tell apart.
    #[error("`{name}` differs from `{other}` only in letter case")]
    #[diagnostic(
        code(dispatch::name::case_clash),
        help("spell it `{other}` if that is meant, else choose a name that differs in more than case")
    )]
    CaseClash {
        /// The name that was asked for.
        name: String,
        /// The name in use.
        other: String,
    },
}

impl NameError {
    /// Builds the error for a text that is no name.
    fn invalid(kind: NameKind, text: &str) -> Self {
        Self::Invalid { kind, shown: text::excerpt(text, 80) }
    }
}

/// Holds one valid component of a ref name: a project, a task's id or a node.
///
/// Safe as a path component, as a ref component and as an argument: it cannot begin with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes a text as a name, or says why not.
    pub fn new(kind: NameKind, text: &str) -> Result<Self, NameError> {
        if is_valid(text) { Ok(Self(text.into())) } else { Err(NameError::invalid(kind, text)) }
    }

    /// Makes a name from any text, such as a folder's name: `my proj é` becomes `my-proj`.
    ///
    /// When nothing of the text can be kept, the fallback is treated in the same way, and then `x` is the name.
    pub fn sanitized(text: &str, fallback: &str) -> Self {
        [text, fallback].into_iter().find_map(reduced).unwrap_or_else(|| Self("x".into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key under which two names clash: the name in lower case.
    pub fn fold(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Names a task of the whole queue: `<project>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName {
    /// The project.
    pub project: Name,
    /// The id within the project.
    pub id: Name,
}

impl TaskName {
    /// Takes `<project>/<id>` apart; a text without `/` is no task name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some((project, id)) = text.split_once('/') else {
            return Err(NameError::invalid(NameKind::Task, text));
        };
        Ok(Self { project: Name::new(NameKind::Project, project)?, id: Name::new(NameKind::Task, id)? })
    }

    /// Returns the key under which two task names clash: the name in lower case.
    pub fn fold(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.width() {
            None => write!(f, "{}/{}", self.project.as_str(), self.id.as_str()),
            Some(_) => f.pad(&format!("{}/{}", self.project, self.id)),
        }
    }
}

impl Serialize for TaskName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The rule itself, in one place.
fn is_valid(text: &str) -> bool {
    text.len() <= MAX_LEN
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_name_char)
        && !text.contains("..")
        && !text.ends_with('.')
        && !text.ends_with(".lock")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Keeps of a text what may be in a name, or nothing if too little is left.
fn reduced(text: &str) -> Option<Name> {
    let mut kept = String::new();
    for c in text.chars().map(|c| if is_name_char(c) { c } else { '-' }) {
        let begins_badly = kept.is_empty() && !c.is_ascii_alphanumeric();
        let repeats = matches!(c, '-' | '.') && kept.ends_with(c);
        if !begins_badly && !repeats {
            kept.push(c);
        }
        if kept.len() == MAX_LEN {
            break;
        }
    }
    kept.truncate(kept.trim_end_matches(['-', '.', '_']).len());
    if let Some(stem) = kept.strip_suffix(".lock") {
        kept = format!("{stem}-lock");
    }
    is_valid(&kept).then_some(Name(kept.into()))
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names_are_taken_as_they_are() {
        let longest = "a".repeat(64);
        for text in ["S01", "007", "a", "a.b", "a-b_c.d", "9", "lock", "a.locks", "N", &longest] {
            assert_eq!(Name::new(NameKind::Task, text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let refused = include_str!("../../fixtures/names/refused.json");
        let refused: Vec<String> = serde_json::from_str(refused).unwrap();
        for text in refused.iter().map(String::as_str).chain(["a\0"]) {
            let error = Name::new(NameKind::Node, text).unwrap_err();
            assert_eq!(error.code().unwrap().to_string(), "dispatch::name::invalid", "{text:?}");
        }
    }

    #[test]
    fn an_error_shows_the_text_escaped_and_cut() {
        let error = Name::new(NameKind::Project, "a\x1b[2J").unwrap_err();
        assert_eq!(error.to_string(), "`a\\u{1b}[2J` is not a valid project name");
        let error = Name::new(NameKind::Task, &"é".repeat(500)).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}…` is not a valid task name", "é".repeat(80)));
        assert!(error.help().unwrap().to_string().contains("begins with a letter or digit"));
    }

    #[test]
    fn a_clash_names_both() {
        let clash = NameError::CaseClash { name: "s1".into(), other: "S1".into() };
        assert_eq!(clash.to_string(), "`s1` differs from `S1` only in letter case");
        assert_eq!(clash.code().unwrap().to_string(), "dispatch::name::case_clash");
        let name = |text| Name::new(NameKind::Task, text).unwrap();
        assert_eq!(name("S1").fold(), name("s1").fold());
        assert_eq!(TaskName::parse("P/S1").unwrap().fold(), "p/s1");
    }

    #[test]
    fn task_names() {
        let name = TaskName::parse("gem-platform/S01").unwrap();
        assert_eq!((name.project.as_str(), name.id.as_str()), ("gem-platform", "S01"));
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"gem-platform/S01\"");
        assert_eq!(format!("{:>18}|", name), "  gem-platform/S01|");
        for text in ["S01", "", "/", "p/", "/S01", "p/a/b", "p /a"] {
            assert!(TaskName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn any_folder_gives_a_name() {
        let cases = [
            ("my proj é", "my-proj"),
            ("gem-platform", "gem-platform"),
            (".dotfiles", "dotfiles"),
            ("a..b", "a.b"),
            ("repo.lock", "repo-lock"),
            ("é", "fallback"),
            ("", "fallback"),
            ("  (x)  ", "x"),
            ("项目 2", "2"),
            ("a.", "a"),
        ];
        for (text, name) in cases {
            assert_eq!(Name::sanitized(text, "fallback").as_str(), name, "{text:?}");
        }
        assert_eq!(Name::sanitized("é", "…").as_str(), "x");
    }

    proptest! {
        #[test]
        fn names_round_trip(text in "[A-Za-z0-9][A-Za-z0-9_-]{0,63}") {
            let name = Name::new(NameKind::Task, &text).unwrap();
            prop_assert_eq!(name.to_string(), text.clone());
            prop_assert_eq!(serde_json::to_value(&name).unwrap(), serde_json::Value::from(text.clone()));
            let task = TaskName::parse(&format!("{text}/{text}")).unwrap();
            prop_assert_eq!(TaskName::parse(&task.to_string()).unwrap(), task);
        }

        #[test]
        fn what_is_taken_is_harmless(text in "[-./a-zL@{ é\\x00-\\x1f]{0,70}") {
            if let Ok(name) = Name::new(NameKind::Task, &text) {
                let name = name.as_str();
                prop_assert!(!name.starts_with('-') && !name.contains("..") && !name.contains('/') && name.is_ascii());
            }
        }

        #[test]
        fn sanitizing_never_fails_and_settles(text in any::<String>(), fallback in any::<String>()) {
            let name = Name::sanitized(&text, &fallback);
            prop_assert!(is_valid(name.as_str()), "{:?}", name);
            prop_assert_eq!(Name::sanitized(name.as_str(), "y"), name);
        }
    }
}
