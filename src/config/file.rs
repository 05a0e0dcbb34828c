//! Owns the reading of TOML text into the tree, with the place of each value. Does not own the reading of the file from
//! disk or from a tree object: the caller has its text.

use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::error::{ConfigError, ErrorKind};
use super::layers::Tree;
use super::near;
use super::origin::Origin;
use super::path::KeyPath;
use super::schema::{self, Found, Key};
use super::value::{self, Problem, Spot};

/// More than anybody writes by hand; a bound for the parser's memory.
const LARGEST: usize = 1 << 20;

/// Reads a file's text over what the tree holds.
pub(crate) fn read(name: &str, text: &str, tree: &mut Tree) -> Result<(), ConfigError> {
    // Editors on Windows put it there; TOML does not say what it means.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Arc::new(NamedSource::new(name, text.to_owned()));
    tree.keep_text(&source);
    read_as(Reader { name: Some(name), source, tree }, text)
}

/// Reads the compiled-in text, whose values are defaults.
pub(crate) fn read_defaults(text: &str, tree: &mut Tree) -> Result<(), ConfigError> {
    let source = Arc::new(NamedSource::new("the built-in defaults", text.to_owned()));
    read_as(Reader { name: None, source, tree }, text)
}

fn read_as(mut reader: Reader<'_>, text: &str) -> Result<(), ConfigError> {
    let shown = reader.name.unwrap_or("the built-in defaults").escape_debug().to_string();
    if text.len() > LARGEST {
        let message = format!("{shown} is over 1 MiB");
        return Err(ConfigError::new(ErrorKind::Syntax, message).at(&reader.source, &(0..0), "a configuration?"));
    }
    match DeTable::parse(text) {
        Ok(table) => reader.table(&KeyPath::default(), table.get_ref()),
        Err(error) => {
            let what = error.message().replace('\n', ", ");
            let help = Some("see https://toml.io for how TOML is written".to_owned());
            let place = error.span().unwrap_or(0..0);
            let error = ConfigError::new(ErrorKind::Syntax, format!("{shown} is not TOML: {what}"));
            Err(error.with_help(help).at(&reader.source, &place, "here"))
        }
    }
}

struct Reader<'a> {
    /// The file as it is shown; none for the defaults.
    name: Option<&'a str>,
    source: Arc<NamedSource<String>>,
    tree: &'a mut Tree,
}

