//! Trailers: the `Key: value` lines that end a commit message.
//!
//! Owns reading and writing them. Values are single lines without anything that drives a terminal, written and read.

/// The trailers of a message, in order; a key may stand several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailers(Vec<(String, String)>);

impl Trailers {
    /// Reads the last paragraph of a message; lines that are no trailers are left out.
    pub fn parse(message: &str) -> Self {
        let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
        let pairs = last.lines().filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            is_key.then(|| (key.to_owned(), crate::task::text::one_line(value)))
        });
        Self(pairs.collect())
    }

    /// Returns the first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// Returns all values of a key, in order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Adds a trailer.
    pub fn push(&mut self, key: &str, value: impl ToString) {
        self.0.push((key.to_owned(), crate::task::text::one_line(&value.to_string())));
    }

    /// Adds a trailer unless there is no value.
    pub fn push_some(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }

    /// Writes a whole message: the subject, an empty line, the trailers.
    pub fn message(&self, subject: &str) -> String {
        let mut message = format!("{}\n\n", crate::task::text::one_line(subject));
        for (key, value) in &self.0 {
            for part in [key, ": ", value, "\n"] {
                message.push_str(part);
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_last_paragraph_counts() {
        let trailers = Trailers::parse("a: b\n\nDispatch-Task: p/x\n\nDispatch-Task: p/y\nno trailer\n: z\n");
        assert_eq!(trailers.all("Dispatch-Task").collect::<Vec<_>>(), ["p/y"]);
        assert_eq!(trailers.get("a"), None);
    }

    proptest! {
        #[test]
        fn a_value_cannot_smuggle_in_another_trailer(subject in ".*", value in "(?s).*") {
            let mut trailers = Trailers::default();
            trailers.push("Dispatch-Label", &value);
            trailers.push("Dispatch-Task", "p/x");
            let read = Trailers::parse(&trailers.message(&subject));
            prop_assert_eq!(read.all("Dispatch-Task").collect::<Vec<_>>(), vec!["p/x"]);
            prop_assert_eq!(read.0.len(), 2 - usize::from(read.get("Dispatch-Label").is_none()));
        }
    }
}
