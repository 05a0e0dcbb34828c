//! Owns the merged tree of settings, in which every leaf knows its origin, and what becomes of it: one table, and a
//! list for people. Does not own how a layer is read (`file`, `names`), nor any I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use miette::NamedSource;
use toml::{Table, Value};

use super::error::{ConfigError, ErrorKind};
use super::origin::{Layer, Origin};
use super::path::KeyPath;
use super::schema::NAMED;

/// A value, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// The settings of all layers read so far. Layers are put in from the lowest to the highest, each over the last.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    leaves: BTreeMap<KeyPath, Leaf>,
    /// Tables of one name, such as `executors.glm`, with the place that first spoke of them: one may have no keys.
    named: BTreeMap<KeyPath, Origin>,
    /// The file's text, for errors that are found after it was read.
    text: Option<Arc<NamedSource<String>>>,
}

impl Tree {
    pub(crate) fn keep_text(&mut self, text: &Arc<NamedSource<String>>) {
        self.text = Some(Arc::clone(text));
    }

    /// Puts a value in place of an earlier layer's. A table is merged entry by entry, and an empty one empties it.
    pub(crate) fn set(&mut self, path: &KeyPath, value: Value, origin: &Origin) {
        self.declare(path, origin);
        match value {
            Value::Table(entries) if !entries.is_empty() => {
                for (name, value) in entries {
                    self.set(&path.child(&name), value, origin);
                }
            }
            value => {
                if value.is_table() {
                    self.leaves.retain(|known, _| !known.is_within(path));
                }
                self.leaves.insert(path.clone(), Leaf { value, origin: origin.clone() });
            }
        }
    }

    /// Remembers that a layer speaks of the named table that this path is or lies in.
    pub(crate) fn declare(&mut self, path: &KeyPath, origin: &Origin) {
        if let [table, name, ..] = path.parts()
            && NAMED.contains(&table.as_str())
        {
            self.named.entry(KeyPath::new([table, name])).or_insert_with(|| origin.clone());
        }
    }

    pub(crate) fn leaf(&self, path: &KeyPath) -> Option<&Leaf> {
        self.leaves.get(path)
    }

    /// Tells whether any layer gave this setting, or an entry of it.
    pub(crate) fn has(&self, path: &KeyPath) -> bool {
        // What lies within a path is sorted right behind it.
        self.leaves.range(path..).next().is_some_and(|(known, _)| known.is_within(path))
    }

    /// Tells whether a table has entries.
    pub(crate) fn has_entries(&self, path: &KeyPath) -> bool {
        let mut within = self.leaves.range(path..).map(|(known, _)| known).skip_while(|known| *known == path);
        within.next().is_some_and(|known| known.is_within(path))
    }

