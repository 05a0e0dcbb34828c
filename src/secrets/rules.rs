//! Owns reading the rules and finding tokens by them. What the rules are stands in `rules.toml`.

use std::ops::Range;
use std::sync::OnceLock;

use gix::bstr::ByteSlice as _;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::{Input, util::syntax};
use serde::Deserialize;

use super::value;

/// The rules, compiled in.
const RULES: &str = include_str!("rules.toml");

/// The most hits of one rule in one file.
const MOST: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tokens: Vec<WrittenToken>,
    files: Vec<WrittenFiles>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    kind: String,
    near: Vec<String>,
    shape: String,
    #[serde(default)]
    dense: f64,
    #[serde(default)]
    password: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFiles {
    kind: String,
    names: Vec<String>,
    except: Vec<String>,
}

/// One shape of token.
#[derive(Debug)]
struct Token {
    kind: &'static str,
    near: Vec<String>,
    shape: String,
    dense: f64,
    password: bool,
    /// Made when it is first needed: most are not, in most files.
    compiled: OnceLock<Option<Regex>>,
}

/// Names of files that hold nothing but secrets.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) kind: &'static str,
    pub(super) names: Vec<String>,
    pub(super) except: Vec<String>,
}

#[derive(Debug, Default)]
struct Rules {
    tokens: Vec<Token>,
    files: Vec<Files>,
}

/// The rules about files.
pub(super) fn files() -> &'static [Files] {
    &rules().files
}

/// Finds tokens: their kinds, and where they stand.
pub(super) fn tokens(bytes: &[u8]) -> Vec<(&'static str, Range<usize>)> {
    let mut found = Vec::new();
    for token in &rules().tokens {
        if token.near.iter().any(|word| bytes.contains_str(word)) {
            token.find(bytes, &mut found);
        }
    }
    found
}

fn rules() -> &'static Rules {
    static READ: OnceLock<Rules> = OnceLock::new();
    READ.get_or_init(|| {
        // They are part of the program, and a test reads them.
        let Ok(written) = toml::from_str::<Written>(RULES) else { return Rules::default() };
        let for_ever = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let token = |written: WrittenToken| Token {
            kind: for_ever(written.kind),
            near: written.near,
            shape: written.shape,
            dense: written.dense,
            password: written.password,
            compiled: OnceLock::new(),
        };
        let files = |written: WrittenFiles| Files {
            kind: for_ever(written.kind),
            names: written.names,
            except: written.except,
        };
        Rules {
            tokens: written.tokens.into_iter().map(token).collect(),
            files: written.files.into_iter().map(files).collect(),
        }
    })
}

impl Token {
    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.shape).ok()).as_ref()
    }

    fn find(&self, bytes: &[u8], found: &mut Vec<(&'static str, Range<usize>)>) {
        let Some(regex) = self.regex() else { return };
        let mut captures = regex.create_captures();
        let (mut at, mut hits) = (0, 0);
        while at <= bytes.len() && hits < MOST {
            regex.captures(Input::new(bytes).range(at..), &mut captures);
            let Some(all) = captures.get_match() else { break };
            let place = group(&captures).unwrap_or(all.range());
            let secret = &bytes[place.clone()];
            if self.is_one(secret) {
                found.push((self.kind, place.clone()));
                hits += 1;
            }
            // What follows a value may be the border of the next.
            at = place.end.max(all.start() + 1);
        }
    }

    fn is_one(&self, secret: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(secret) else { return false };
        value::entropy(secret) >= self.dense
            && !value::is_placeholder(text)
            && (!self.password || value::is_password(text))
    }
}

fn group(captures: &Captures) -> Option<Range<usize>> {
    if captures.group_len() < 2 {
        return None;
    }
    captures.get_group(1).map(|span| span.range())
}

fn compile(shape: &str) -> Result<Regex, Box<regex_automata::meta::BuildError>> {
    let bytes = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder().configure(Regex::config().utf8_empty(false)).syntax(bytes).build(shape).map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_sound() {
        let written: Written = toml::from_str(RULES).unwrap();
        assert!(written.tokens.len() > 40 && written.files.len() > 2);
        for token in written.tokens {
            if let Err(error) = compile(&token.shape) {
                panic!("{}: {error:?}", token.kind);
            }
            assert!(
                token.near.iter().all(|word| word.len() >= 2),
                "{}: too short a word finds too much",
                token.kind
            );
        }
        assert_eq!(tokens(RULES.as_bytes()), []);
    }
}
