//! Owns the settings: their layers, with the origin of every value, the rules for them, and the typed model.
//!
//! ```text
//!  git-dispatch.toml (compiled in) < the file's text < git config < GIT_DISPATCH_* < options
//!             file.rs                    file.rs        pairs.rs       pairs.rs      mod.rs
//!                 \__________________________|_____________|_____________/____________/
//!                                            v   each value judged by value.rs, as schema.rs wants it
//!                                   layers.rs: the tree, every leaf with its origin
//!                                            v
//!                          model.rs: Config ── check.rs: what goes together ──> Loaded
//! ```
//!
//! Does not own getting at any of it: no file, no environment and no git is touched here. Does not own what is computed
//! when it is not set (project, target, the node's name, the work folder): the caller does that.

use toml::Value;

mod check;
pub mod duration;
pub mod error;
mod file;
mod layers;
pub mod model;
mod names;
pub mod near;
mod origin;
mod pairs;
mod path;
mod refname;
mod schema;
#[cfg(test)]
mod tests;
mod texts;
mod value;

pub use duration::Dur;
pub use error::{ConfigError, ErrorKind};
pub use model::Config;
pub use origin::{Layer, Origin};
pub use pairs::GitConfigValue;
pub use path::KeyPath;

use layers::Tree;

/// The annotated defaults: the lowest layer, and what `init` writes from.
///
/// A line that begins with `#` and no space after it is a setting that is computed, or an example in a named table; other
/// lines with `#` are comments.
pub const DEFAULTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/git-dispatch.toml"));

/// Holds what the layers above the defaults are read from; nothing here is read by this module itself.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The file as it is shown (`git-dispatch.toml`, `main:git-dispatch.toml`) and its text.
    pub file: Option<(String, String)>,
    /// Git config in the order that git gives it; keys of other sections are passed over.
    pub git_config: Vec<GitConfigValue>,
    /// Environment variables by name; others than `GIT_DISPATCH_*` are passed over.
    pub environment: Vec<(String, String)>,
    /// Options of the command line.
    pub options: Vec<OptionValue>,
}

/// One setting given by an option.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionValue {
    /// The setting's path: `node.slots`; `node_name` for the node's name, `remote` for the remote.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// The option as the person wrote it: `--slots`.
    pub flag: String,
}

impl Inputs {
    /// Adds the file's text, under the name that is shown for it.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// Adds git config: whole key, value, scope, in the order that git gives them.
    #[must_use]
    pub fn with_git_config<K, V, S>(mut self, values: impl IntoIterator<Item = (K, V, S)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
        S: Into<String>,
    {
        self.git_config.extend(values.into_iter().map(|(key, value, scope)| GitConfigValue {
            key: key.into(),
            value: Some(value.into()),
            scope: scope.into(),
        }));
        self
    }

    /// Adds environment variables by name.
    #[must_use]
    pub fn with_environment<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Adds one setting given by an option.
    #[must_use]
    pub fn with_option(
        mut self,
        path: impl Into<String>,
        value: impl Into<Value>,
        flag: impl Into<String>,
    ) -> Self {
        self.options.push(OptionValue { path: path.into(), value: value.into(), flag: flag.into() });
        self
    }
}

/// Holds the settings, and what is told of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The typed settings, checked.
    pub config: Config,
    /// All settings that have a value, sorted by path; for `status --settings`.
    pub settings: Vec<Setting>,
}

impl Loaded {
    /// Tells where the setting of that path was given; none where it has no value.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.settings.iter().find(|setting| setting.path == path).map(|setting| &setting.origin)
    }
}

/// Tells of one setting what it is and where that came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The path: `node.slots`, `executors.glm.model.default`.
    pub path: String,
    /// The value as TOML writes it.
    pub value: String,
    /// Where it was given.
    pub origin: Origin,
}