    /// Gives the value at a path, the entries of a table put together.
    pub(crate) fn value_at(&self, path: &KeyPath) -> Option<Value> {
        if let Some(leaf) = self.leaf(path)
            && !leaf.value.is_table()
        {
            return Some(leaf.value.clone());
        }
        let within = self.leaves.range(path..).take_while(|(known, _)| known.is_within(path));
        let entries = within.filter_map(|(known, leaf)| match &known.parts()[path.parts().len()..] {
            [name] => Some((name.clone(), leaf.value.clone())),
            _ => None,
        });
        self.has(path).then(|| Value::Table(entries.collect()))
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = (&KeyPath, &Leaf)> {
        self.leaves.iter()
    }

    /// Lists the names in one of the tables of names.
    pub(crate) fn names_in(&self, table: &str) -> Vec<String> {
        let here = self.named.keys().filter(|path| path.parts()[0] == table);
        here.map(|path| path.parts()[1].clone()).collect()
    }

    /// Gives the place that first spoke of a named table.
    pub(crate) fn declared_at(&self, path: &KeyPath) -> Option<&Origin> {
        self.named.get(path)
    }

    /// Makes the error about a setting as it was given.
    pub(crate) fn error(&self, kind: ErrorKind, path: &KeyPath, what: &str) -> ConfigError {
        let origin = self.leaf(path).map(|leaf| &leaf.origin).or_else(|| self.declared_at(path));
        ConfigError::about(kind, origin.unwrap_or(&Origin::Default), path, what, self.text.as_ref())
    }

    /// Gives the path, of those given, whose value comes from the latest layer: the one that somebody chose last is the
    /// one to point at when values do not go together.
    pub(crate) fn latest(&self, paths: &[KeyPath]) -> Option<KeyPath> {
        let given = paths.iter().filter_map(|path| Some((self.leaf(path)?.origin.layer(), path)));
        given.max_by_key(|(layer, _)| *layer).map(|(_, path)| path.clone())
    }

    /// Builds the table that the typed settings are read from, single nodes with the common settings filled in.
    pub(crate) fn assemble(&self) -> Table {
        let mut root = Table::new();
        for table in NAMED {
            root.insert(table.to_owned(), Value::Table(Table::new()));
        }
        for path in self.named.keys() {
            plant(&mut root, path.parts(), None);
        }
        for (path, leaf) in &self.leaves {
            if !self.is_overruled(path, leaf.origin.layer()) {
                plant(&mut root, path.parts(), Some(&leaf.value));
            }
        }
        let common = root.get("node").and_then(Value::as_table).cloned().unwrap_or_default();
        if let Some(Value::Table(nodes)) = root.get_mut("nodes") {
            for (_, node) in nodes.iter_mut() {
                let mut whole = common.clone();
                whole.extend(node.as_table().cloned().unwrap_or_default());
                *node = Value::Table(whole);
            }
        }
        root
    }

    /// Tells whether a setting of one node or project gives way to the common one of a later layer: an option or a
    /// variable must beat the file, wherever in the file it stands.
    fn is_overruled(&self, path: &KeyPath, layer: Layer) -> bool {
        let common = match path.parts() {
            [table, _, key] if table == "nodes" => KeyPath::new(["node", key]),
            [table, _, key] if table == "projects" && key == "target" => KeyPath::new([key]),
            _ => return false,
        };
        self.leaf(&common).is_some_and(|leaf| leaf.origin.layer() > layer)
    }
}

/// Puts a value (or, without one, an empty table) at its place in nested tables. The schema has no setting under
/// another, but an emptied table stands before entries that came later.
fn plant(table: &mut Table, parts: &[String], value: Option<&Value>) {
    let [part, rest @ ..] = parts else { return };
    if let (true, Some(value)) = (rest.is_empty(), value) {
        table.insert(part.clone(), value.clone());
        return;
    }
    let inner = table.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        plant(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variable: &str) -> Origin {
        Origin::Env { variable: variable.to_owned() }
    }

    fn leaf<'a>(tree: &'a Tree, path: &str) -> Option<&'a Leaf> {
        tree.leaf(&KeyPath::parse(path))
    }

    #[test]
    fn the_later_wins_and_tables_merge() {
        let mut tree = Tree::default();
        let model = KeyPath::parse("executors.glm.model");
        let given: Table = toml::from_str("default = 'a'\nlow = 'b'").unwrap();
        tree.set(&model, Value::Table(given), &Origin::Default);
        let given: Table = toml::from_str("low = 'c'").unwrap();
        tree.set(&model, Value::Table(given), &env("X"));
        assert_eq!(leaf(&tree, "executors.glm.model.default").unwrap().origin, Origin::Default);
        assert_eq!(leaf(&tree, "executors.glm.model.low").unwrap(), &Leaf { value: "c".into(), origin: env("X") });
        tree.set(&model, Value::Table(Table::new()), &env("Y"));
        assert!(leaf(&tree, "executors.glm.model.low").is_none(), "an empty one empties it");
        assert!(tree.has(&model));
        assert_eq!(tree.assemble()["executors"]["glm"]["model"], Value::Table(Table::new()));
    }

    #[test]
    fn a_name_overrides_unless_a_later_layer_spoke_for_all() {
        let mut tree = Tree::default();
        let file = Origin::File { name: "f".into(), line: 1, span: 0..1 };
        tree.set(&KeyPath::parse("node.slots"), 1.into(), &Origin::Default);
        tree.set(&KeyPath::parse("node.poll"), "5s".into(), &Origin::Default);
        tree.set(&KeyPath::parse("nodes.big.slots"), 8.into(), &file);
        tree.set(&KeyPath::parse("nodes.big.poll"), "1s".into(), &file);
        tree.set(&KeyPath::parse("node.poll"), "9s".into(), &env("X"));
        let big = &tree.assemble()["nodes"]["big"];
        assert_eq!(big["slots"], 8.into());
        assert_eq!(big["poll"], "9s".into());
        assert_eq!(tree.names_in("nodes"), ["big"]);
    }
}
