//! How records stand in the file: field after field, each in the shortest form that reads back the same.
//!
//! Owns the fields, listed once for writing and reading: a field that is added to a record and not here does not compile,
//! and one that is added here changes [`shape`], so that a file of before is not read. Nothing but this program's own files
//! is read so; what cannot be read is `None`, and the whole file with it.

use jiff::Timestamp;
use serde_json::Value;

use crate::git::ObjectId;
use crate::hub::format::SpecRecord;
use crate::task::event::{ConflictFile, Event};
use crate::task::name::NameKind;
use crate::task::phase::Reason;
use crate::task::spec::Mode;
use crate::task::{Name, TaskName};

/// Something that stands in the file.
pub trait Stored: Sized {
    /// Writes it at the end.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from the start, and moves the start behind it.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! stored {
    ($($type:ident { $($field:ident),* $(,)? })*) => {
        $(impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }
            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Stored::take(from)?),* })
            }
        })*

        /// Spells out what is written, in which order.
        pub(super) const fn shape() -> &'static str {
            concat!($(stringify!($type), "{", $(stringify!($field), ",",)* "}"),*)
        }
    };
}

stored! {
    SpecRecord {
        task, title, priority, depends_on, modifies, labels, executor, mode, estimate_minutes, target, repairs, generation,
    }
    TaskName { project, id }
    ConflictFile { path, kind }
    Event {
        v, at, event, task, attempt, node, slot, claim, reason, started_at, completed_at, duration_seconds, exit_code, base,
        result, branch, loc_added, loc_removed, files_changed, artifact_hash, outside_modifies, error, log_bytes, output,
        target, merge_commit, files, repair, reopens, charged,
    }
}

/// Takes the first `count` bytes.
pub(super) fn bytes<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (first, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(first)
}

impl Stored for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest > 0x7f {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes(from, 1)?[0];
            value |= Self::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

macro_rules! through {
    ($($type:ty as $other:ty: $to:expr, $back:expr;)*) => {
        $(impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let to: fn(&Self) -> $other = $to;
                to(self).put(out);
            }
            fn take(from: &mut &[u8]) -> Option<Self> {
                let back: fn($other) -> Option<Self> = $back;
                back(<$other>::take(from)?)
            }
        })*
    };
}

through! {
    usize as u64: |value| *value as u64, |value| value.try_into().ok();
    u32 as u64: |value| u64::from(*value), |value| value.try_into().ok();
    u8 as u64: |value| u64::from(*value), |value| value.try_into().ok();
    i64 as u64: |value| ((*value << 1) ^ (*value >> 63)) as u64, |value| Some((value >> 1) as i64 ^ -((value & 1) as i64));
    i32 as i64: |value| i64::from(*value), |value| value.try_into().ok();
    bool as u8: |value| u8::from(*value), |value| (value < 2).then_some(value == 1);
    Mode as String: ToString::to_string, |text| text.parse().ok();
    Reason as String: ToString::to_string, |text| text.parse().ok();
    Value as String: ToString::to_string, |text| serde_json::from_str(&text).ok();
}

impl Stored for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_bits().to_le_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self::from_bits(u64::from_le_bytes(bytes(from, 8)?.try_into().ok()?)))
    }
}

impl Stored for ObjectId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.as_slice());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::try_from(bytes(from, 20)?).ok()
    }
}

impl Stored for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_second().put(out);
        self.subsec_nanosecond().put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::new(Stored::take(from)?, Stored::take(from)?).ok()
    }
}

/// The mark of a text of forty hexadecimal digits, which most are: they stand in twenty bytes. Otherwise the length.
const ID: u64 = 0;

impl Stored for String {
    fn put(&self, out: &mut Vec<u8>) {
        let is_id = self.len() == 40 && self.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match ObjectId::from_hex(self.as_bytes()) {
            Ok(id) if is_id => {
                ID.put(out);
                id.put(out);
            }
            _ => {
                (self.len() as u64 + 1).put(out);
                out.extend(self.as_bytes());
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u64::take(from)? {
            ID => Some(ObjectId::take(from)?.to_string()),
            length => Self::from_utf8(bytes(from, usize::try_from(length - 1).ok()?)?.to_vec()).ok(),
        }
    }
}

impl Stored for Name {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.as_str().len() as u8);
        out.extend(self.as_str().as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::from(bytes(from, 1)?[0]);
        Self::new(NameKind::Task, std::str::from_utf8(bytes(from, length)?).ok()?).ok()
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        if bool::take(from)? { Some(Some(T::take(from)?)) } else { Some(None) }
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let count = usize::take(from)?;
        // Nothing stands in less than a byte: a count that is wrong must not ask for all memory.
        if count > from.len() {
            return None;
        }
        let mut all = Self::with_capacity(count);
        for _ in 0..count {
            all.push(T::take(from)?);
        }
        Some(all)
    }
}