/// Merges the layers and gives the typed settings.
///
/// # Errors
/// The first thing that is wrong, from the lowest layer to the highest: see [`ErrorKind`].
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let mut tree = Tree::default();
    file::read_defaults(DEFAULTS, &mut tree)?;
    if let Some((name, text)) = &inputs.file {
        file::read(name, text, &mut tree)?;
    }
    pairs::read_git_config(&inputs.git_config, &mut tree)?;
    pairs::read_environment(&inputs.environment, &mut tree)?;
    for option in &inputs.options {
        read_option(option, &mut tree)?;
    }
    tree.declare(&KeyPath::new(["executors", "shell"]), &Origin::Default);
    fill_named(&mut tree)?;

    let table = Value::Table(tree.assemble());
    let config: Config = serde_path_to_error::deserialize(table).map_err(|error| {
        // `value` has judged every leaf, so this is for a disagreement of the schema and the model.
        let path = KeyPath::parse(&error.path().to_string());
        tree.error(ErrorKind::WrongType, &path, &format!("does not fit: {}", error.inner().message()))
    })?;
    check::check(&config, &tree)?;
    Ok(Loaded { config, settings: settings(&tree) })
}

fn read_option(option: &OptionValue, tree: &mut Tree) -> Result<(), ConfigError> {
    let path = KeyPath::parse(&option.path);
    let origin = Origin::Option { flag: option.flag.clone() };
    let schema::Found::Key(key) = schema::lookup(&path) else {
        let what = format!("sets `{path}`, which is not a setting");
        return Err(ConfigError::about(ErrorKind::UnknownKey, &origin, &path, &what, None));
    };
    let value =
        value::judge(key.kind, option.value.clone()).map_err(|problem| problem.into_error(&origin, &path))?;
    tree.set(&path, value, &origin);
    Ok(())
}

/// Gives each executor and project the defaults of the keys that no layer gave it. They stand in the annotated file's
/// examples, so that what is read there is what holds.
fn fill_named(tree: &mut Tree) -> Result<(), ConfigError> {
    let mut examples = Tree::default();
    file::read_defaults(&uncommented(DEFAULTS), &mut examples)?;
    let shell_kind = Value::from("shell");
    for (table, computed) in [("executors", "preamble"), ("projects", "target")] {
        let pattern = format!("{table}.*");
        for name in tree.names_in(table) {
            let is_shell = match tree.leaf(&KeyPath::new([table, &name, "kind"])) {
                Some(leaf) => leaf.value == shell_kind,
                None => name == "shell",
            };
            for (part, key) in schema::keys_of(&pattern) {
                let path = KeyPath::new([table, &name, part]);
                if part == computed || tree.has(&path) {
                    continue;
                }
                // A shell has neither: its command is the spec's `run`.
                let value = match part {
                    "kind" if is_shell => shell_kind.clone(),
                    "command" if is_shell => Value::Array(Vec::new()),
                    "model" if is_shell => Value::Table(toml::Table::new()),
                    _ => match examples.value_at(&KeyPath::new([table, "NAME", part])) {
                        Some(value) => value,
                        None => {
                            return Err(ConfigError::new(
                                ErrorKind::Syntax,
                                format!("no default of `{}`", key.path),
                            ));
                        }
                    },
                };
                tree.set(&path, value, &Origin::Default);
            }
        }
    }
    Ok(())
}

/// Takes the `#` off the annotated file's examples and computed settings.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn settings(tree: &Tree) -> Vec<Setting> {
    let mut settings: Vec<Setting> = tree
        .leaves()
        // An emptied table that has entries again is told by its entries.
        .filter(|(path, leaf)| !leaf.value.is_table() || !tree.has_entries(path))
        .map(|(path, leaf)| Setting {
            path: path.to_string(),
            value: leaf.value.to_string(),
            origin: leaf.origin.clone(),
        })
        .collect();
    settings.sort_by(|a, b| a.path.cmp(&b.path));
    settings
}
