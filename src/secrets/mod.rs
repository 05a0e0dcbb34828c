//! What looks like a secret: in the name of a file, in its text, in a line that sets a password.
//!
//! Owns the judgement on bytes and names, and the rules (`rules.toml`). Does not own which bytes are looked at, nor what a
//! hit means for them. A hit says where and of which kind, never what.

mod assigned;
mod names;
mod rules;
mod value;

use gix::bstr::ByteSlice as _;

/// A place that looks as if it held a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The kind of secret, for people.
    pub kind: &'static str,
    /// The line, from 1; none where the file itself is the hit.
    pub line: Option<usize>,
    /// Where the value stands, in bytes from the beginning: to tell an old value from a new one, never to be shown.
    pub place: std::ops::Range<usize>,
}

/// The most hits that are told of one file.
const MOST: usize = 20;

/// A longer line is a machine's: nobody sets a password in it.
const LONGEST_LINE: usize = 4000;

/// Says which kind of secrets a new file of this name holds by its name alone.
pub fn named(path: &str) -> Option<&'static str> {
    names::kind_of(path)
}

/// Finds what looks like a secret in the text of a file; the path says how its lines are read. In order.
pub fn find(path: &str, bytes: &[u8]) -> Vec<Hit> {
    let mut hits = rules::tokens(bytes);
    if !is_binary(bytes) && !names::is_machine_made(path) {
        let style = assigned::Style::of(path);
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.len() <= LONGEST_LINE {
                hits.extend(
                    assigned::find(line, style).map(|place| (assigned::KIND, at + place.start..at + place.end)),
                );
            }
            at += line.len();
        }
    }
    hits.sort_by_key(|(_, place)| place.start);
    // One value may be hit by several rules: the first that begins there names it.
    let mut told: Vec<Hit> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for (kind, place) in hits {
        if told.last().is_some_and(|last| place.start < last.place.end) {
            continue;
        }
        line += bytes[counted..place.start].find_iter("\n").count();
        counted = place.start;
        told.push(Hit { kind, line: Some(line), place });
        if told.len() == MOST {
            break;
        }
    }
    told
}

/// Says which kind of secret stands in a name: of a file, of a person.
pub fn in_name(name: &str) -> Option<&'static str> {
    rules::tokens(name.as_bytes()).first().map(|(kind, _)| *kind)
}

/// Makes text of what is written in wide characters, as some systems write files; anything else is left as it is.
pub fn readable(bytes: Vec<u8>) -> Vec<u8> {
    let wide = |of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => bytes,
    }
}

/// Says, as git does, whether a file is none of lines.
fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(8000)].contains(&0)
}

#[cfg(test)]
mod tests;
