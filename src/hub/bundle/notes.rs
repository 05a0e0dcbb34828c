//! Notes that come in a file: their ref moves forward, or their lines are added to what is there.

use std::collections::HashSet;

use super::{Hub, ObjectId, Result};
use crate::ambient::Ambient;
use crate::git::repo::Identity;
use crate::hub::Edit;
use crate::hub::notes::Addition;

impl Hub {
    /// Prepares the edit that brings the notes of `incoming` onto the shared ref `name`, which holds `known`. Text is only
    /// ever added; `None` where all of it is there.
    pub fn take_in_notes(
        &self,
        name: &str,
        known: Option<ObjectId>,
        incoming: ObjectId,
        by: &Identity,
        ambient: &Ambient,
    ) -> Result<Option<Edit>> {
        let Some(old) = known else {
            return Ok(Some(Edit::new(name, None, Some(incoming))));
        };
        if self.repo.is_ancestor(incoming, old) {
            return Ok(None);
        }
        if self.repo.is_ancestor(old, incoming) {
            return Ok(Some(Edit::new(name, known, Some(incoming))));
        }
        let there = self.repo.notes(old);
        let mut additions = Vec::new();
        for (object, blob) in self.repo.notes(incoming) {
            if there.get(&object) == Some(&blob) {
                continue;
            }
            let text = self.repo.blob(blob).unwrap_or_default();
            let has = there.get(&object).and_then(|blob| self.repo.blob(*blob)).unwrap_or_default();
            let missing = missing(&has, &text);
            if !missing.is_empty() {
                additions.push(Addition { object, text: missing });
            }
        }
        additions.sort_by_key(|addition| addition.object);
        self.add_to_notes(name, known, &additions, by, ambient)
    }
}

/// What of a note's text is not in the other: its lines; or, of output, which is no set of lines, whatever follows.
fn missing(has: &[u8], text: &[u8]) -> Vec<u8> {
    if let Some(rest) = text.strip_prefix(has) {
        return rest.to_vec();
    }
    let is_record = text.first() == Some(&b'{');
    if !is_record {
        return text.to_vec();
    }
    let lines = |text| <[u8]>::split_inclusive(text, |byte: &u8| *byte == b'\n');
    let known: HashSet<&[u8]> = lines(has).collect();
    lines(text).filter(|line| !known.contains(line)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn what_is_there_is_not_added_again() {
        assert_eq!(missing(b"{1}\n", b"{1}\n{2}\n"), b"{2}\n");
        assert_eq!(missing(b"{1}\n{3}\n", b"{1}\n{2}\n"), b"{2}\n");
        assert_eq!(missing(b"{2}\n{1}\n", b"{1}\n{2}\n"), b"");
        assert_eq!(missing(b"== a\n", b"== a\n== b\n"), b"== b\n");
    }
}
