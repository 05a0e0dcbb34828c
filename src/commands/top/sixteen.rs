//! Writes colours as every terminal with sixteen of them reads them.
//!
//! Owns one translation: of colours that are named by their place in a palette of 256 (`38;5;1`), which older terminals take
//! for other things, into those that they know (`31`). Everything else goes through as it is, once it is flushed.

use std::io::{self, Write};

/// A writer that translates what goes through it.
#[derive(Debug)]
pub(super) struct Sixteen<W> {
    to: W,
    kept: Vec<u8>,
}

impl<W: Write> Sixteen<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, kept: Vec::new() }
    }
}

impl<W: Write> Write for Sixteen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&translated(&self.kept))?;
        self.kept.clear();
        self.to.flush()
    }
}

/// The same with each palette colour below sixteen written in the old way.
fn translated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\x1b[") {
        let (before, sequence) = rest.split_at(at + 2);
        out.extend_from_slice(before);
        let length =
            sequence.iter().position(|byte| !byte.is_ascii_digit() && *byte != b';').unwrap_or(sequence.len());
        let (numbers, after) = sequence.split_at(length);
        match std::str::from_utf8(numbers) {
            Ok(numbers) if after.starts_with(b"m") => out.extend_from_slice(old(numbers).as_bytes()),
            _ => out.extend_from_slice(numbers),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

fn old(numbers: &str) -> String {
    let mut given = numbers.split(';');
    let mut found: Vec<String> = Vec::new();
    while let Some(number) = given.next() {
        let mut ahead = given.clone();
        let ground = match number {
            "38" => 30,
            "48" => 40,
            _ => 0,
        };
        let place = (ahead.next() == Some("5")).then(|| ahead.next()?.parse::<u8>().ok()).flatten();
        match place.filter(|place| ground > 0 && *place < 16) {
            Some(place @ 0..8) => found.push((ground + place).to_string()),
            Some(place) => found.push((ground + 60 + place - 8).to_string()),
            None => {
                found.push(number.to_owned());
                continue;
            }
        }
        given = ahead;
    }
    found.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_below_sixteen_are_written_in_the_old_way() {
        for (given, expected) in [
            ("\x1b[38;5;1mred\x1b[39m", "\x1b[31mred\x1b[39m"),
            ("\x1b[38;5;3;48;5;12mx\x1b[0m", "\x1b[33;104mx\x1b[0m"),
            ("\x1b[38;5;208m\x1b[38;2;1;2;3m", "\x1b[38;5;208m\x1b[38;2;1;2;3m"),
            ("\x1b[1;1H\x1b[m\x1b[?25l用\x1b", "\x1b[1;1H\x1b[m\x1b[?25l用\x1b"),
            ("\x1b[38;5m\x1b[38;5;", "\x1b[38;5m\x1b[38;5;"),
        ] {
            assert_eq!(String::from_utf8(translated(given.as_bytes())).unwrap(), expected);
        }
        let mut out = Vec::new();
        let mut writer = Sixteen::new(&mut out);
        // Piece by piece, as it comes.
        for piece in ["\x1b[", "38;5;", "2", "mgreen"] {
            writer.write_all(piece.as_bytes()).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(out, b"\x1b[32mgreen");
    }
}
