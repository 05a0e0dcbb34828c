//! What can be wrong with a spec, and what is only odd.
//!
//! Every error and warning carries the file and a span in it. The file's text is masked, since miette prints it raw.

use std::sync::Arc;

use miette::{NamedSource, SourceSpan};

use super::yaml::Entry;
use crate::task::name::NameError;
use crate::task::text;

/// The file that a diagnostic points into: shared, because a spec may be large and its warnings many.
pub type Source = Arc<NamedSource<String>>;

/// Makes a file's text fit to be pointed into; byte offsets stay the same.
pub(super) fn source(file_name: &str, text: &str) -> Source {
    Arc::new(NamedSource::new(text::escaped(file_name), text::masked(text)))
}

/// Says why a spec is refused.
#[derive(Debug, Clone, thiserror::Error, miette::Diagnostic)]
#[allow(missing_docs, reason = "`file` and `at` are the same in every variant: the file and the place in it")]
pub enum SpecError {
    /// There is nothing in the file but white space.
    #[error("the spec is empty")]
    #[diagnostic(
        code(dispatch::spec::empty),
        help("write what is to be done, in Markdown; frontmatter may precede it")
    )]
    Empty {
        #[source_code]
        file: Source,
        #[label("nothing here")]
        at: SourceSpan,
    },
    /// The file is larger than a spec may be.
    #[error("the spec has {bytes} bytes, more than the {} allowed", super::MAX_BYTES)]
    #[diagnostic(
        code(dispatch::spec::too_large),
        help("a spec is a prompt: commit large material to the repository and name its path in the spec")
    )]
    TooLarge {
        /// The file's size.
        bytes: usize,
        #[source_code]
        file: Source,
        #[label("the file begins here")]
        at: SourceSpan,
    },
    /// The file is not text in UTF-8.
    #[error("the spec is not UTF-8 text")]
    #[diagnostic(code(dispatch::spec::not_utf8), help("save the file as UTF-8, or convert it with iconv"))]
    NotUtf8 {
        #[source_code]
        file: Source,
        #[label("the first byte that is not UTF-8")]
        at: SourceSpan,
    },
    /// The frontmatter is opened and never closed.
    #[error("the frontmatter is not closed")]
    #[diagnostic(
        code(dispatch::spec::unclosed),
        help("end it with a line `---`; if no frontmatter is meant, put a blank line before this one")
    )]
    Unclosed {
        #[source_code]
        file: Source,
        #[label("opened here")]
        at: SourceSpan,
    },
    /// The frontmatter is not YAML that we accept.
    #[error("the frontmatter is not valid YAML: {message}")]
    #[diagnostic(code(dispatch::spec::syntax), help("{help}"))]
    Syntax {
        /// What the parser says, escaped.
        message: String,
        /// The way out.
        help: &'static str,
        #[source_code]
        file: Source,
        #[label("here")]
        at: SourceSpan,
    },
    /// A key is given twice, or under two of its names.
    #[error("`{key}` is given twice")]
    #[diagnostic(code(dispatch::spec::duplicate_key), help("{note}: keep one of the two"))]
    DuplicateKey {
        /// The key, escaped.
        key: String,
        /// What the other one is.
        note: String,
        #[source_code]
        file: Source,
        #[label("first here")]
        first: Option<SourceSpan>,
        #[label("again here")]
        at: SourceSpan,
    },
    /// A value has another form than its key asks for.
    #[error("`{key}` wants {wanted}, and this is {found}")]
    #[diagnostic(code(dispatch::spec::wrong_type), help("{help}"))]
    WrongType {
        /// The key, or `frontmatter`.
        key: &'static str,
        /// The form that is asked for.
        wanted: &'static str,
        /// The form that is there.
        found: &'static str,
        /// The way out.
        help: &'static str,
        #[source_code]
        file: Source,
        #[label("{found}")]
        at: SourceSpan,
    },
    /// A value has the right form and cannot be meant.
    #[error("`{key}` {problem}")]
    #[diagnostic(code(dispatch::spec::bad_value), help("{help}"))]
    BadValue {
        /// The key.
        key: &'static str,
        /// What is wrong, with the value escaped.
        problem: String,
        /// The way out.
        help: &'static str,
        #[source_code]
        file: Source,
        #[label("here")]
        at: SourceSpan,
    },
    /// A project, an id or a dependency is not a valid name.
    #[error("{error}")]
    #[diagnostic(code(dispatch::name::invalid), help("{}", name_rule(error)))]
    Name {
        /// What is wrong with it.
        error: NameError,
        #[source_code]
        file: Source,
        #[label("here")]
        at: SourceSpan,
    },
    /// The file's name, which is the id where none is given, is not a valid name.
    #[error("the file's name is no id, and the spec gives none: {error}")]
    #[diagnostic(
        code(dispatch::name::invalid),
        help("give it one, `task_id: …`, or rename the file: {}", name_rule(error))
    )]
    FileName {
        /// What is wrong with it.
        error: NameError,
        #[source_code]
        file: Source,
        #[label("no `task_id` in this file")]
        at: SourceSpan,
    },
    /// Neither the file nor its name says which task it is.
    #[error("the spec has no id")]
    #[diagnostic(
        code(dispatch::spec::no_id),
        help("a spec without a file's name needs frontmatter with `task_id: …`")
    )]
    NoId {
        #[source_code]
        file: Source,
        #[label("no `task_id` in this file")]
        at: SourceSpan,
    },
}

/// Takes the rule from where it is written, so that there is one wording of it.
fn name_rule(error: &NameError) -> String {
    miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default()
}

/// Says what is accepted in a spec and yet probably not meant.
#[derive(Debug, Clone, thiserror::Error, miette::Diagnostic)]
#[allow(missing_docs, reason = "`file` and `at` are the same in every variant: the file and the place in it")]
pub enum Warning {
    /// A key that we do not know.
    #[error("unknown key `{key}`")]
    #[diagnostic(severity(Warning), code(dispatch::spec::unknown_key), help("{help}"))]
    UnknownKey {
        /// The key, escaped and cut short.
        key: String,
        /// The known key that was probably meant.
        meant: Option<&'static str>,
        /// The way out.
        help: String,
        #[source_code]
        file: Source,
        #[label("not known")]
        at: SourceSpan,
    },
    /// Frontmatter that does not begin on the first line, and so is part of the body.
    #[error("this looks like frontmatter, and is taken as text")]
    #[diagnostic(
        severity(Warning),
        code(dispatch::spec::late_frontmatter),
        help("frontmatter must begin on the first line: delete what precedes it")
    )]
    LateFrontmatter {
        #[source_code]
        file: Source,
        #[label("not on the first line")]
        at: SourceSpan,
    },
    /// A spec that gives an executor nothing to do.
    #[error("the spec has no body and no `run`")]
    #[diagnostic(
        severity(Warning),
        code(dispatch::spec::no_body),
        help("write below the frontmatter what is to be done; it is the prompt")
    )]
    NoBody {
        #[source_code]
        file: Source,
        #[label("the body would be here")]
        at: SourceSpan,
    },
}

impl Warning {
    /// Builds the warning for a key that is kept and ignored.
    pub(super) fn unknown_key(file: &Source, entry: &Entry, meant: Option<&'static str>) -> Self {
        let help = match meant {
            Some(known) => {
                format!("was `{known}` meant? As it is, the key is kept and has no effect")
            }
            None => "the key is kept and has no effect".to_owned(),
        };
        Self::UnknownKey { key: text::excerpt(&entry.key, 80), meant, help, file: file.clone(), at: entry.key_at }
    }
}
