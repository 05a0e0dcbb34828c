//! Owns taking named values out of output before it is written down: as they are, as JSON, an address or a shell would
//! spell them, and inside base64, wherever the value begins there. Does not know whose values they are.
//!
//! Output comes in pieces that may end anywhere. What may be the beginning of a value is held back until it is known to be
//! one or not; everything else passes at once.

use std::ops::Range;

/// What stands in the place of a value.
const MASK: &[u8] = b"***";

/// A shorter value is not masked: it would be everywhere, and gives nothing away.
const SHORTEST: usize = 4;

/// A shorter value is not looked for inside base64, nor a shorter line by itself.
const SHORTEST_PART: usize = 8;

/// The values that are not to be written down.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    needles: Vec<Vec<u8>>,
}

impl Mask {
    /// Makes a mask of these values.
    pub fn new<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for value in values {
            let value = value.as_ref();
            // A shell cuts the line end off, a file has one.
            let value = value.trim_ascii_end();
            if value.len() >= SHORTEST {
                needles.extend(spellings(value));
            }
            // A key of several lines may be shown with others between, or indented.
            let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            needles.extend(lines.filter(|line| line.len() >= SHORTEST_PART * 2).map(<[u8]>::to_vec));
        }
        needles.sort();
        needles.dedup();
        Self { needles }
    }

    /// Says whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Masks a text that is there as a whole.
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// Masks bytes that are there as a whole.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(bytes.len());
        let end = self.pass(bytes, true, &mut masked);
        debug_assert_eq!(end, bytes.len());
        masked
    }

    /// Masks every text in a JSON document, keys included.
    pub fn json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(entries) => {
                entries.into_iter().map(|(key, value)| (self.text(&key), self.json(value))).collect()
            }
            other => other,
        }
    }

    /// Adds the masked form of `bytes` to `out`, up to what may be the beginning of a value (`whole`: to the end). Returns
    /// how many bytes were taken.
    fn pass(&self, bytes: &[u8], whole: bool, out: &mut Vec<u8>) -> usize {
        let hits = self.hits(bytes);
        let mut end = if whole { bytes.len() } else { bytes.len() - self.open_end(bytes) };
        // A value that is complete may still be the beginning of a longer one.
        if let Some(hit) = hits.iter().find(|hit| hit.start < end && hit.end > end) {
            end = hit.start;
        }
        let mut from = 0;
        for hit in hits.iter().take_while(|hit| hit.end <= end) {
            out.extend_from_slice(&bytes[from..hit.start]);
            out.extend_from_slice(MASK);
            from = hit.end;
        }
        out.extend_from_slice(&bytes[from..end]);
        end
    }

    /// Finds where values stand; those that touch are one.
    fn hits(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        use gix::bstr::ByteSlice as _;
        let mut hits: Vec<Range<usize>> = Vec::new();
        for needle in &self.needles {
            hits.extend(bytes.find_iter(needle).map(|at| at..at + needle.len()));
        }
        hits.sort_by_key(|hit| (hit.start, hit.end));
        let mut joined: Vec<Range<usize>> = Vec::new();
        for hit in hits {
            match joined.last_mut() {
                Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
                _ => joined.push(hit),
            }
        }
        joined
    }

    /// Measures the longest end of `bytes` with which a value may begin.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let longest = self.needles.iter().map(Vec::len).max().unwrap_or(0);
        let most = longest.saturating_sub(1).min(bytes.len());
        let begins = |length: usize| {
            let end = &bytes[bytes.len() - length..];
            self.needles.iter().any(|needle| needle.len() > length && needle.starts_with(end))
        };
        (1..=most).rev().find(|length| begins(*length)).unwrap_or(0)
    }
}

/// A mask over output that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Masking {
    mask: Mask,
    held: Vec<u8>,
}

impl Masking {
    pub(super) fn new(mask: Mask) -> Self {
        Self { mask, held: Vec::new() }
    }

    /// Takes the next piece; hands on what is known to be fit.
    pub(super) fn take(&mut self, bytes: &[u8], put: impl FnOnce(&[u8])) {
        if self.mask.is_empty() {
            return put(bytes);
        }
        self.held.extend_from_slice(bytes);
        let mut masked = Vec::new();
        let taken = self.mask.pass(&self.held, false, &mut masked);
        self.held.drain(..taken);
        put(&masked);
    }

    /// Hands on what was held back: nothing follows.
    pub(super) fn end(&mut self, put: impl FnOnce(&[u8])) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            put(&self.mask.bytes(&held));
        }
    }
}

/// The ways in which a value is written.
fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut ways = vec![value.to_vec()];
    if let Ok(text) = std::str::from_utf8(value) {
        let quoted = serde_json::Value::from(text).to_string();
        ways.push(quoted.trim_matches('"').as_bytes().to_vec());
        ways.push(text.replace('\'', "'\\''").into_bytes());
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let percent = |byte: &u8| match plain(byte) {
        true => vec![*byte],
        false => format!("%{byte:02X}").into_bytes(),
    };
    let encoded: Vec<u8> = value.iter().flat_map(percent).collect();
    ways.extend([encoded.to_ascii_lowercase(), encoded].into_iter().filter(|way| way.contains(&b'%')));
    if value.len() >= SHORTEST_PART {
        for before in 0..3 {
            let inner = inside_base64(value, before);
            let for_addresses = inner.iter().map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                byte => *byte,
            });
            ways.push(for_addresses.collect());
            ways.push(inner);
        }
    }
    ways
}

