//! One table of a reftable: the refs that its bytes say.
//!
//! Owns the format of the ref blocks, as gitformat-reftable(5) states it, and nothing else of a table: the blocks are read one
//! after the other, so that its indices are of no use, and its logs are git's. Reads what may be damaged and never panics.

use gix::ObjectId;

/// What the file begins with.
const MAGIC: &[u8] = b"REFT";

/// How long an object id is.
const ID: usize = 20;

/// What a table says of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// It is gone, whatever older tables say.
    Gone,
    /// It holds an object.
    Id(ObjectId),
    /// It stands for another ref, of this full name.
    Symbolic(Vec<u8>),
}

/// A ref in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Its full name.
    pub name: Vec<u8>,
    /// What it is.
    pub value: Value,
}

/// Reads the refs of a table, sorted by name; `None` where it is damaged or of a version that is not known here.
pub(super) fn records(table: &[u8]) -> Option<Vec<Record>> {
    let header = match (table.strip_prefix(MAGIC)?.first()?, table.get(24..28)) {
        (1, _) => 24,
        (2, Some(b"sha1")) => 28,
        _ => return None,
    };
    // The footer repeats the header, followed by five positions and a checksum.
    let end = table.len().checked_sub(header + 44)?;
    if table.get(end..)?.get(..header)? != &table[..header] {
        return None;
    }
    let full = number(table, 5)?;
    let mut found: Vec<Record> = Vec::new();
    let mut at = 0;
    // The file's header is part of its first block.
    let mut begin = header;
    while at + begin < end && table[at + begin] == b'r' {
        let length = number(table, at + begin + 1)?;
        let block = table.get(at..at + length).filter(|block| at + block.len() <= end)?;
        read_block(block, begin + 4, &mut found)?;
        // Blocks are filled up to the same length with zeros, unless the next follows at once.
        let is_filled = length < full && table[..end].get(at + length).is_none_or(|next| *next == 0);
        at += if is_filled { full } else { length };
        begin = 0;
    }
    found.is_sorted_by(|one, next| one.name < next.name).then_some(found)
}

/// Reads the refs of one block, which begin at `at`; each is told as what is other than in the name before.
fn read_block(block: &[u8], at: usize, found: &mut Vec<Record>) -> Option<()> {
    // At its end stand offsets of three bytes, and how many.
    let (rest, count) = block.split_last_chunk::<2>()?;
    let end = rest.len().checked_sub(3 * usize::from(u16::from_be_bytes(*count)))?;
    let mut left = block.get(at..end)?;
    let mut name: Vec<u8> = Vec::new();
    while !left.is_empty() {
        let same = varint(&mut left)?;
        let about = varint(&mut left)?;
        name.truncate(same);
        name.extend_from_slice(take(&mut left, about >> 3)?);
        let _when = varint(&mut left)?;
        let value = match about & 7 {
            0 => Value::Gone,
            1 => Value::Id(id(&mut left)?),
            2 => {
                let tag = id(&mut left)?;
                // And what the tag is of.
                id(&mut left)?;
                Value::Id(tag)
            }
            3 => {
                let length = varint(&mut left)?;
                Value::Symbolic(take(&mut left, length)?.to_vec())
            }
            _ => return None,
        };
        found.push(Record { name: name.clone(), value });
    }
    Some(())
}

/// Reads three bytes.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk::<3>()?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// Reads a number of as many bytes as it needs, each but the last with its highest bit set.
fn varint(left: &mut &[u8]) -> Option<usize> {
    let mut byte = *left.split_off_first()?;
    let mut sum = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        byte = *left.split_off_first()?;
        sum = sum.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
    }
    Some(sum)
}

fn take<'a>(left: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    left.split_off(..count)
}

fn id(left: &mut &[u8]) -> Option<ObjectId> {
    ObjectId::try_from(take(left, ID)?).ok()
}
