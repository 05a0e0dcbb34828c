//! Writing many objects at once: they are kept in memory, and become one pack.
//!
//! A collect of hundreds of tasks makes thousands of small objects, and a file for each of them costs more than all of the
//! merging. Nothing outside this process sees an object before [`Repo::keep`].

use gix::objs::{Kind, Write as _};
use gix::zlib::stream::deflate::{Compress, FlushCompress};
use gix::zlib::{Compression, Status};
use rayon::prelude::*;

use super::error::{Error, Result};
use super::repo::Repo;

/// From how many objects on a pack is less work than a file for each.
const WORTH_A_PACK: usize = 64;

impl Repo {
    /// Returns a handle that keeps what is written through it in memory, where it alone sees it, until [`Repo::keep`].
    pub fn in_memory(&self) -> Self {
        let mut repo = self.clone();
        repo.gix.objects.enable_object_memory();
        repo
    }

    /// Writes what this handle holds in memory to the disk. Of a handle that holds nothing, nothing.
    pub fn keep(&self) -> Result<()> {
        let Some(objects) = self.gix.objects.reset_object_memory().filter(|objects| !objects.is_empty()) else {
            return Ok(());
        };
        if objects.len() < WORTH_A_PACK {
            for (kind, content) in objects.values() {
                let written = (*self.gix.objects).write_buf(*kind, content);
                written.map_err(|error| Error::storage("cannot write an object", &error))?;
            }
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| Error::Storage {
            what: "cannot pack".to_owned(),
            detail: error.to_string(),
        };
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(u32::try_from(objects.len()).map_err(|error| failed(&error))?.to_be_bytes());
        let objects: Vec<_> = objects.values().collect();
        let packed = || Compress::new(Compression::BEST_SPEED);
        let entries =
            objects.par_iter().map_init(packed, |compress, (kind, content)| entry(compress, *kind, content));
        let entries: Vec<Vec<u8>> = entries.collect::<Option<_>>().ok_or_else(|| failed(&"compression failed"))?;
        entries.iter().for_each(|entry| pack.extend_from_slice(entry));
        let mut hasher = gix::hash::hasher(self.gix.object_hash());
        hasher.update(&pack);
        let checksum = hasher.try_finalize().map_err(|error| failed(&error))?;
        pack.extend_from_slice(checksum.as_slice());
        self.git().check_with(&["index-pack", "--stdin"], Some(pack))?;
        Ok(())
    }
}

/// Makes an object's entry in a pack. A new compressor for each would be more work than to compress most objects.
fn entry(compress: &mut Compress, kind: Kind, content: &[u8]) -> Option<Vec<u8>> {
    let mut entry = Vec::with_capacity(content.len() / 2 + 64);
    entry_header(&mut entry, kind, content.len());
    let start = entry.len();
    // What cannot be compressed grows: by an eighth at most, and what stands around it.
    entry.resize(start + content.len() + content.len() / 8 + 64, 0);
    compress.reset();
    let status = compress.compress(content, &mut entry[start..], FlushCompress::Finish).ok()?;
    entry.truncate(start + usize::try_from(compress.total_out()).ok()?);
    matches!(status, Status::StreamEnd).then_some(entry)
}

/// Writes what stands before an object in a pack: its kind, and its size in groups of 4, 7, 7 … bits, the least first.
fn entry_header(pack: &mut Vec<u8>, kind: Kind, size: usize) {
    let kind: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let low = |bits: usize| u8::try_from(size & ((1 << bits) - 1)).unwrap_or_default();
    let (mut byte, mut rest) = ((kind << 4) | low(4), size >> 4);
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
    }
    pack.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32).to_le_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_is_kept_is_there_for_git_few_or_many_small_or_large() {
        for count in [1, WORTH_A_PACK - 1, WORTH_A_PACK, 300] {
            let folder = tempfile::tempdir().unwrap();
            Git::outside(folder.path()).check(&["init", "--quiet", "--bare", "."]).unwrap();
            let repo = Repo::open(folder.path()).unwrap();
            let memory = repo.in_memory();
            let text = |number: usize| match number % 3 {
                // What no compressor makes smaller.
                2 => noise(number * 400),
                _ => format!("{number} ").repeat(number * number).into_bytes(),
            };
            let ids: Vec<_> = (0..count).map(|number| memory.write_blob(&text(number)).unwrap()).collect();
            assert!(memory.has(ids[0]) && !repo.has(ids[0]), "one sees it, the other not yet");
            memory.keep().unwrap();
            memory.keep().unwrap();
            repo.git().check(&["fsck", "--strict"]).unwrap();
            let fresh = Repo::open(folder.path()).unwrap();
            for (number, id) in ids.iter().enumerate() {
                assert!(fresh.blob(*id) == Some(text(number)) && repo.has(*id) && memory.has(*id), "{number}");
            }
            let packs = repo.git().check(&["count-objects", "-v"]).unwrap().text();
            assert_eq!(packs.contains("\npacks: 1\n"), count >= WORTH_A_PACK, "{packs}");
        }
    }
}