impl Reader<'_> {
    /// Reads a table of settings, or of tables.
    fn table(&mut self, path: &KeyPath, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = key.get_ref();
            let path = path.child(name);
            match schema::lookup(&path) {
                Found::Key(known) if schema::OF_ONE_CLONE.contains(&known.path) => {
                    return Err(self.of_one_clone(&path, &key.span()));
                }
                Found::Key(known) => self.setting(&path, known, value)?,
                Found::Nothing => return Err(self.unknown(&path, &key.span())),
                Found::Table => {
                    let DeValue::Table(inner) = value.get_ref() else {
                        return Err(self.no_table(&path, value));
                    };
                    let origin = self.origin(&key.span());
                    self.tree.declare(&path, &origin);
                    self.table(&path, inner)?;
                }
            }
        }
        Ok(())
    }

    fn setting(&mut self, path: &KeyPath, key: &Key, given: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let origin = self.origin(&given.span());
        let plain = match plain(given) {
            Ok(plain) => plain,
            Err(at) => {
                let problem = "takes no number as large as that";
                return Err(self.error(ErrorKind::BadValue, path, problem, &at, "does not fit 64 bits"));
            }
        };
        let value = value::judge(key.kind, plain).map_err(|problem| self.refused(path, given, &problem))?;
        match (given.get_ref(), value) {
            // Each entry has a place of its own.
            (DeValue::Table(entries), Value::Table(mut values)) if !entries.is_empty() => {
                for (name, entry) in entries {
                    if let Some(value) = values.remove(name.get_ref().as_ref()) {
                        let origin = self.origin(&entry.span());
                        self.tree.set(&path.child(name.get_ref()), value, &origin);
                    }
                }
            }
            (_, value) => self.tree.set(path, value, &origin),
        }
        Ok(())
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        let Some(name) = self.name else {
            return Origin::Default;
        };
        let before = self.source.inner().as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { name: name.to_owned(), line, span: span.clone() }
    }

    fn error(&self, kind: ErrorKind, path: &KeyPath, what: &str, at: &Range<usize>, label: &str) -> ConfigError {
        ConfigError::new(kind, format!("`{path}` {what}")).at(&self.source, at, label)
    }

    fn refused(&self, path: &KeyPath, given: &Spanned<DeValue<'_>>, problem: &Problem) -> ConfigError {
        let at = match (&problem.spot, given.get_ref()) {
            (Spot::Element(index), DeValue::Array(items)) => items.get(*index).map(Spanned::span),
            (Spot::Entry(name), DeValue::Table(entries)) => {
                entries.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span())
            }
            _ => None,
        };
        let error =
            self.error(problem.kind(), path, &problem.what, &at.unwrap_or_else(|| given.span()), "given here");
        error.with_help(problem.help.clone())
    }

    fn no_table(&self, path: &KeyPath, given: &Spanned<DeValue<'_>>) -> ConfigError {
        let help = match path.parts() {
            [name] if name == "node" => {
                "the node's own name is a setting of the clone: `git config dispatch.node NAME`".to_owned()
            }
            [table] if schema::NAMED.contains(&table.as_str()) => {
                format!("its settings stand under the name they are for: write [{path}.NAME]")
            }
            _ => format!("it holds settings of its own: write [{path}]"),
        };
        let got = value::type_in_words(given.get_ref().type_str());
        let error =
            self.error(ErrorKind::WrongType, path, &format!("is a table, not {got}"), &given.span(), "given here");
        error.with_help(Some(help))
    }

    fn of_one_clone(&self, path: &KeyPath, at: &Range<usize>) -> ConfigError {
        let key = if path.parts() == [schema::NODE_NAME] { "node" } else { "remote" };
        let error = self.error(ErrorKind::UnknownKey, path, "is not a setting of the file", at, "not known here");
        error.with_help(Some(format!("the file is the same for every clone; use `git config dispatch.{key} NAME`")))
    }

    fn unknown(&self, path: &KeyPath, at: &Range<usize>) -> ConfigError {
        let name = match path.parts() {
            [table, name, _, ..] if schema::NAMED.contains(&table.as_str()) => name,
            _ => "NAME",
        };
        let (last, parent) = path.parts().split_last().map_or(("", [].as_slice()), |(last, parent)| (last, parent));
        let known = schema::paths_in_a_file(name);
        // The setting that was meant is most likely a neighbour; else one of that name elsewhere.
        let neighbours = known.iter().filter(|known| known.parts().starts_with(parent));
        let neighbours = neighbours.filter_map(|known| known.parts().get(parent.len()).map(String::as_str));
        let near = near::nearest(last, neighbours).map(str::to_owned).or_else(|| {
            // What single nodes take is what all take: naming both would make it ambiguous.
            let known = known.iter().filter(|known| known.parts()[0] != "nodes");
            let known: Vec<String> = known.map(ToString::to_string).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            near::meant(&path.to_string(), &known, '.').map(str::to_owned)
        });
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let help =
            help.unwrap_or_else(|| "take it out; `git dispatch init` writes a file with every setting".to_owned());
        self.error(ErrorKind::UnknownKey, path, "is not a setting", at, "not known").with_help(Some(help))
    }
}

/// Takes the places off a value; an integer that does not fit gives its place.
fn plain(given: &Spanned<DeValue<'_>>) -> Result<Value, Range<usize>> {
    Ok(match given.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| given.span())?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| given.span())?),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(when) => Value::Datetime(*when),
        DeValue::Array(items) => Value::Array(items.iter().map(plain).collect::<Result<_, _>>()?),
        DeValue::Table(entries) => {
            let entry = |(key, value): (&Spanned<_>, _)| {
                Ok((String::from(AsRef::<str>::as_ref(key.get_ref())), plain(value)?))
            };
            Value::Table(entries.iter().map(entry).collect::<Result<_, Range<usize>>>()?)
        }
    })
}