/// The letters of base64 that a value alone decides, where `before` (0 to 2) bytes of a group of three precede it.
fn inside_base64(value: &[u8], before: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| match (at / 8).checked_sub(before) {
        Some(byte) => usize::from(value[byte] >> (7 - at % 8) & 1),
        None => 0,
    };
    // Six bits a letter; one that other bytes have a part in may be any.
    let first = (before * 8).div_ceil(6);
    let end = (before + value.len()) * 8 / 6;
    (first..end).map(|letter| LETTERS[(0..6).fold(0, |sum, at| sum << 1 | bit(letter * 6 + at))]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "s3cr3t/Va+lue?'\"1";

    fn base64(bytes: &[u8]) -> String {
        // With zero bytes in front nothing is shared: all letters but the padding are the value's own.
        let padded: Vec<u8> = bytes.iter().copied().chain([0, 0]).collect();
        let letters = inside_base64(&padded, 0);
        String::from_utf8(letters[..(bytes.len() * 8).div_ceil(6)].to_vec()).unwrap()
    }

    fn in_pieces(mask: &Mask, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut masking, mut out, mut from) = (Masking::new(mask.clone()), Vec::new(), 0);
        for cut in cuts.iter().map(|cut| (*cut).min(bytes.len())) {
            if cut > from {
                masking.take(&bytes[from..cut], |fit| out.extend_from_slice(fit));
                from = cut;
            }
        }
        masking.take(&bytes[from..], |fit| out.extend_from_slice(fit));
        masking.end(|fit| out.extend_from_slice(fit));
        out
    }

    #[test]
    fn base64_is_what_others_write() {
        assert_eq!(base64(b"Many hands make light work."), "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsu");
        assert_eq!((base64(b"Ma").as_str(), base64(b"M").as_str()), ("TWE", "TQ"));
    }

    #[test]
    fn a_value_is_masked_in_each_spelling() {
        let mask = Mask::new([VALUE]);
        let shown = |text: &str| mask.text(text);
        assert_eq!(shown(&format!("a {VALUE} b{VALUE}")), "a *** b***");
        assert_eq!(shown(&format!("{}", serde_json::json!({ "key": VALUE }))), "{\"key\":\"***\"}");
        assert_eq!(shown("x=s3cr3t%2FVa%2Blue%3F%27%221&y"), "x=***&y");
        assert_eq!(shown("x=s3cr3t%2fva%2blue%3f%27%221&y"), "x=***&y");
        assert_eq!(shown("echo 's3cr3t/Va+lue?'\\''\"1'"), "echo '***'");
        assert_eq!(
            mask.json(serde_json::json!({"a": [VALUE, 1], VALUE: null})),
            serde_json::json!({"a": ["***", 1], "***": null})
        );
        assert_eq!(Mask::new(["abc", ""]).text("abc"), "abc", "what is too short to be one");
    }

    #[test]
    fn a_value_is_masked_wherever_it_begins_in_base64() {
        let mask = Mask::new([VALUE]);
        for before in ["", "x", "xy", "xyz", "user:", "a\0\u{ff}"] {
            for after in ["", "a", "bc", "def\n"] {
                let text = base64(format!("{before}{VALUE}{after}").as_bytes());
                for text in [text.clone(), text.replace('+', "-").replace('/', "_")] {
                    let shown = mask.text(&format!("<{text}>"));
                    assert!(shown.contains("***"), "{before:?} {after:?}: {shown}");
                    // What is left of the value at its ends: less than a letter on each side.
                    let (head, tail) = shown.split_once("***").unwrap();
                    assert!(
                        head.len() <= 2 + before.len() * 8 / 6 + 1 && tail.len() <= 3 + after.len() * 8 / 6 + 1,
                        "{shown}"
                    );
                }
            }
        }
    }

    #[test]
    fn lines_of_a_key_are_masked_by_themselves() {
        let mask =
            Mask::new(["-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEA\n-----END X-----\n"]);
        assert_eq!(mask.text("  MIIEvQIBADANBgkqhkiG9w0B\r\n| AQEFAASCBKcwggSjAgEA |"), "  ***\r\n| *** |");
    }

    #[test]
    fn what_cannot_be_a_value_is_not_held_back() {
        let mut masking = Masking::new(Mask::new(["secret-value"]));
        let mut told = Vec::new();
        let mut take =
            |bytes: &[u8]| masking.take(bytes, |fit| told.push(String::from_utf8_lossy(fit).into_owned()));
        take(b"$ prompt se");
        take(b"t\nsecret-");
        take(b"valu");
        take(b"e!");
        assert_eq!(told, ["$ prompt ", "set\n", "", "***!"]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            parts in prop::collection::vec(prop_oneof![Just(VALUE.to_owned()), Just("s3cr3".to_owned()), "[a-z /+?'\"]{0,12}"], 0..8),
            cuts in prop::collection::vec(0_usize..120, 0..12),
        ) {
            let mask = Mask::new([VALUE, "ret/Va", "1s3cr3t"]);
            let (text, mut cuts) = (parts.concat(), cuts);
            cuts.sort_unstable();
            let pieces = in_pieces(&mask, text.as_bytes(), &cuts);
            let hidden = String::from_utf8_lossy(&pieces).into_owned();
            prop_assert!(!hidden.contains(VALUE));
            prop_assert!(!hidden.contains("ret/Va"));
            prop_assert_eq!(hidden, mask.text(&text));
        }
    }
}
