//! Owns the path of a setting, `node.slots` or `executors."a.b".timeout`, and how it is written. Does not own which
//! paths exist; that is `schema`.

use std::fmt;

/// Names one setting, or one table of settings, from the root down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// Makes one from its parts.
    pub fn new<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// Reads the dotted form; a part in double quotes may hold dots. Escapes are not known: names have none.
    pub fn parse(text: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                _ => {
                    if let Some(last) = parts.last_mut() {
                        last.push(c);
                    }
                }
            }
        }
        Self(parts)
    }

    /// Gives the path of what lies under this one by that name.
    #[must_use]
    pub fn child(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }

    /// Gives its parts, the root's first.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// Tells whether this path lies under that one, or is it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if bare { f.write_str(part)? } else { write!(f, "{part:?}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_in_names_are_quoted() {
        let path = KeyPath::new(["nodes", "host.lan", "slots"]);
        assert_eq!(path.to_string(), r#"nodes."host.lan".slots"#);
        assert_eq!(KeyPath::parse(&path.to_string()), path);
        assert_eq!(KeyPath::new(["a", "\x1b[2J"]).to_string(), r#"a."\u{1b}[2J""#, "no escape reaches a terminal");
    }

    #[test]
    fn knows_what_lies_under_it() {
        let table = KeyPath::parse("executors.glm");
        assert!(table.child("model").child("default").is_within(&table));
        assert!(!KeyPath::parse("executors.glmx").is_within(&table));
    }
}
