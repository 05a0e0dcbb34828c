//! A record that is kept as it is written, and decoded when somebody looks at it.
//!
//! Of a long queue nearly all tasks have ended long ago, and most commands look at a few: what nobody looks at costs its bytes,
//! and neither time nor the dozens of texts that a decoded record is made of.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::codec::{self, Stored};

/// The written form of one record, which may lie among many, and the record once it was looked at.
pub struct Late<T> {
    block: Arc<Vec<u8>>,
    from: u32,
    to: u32,
    here: OnceLock<Box<T>>,
}

/// What stands for a record whose bytes do not read back: blocks are checked as a whole, so that none ever should.
pub trait Record: Stored {
    /// Returns it.
    fn broken() -> Self;
}

impl<T: Stored> Late<T> {
    /// Takes a record; what it was made of can go.
    pub(super) fn new(record: &T) -> Self {
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        bytes.shrink_to_fit();
        let to = bytes.len() as u32;
        Self { block: Arc::new(bytes), from: 0, to, here: OnceLock::new() }
    }

    /// Writes it at the end.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.bytes().len().put(out);
        out.extend(self.bytes());
    }

    /// Reads it from the rest of a block, and moves the rest behind it.
    pub(super) fn take(block: &Arc<Vec<u8>>, rest: &mut &[u8]) -> Option<Self> {
        let length = usize::take(rest)?;
        let from = block.len().checked_sub(rest.len())?;
        codec::bytes(rest, length)?;
        let (from, to) = (u32::try_from(from).ok()?, u32::try_from(from + length).ok()?);
        Some(Self { block: block.clone(), from, to, here: OnceLock::new() })
    }
}

/// Lays records side by side that were taken each for itself: apart, they take up half as much again.
pub(super) fn gather<'a, T: 'a>(records: impl Iterator<Item = &'a mut Late<T>>) {
    let (mut all, mut gathered, nothing) = (Vec::new(), Vec::new(), Arc::new(Vec::new()));
    for record in records {
        let from = all.len();
        all.extend(record.bytes());
        (record.from, record.to, record.block) = (from as u32, all.len() as u32, nothing.clone());
        gathered.push(record);
    }
    all.shrink_to_fit();
    let block = Arc::new(all);
    for record in gathered {
        record.block = block.clone();
    }
}

impl<T> Late<T> {
    fn bytes(&self) -> &[u8] {
        &self.block[self.from as usize..self.to as usize]
    }
}

impl<T: Record> Late<T> {
    /// Decodes it for the caller alone: who goes through a long queue lets each go again.
    pub fn read(&self) -> T {
        T::take(&mut self.bytes()).unwrap_or_else(T::broken)
    }
}

#[cfg(test)]
impl<T> Late<T> {
    pub(super) fn is_decoded(&self) -> bool {
        self.here.get().is_some()
    }
}

/// A copy is decoded for itself: who looks at very many can let each go.
impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), from: self.from, to: self.to, here: OnceLock::new() }
    }
}

impl<T: Record> Deref for Late<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.here.get_or_init(|| Box::new(self.read()))
    }
}

/// One record has one written form.
impl<T> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl<T> Eq for Late<T> {}

impl<T: Record + fmt::Debug> fmt::Debug for Late<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
