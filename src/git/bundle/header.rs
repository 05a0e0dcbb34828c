//! The header of a bundle file, read within bounds before git sees the file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use gix::ObjectId;

use super::{BundleError, Result};

/// The most refs that a bundle may hold.
const MAX_REFS: usize = 50_000;

/// The most prerequisites that a bundle may name.
const MAX_PREREQUISITES: usize = 200_000;

/// The longest header, in bytes.
const MAX_HEADER: u64 = 32 << 20;

/// The longest line of a header, in bytes.
const MAX_LINE: u64 = 4096;

/// The first line of the one version that we write and read: objects are named by SHA-1, nothing is left out.
const SIGNATURE: &str = "# v2 git bundle";

/// What a pack begins with.
const PACK: &[u8] = b"PACK";

/// What stands before the pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Commits that the reader must have.
    pub prerequisites: Vec<ObjectId>,
    /// The refs, in the order of the file; no name twice.
    pub refs: Vec<(String, ObjectId)>,
    /// Where the pack begins, in bytes; 0 in a header that is to be written.
    pub pack_at: u64,
}

impl Header {
    /// Writes the text, with the empty line that ends it.
    pub fn to_text(&self) -> String {
        let mut text = format!("{SIGNATURE}\n");
        text.extend(self.prerequisites.iter().map(|id| format!("-{id}\n")));
        text.extend(self.refs.iter().map(|(name, id)| format!("{id} {name}\n")));
        text.push('\n');
        text
    }

    /// Returns what a ref of the bundle holds.
    pub fn get(&self, name: &str) -> Option<ObjectId> {
        self.refs.iter().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    /// Reads the header of a file, and looks whether a pack follows.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source| BundleError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
        }
        Self::parse(&mut BufReader::new(file), path)
    }

    fn parse(input: &mut impl std::io::BufRead, path: &Path) -> Result<Self> {
        let not_one = |detail: &str| BundleError::NotABundle { path: path.to_owned(), detail: detail.to_owned() };
        let too_large = |detail: &str| BundleError::TooLarge { path: path.to_owned(), detail: detail.to_owned() };
        let damaged = |detail: &str| BundleError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let mut header = Self::default();
        let mut names = std::collections::HashSet::new();
        let mut line = Vec::new();
        let mut is_first = true;
        loop {
            line.clear();
            let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            let read = read.map_err(|source| BundleError::Unreadable { path: path.to_owned(), source })?;
            header.pack_at += read as u64;
            if line.pop() != Some(b'\n') {
                return Err(match (is_first, read as u64) {
                    (true, 0) => not_one("it is empty"),
                    (true, _) => not_one("it does not begin as one"),
                    (false, MAX_LINE) => too_large("a line of its header is too long"),
                    (false, _) => damaged("it ends within its header"),
                });
            }
            if std::mem::take(&mut is_first) {
                if line != SIGNATURE.as_bytes() {
                    return Err(not_one("it does not begin as one of version 2"));
                }
                continue;
            }
            if line.is_empty() {
                break;
            }
            if header.pack_at > MAX_HEADER {
                return Err(too_large("its header is too long"));
            }
            let text = std::str::from_utf8(&line).map_err(|_| damaged("a line of its header is no text"))?;
            if let Some(rest) = text.strip_prefix('-') {
                let id = rest.split(' ').next().unwrap_or_default();
                header.prerequisites.push(read_id(id).ok_or_else(|| damaged("a prerequisite is no object id"))?);
            } else {
                let (id, name) = text.split_once(' ').ok_or_else(|| damaged("a line of its header is no ref"))?;
                let id = read_id(id).ok_or_else(|| damaged("a ref holds no object id"))?;
                if !names.insert(name.to_owned()) {
                    return Err(damaged("it names a ref twice"));
                }
                header.refs.push((name.to_owned(), id));
            }
            if header.refs.len() > MAX_REFS {
                return Err(too_large(&format!("it holds more than {MAX_REFS} refs")));
            }
            if header.prerequisites.len() > MAX_PREREQUISITES {
                return Err(too_large(&format!("it builds on more than {MAX_PREREQUISITES} commits")));
            }
        }
        let mut magic = [0; 4];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == PACK => Ok(header),
            Ok(()) => Err(damaged("no pack follows its header")),
            Err(_) => Err(damaged("it ends behind its header")),
        }
    }
}

fn read_id(text: &str) -> Option<ObjectId> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == 40 && is_hex).then(|| ObjectId::from_hex(text.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Header> {
        Header::parse(&mut BufReader::new(bytes), Path::new("x.bundle"))
    }

    fn code(bytes: &[u8]) -> String {
        let error = read(bytes).unwrap_err();
        miette::Diagnostic::code(&error).map(|code| code.to_string()).unwrap_or_default()
    }

    fn one() -> Header {
        let id = |digit: u8| ObjectId::from_hex(&[digit; 40]).unwrap();
        Header { prerequisites: vec![id(b'1')], refs: vec![("refs/heads/main".to_owned(), id(b'2'))], pack_at: 0 }
    }

    #[test]
    fn what_was_written_reads_back() {
        let text = one().to_text();
        let bytes = [text.as_bytes(), b"PACK...."].concat();
        assert_eq!(read(&bytes).unwrap(), Header { pack_at: text.len() as u64, ..one() });
        assert_eq!(one().get("refs/heads/main"), Some(one().refs[0].1));
    }

    #[test]
    fn what_is_none_is_told_from_what_is_broken() {
        assert_eq!(code(b""), "dispatch::bundle::not_a_bundle");
        assert_eq!(code(b"# v3 git bundle\n@filter=blob:none\n\nPACK"), "dispatch::bundle::not_a_bundle");
        let text = one().to_text();
        for end in SIGNATURE.len() + 1..text.len() + 4 {
            let whole = [text.as_bytes(), b"PACK"].concat();
            assert_eq!(code(&whole[..end]), "dispatch::bundle::damaged", "cut at {end}");
        }
        assert_eq!(code(text.replace("2222 ", "222g ").as_bytes()), "dispatch::bundle::damaged");
        let twice = Header { refs: [one().refs, one().refs].concat(), ..one() };
        assert_eq!(code(format!("{}PACK", twice.to_text()).as_bytes()), "dispatch::bundle::damaged");
    }

    #[test]
    fn bounds_hold() {
        let refs: Vec<_> = (0..=MAX_REFS).map(|at| (format!("refs/heads/{at}"), one().refs[0].1)).collect();
        let fits = Header { refs: refs[1..].to_vec(), ..one() };
        assert!(read(format!("{}PACK", fits.to_text()).as_bytes()).is_ok());
        let text = Header { refs, ..one() }.to_text();
        assert_eq!(code(format!("{text}PACK").as_bytes()), "dispatch::bundle::too_large");
        let long = format!("{SIGNATURE}\n{}\n", "x".repeat(10_000));
        assert_eq!(code(long.as_bytes()), "dispatch::bundle::too_large");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(0u8..=255, 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[SIGNATURE.as_bytes(), b"\n", &bytes].concat());
        }
    }
}
