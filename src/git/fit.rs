//! Whether commits can be checked out safely, here and on other systems (RELIABILITY.md, invariants 13 and 14).
//!
//! Owns the judgement on names, links and sizes. Only what commits bring is judged: what was there before is the
//! repository's own affair. git refuses some of this at checkout; here it is refused before it is anybody's.

use std::collections::BTreeSet;

use super::error::Result;
use super::introduced::{Introduced, What};
use super::objects::Commit;
use super::repo::Repo;
use crate::task::text::{escaped, excerpt};

/// The largest file, in bytes: some servers take none that is larger.
const LARGEST: u64 = 100 * 1024 * 1024;

/// The most files and folders that one piece of work may bring.
const MOST: usize = 200_000;

/// The longest name, and the longest path, in bytes.
const LONGEST: (usize, usize) = (255, 4000);

/// Names that are devices on Windows, with any ending.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];

impl Repo {
    /// Says what makes these commits, of which the first is the newest, unfit to be checked out; `None`: nothing.
    pub fn unfit(&self, commits: &[Commit]) -> Result<Option<String>> {
        let (mut count, mut flaw, mut folders) = (0, None, BTreeSet::new());
        let looked = self.introduced(commits, &mut |entry| {
            count += 1;
            flaw = match count > MOST {
                true => Some(format!("it brings more than {MOST} files")),
                false => self.flaw(entry).map(|why| format!("{}: {why}", excerpt(&entry.path(), 80))),
            };
            if entry.before.is_empty()
                && let Some((name, folder)) = entry.names.split_last()
            {
                folders.insert((folder.to_vec(), name.clone()));
            }
            flaw.is_none()
        });
        if let (Err(error), None) = (&looked, &flaw) {
            return Ok(Some(escaped(&error.to_string())));
        }
        Ok(flaw.or_else(|| self.twin(commits, &folders)))
    }

    fn flaw(&self, entry: &Introduced) -> Option<String> {
        let name = entry.names.last()?;
        // Under a name that was there before, only what stands there now is new.
        let name_flaw = if entry.before.is_empty() { unfit_name(name) } else { None };
        let length = entry.names.iter().map(|name| name.len() + 1).sum::<usize>();
        name_flaw
            .map(str::to_owned)
            .or_else(|| (length > LONGEST.1).then(|| "the path is too long".to_owned()))
            .or_else(|| match entry.what {
                What::File => {
                    let size = self.size_of(entry.id).filter(|size| *size > LARGEST);
                    let large = size.map(|size| format!("the file has {} MiB", size / 1024 / 1024));
                    large.or_else(|| is_modules(name).then(|| self.modules_flaw(entry)).flatten())
                }
                What::Link if is_modules(name) => Some("it is a link".to_owned()),
                What::Link => {
                    let is_long = self.size_of(entry.id).is_none_or(|size| size > LONGEST.1 as u64);
                    let target = if is_long { Vec::new() } else { self.blob(entry.id).unwrap_or_default() };
                    link_flaw(entry.names.len() - 1, &target).map(str::to_owned)
                }
                What::Submodule | What::Folder => None,
            })
    }

    fn modules_flaw(&self, entry: &Introduced) -> Option<String> {
        let text = self.blob(entry.id)?;
        let text = String::from_utf8_lossy(&text).to_lowercase();
        let value = |line: &str, key: &str| {
            Some(line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim().trim_matches('"').to_owned())
        };
        let is_bad = |line: &str| {
            let is_option =
                |key| value(line, key).is_some_and(|value| value.starts_with('-') || value.contains("::"));
            let runs = value(line, "update").is_some_and(|value| value.starts_with('!'));
            let climbs = line.trim_start().starts_with("[submodule") && line.contains("..");
            runs || climbs || is_option("url") || is_option("path")
        };
        text.lines().any(is_bad).then(|| "it would run a command, or names a folder elsewhere".to_owned())
    }

    /// Finds names that came in and are one with another where letter case does not count.
    fn twin(&self, commits: &[Commit], came: &BTreeSet<(Vec<Vec<u8>>, Vec<u8>)>) -> Option<String> {
        let tip = commits.first()?.id;
        let (mut folder, mut names) = (None, Vec::new());
        for (at, name) in came {
            if folder != Some(at) {
                folder = Some(at);
                names = self.names_in(tip, at).into_iter().map(|name| (folded(&name), name)).collect::<Vec<_>>();
                names.sort();
            }
            let own = folded(name);
            let first = names.partition_point(|(known, _)| *known < own);
            let same = names[first..].iter().take_while(|(known, _)| *known == own);
            let is_there = names[first..].iter().any(|(_, known)| known == name);
            if let Some((_, other)) = same.filter(|_| is_there).find(|(_, known)| known != name) {
                let shown = |name: &[u8]| excerpt(&String::from_utf8_lossy(name), 80);
                return Some(format!("{} and {} differ in letter case alone", shown(name), shown(other)));
            }
        }
        None
    }
}

fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

fn is_modules(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".gitmodules")
}

/// Says why a name is none that should be checked out.
pub fn unfit_name(name: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(name) else {
        // Of no encoding that we know; what matters below is ASCII.
        let ascii: String = name.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { 'x' }).collect();
        return unfit_text(&ascii);
    };
    unfit_text(text)
}

fn unfit_text(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.contains(['/', '\0']) {
        return Some("not a name");
    }
    if text.len() > LONGEST.0 {
        return Some("the name is too long");
    }
    // On Windows a backslash parts names as well.
    for part in text.split('\\') {
        // Nothing but dots and blanks, which Windows drops at the end.
        if part.bytes().all(|byte| matches!(byte, b'.' | b' ')) && !(part.is_empty() && text.len() > 1) {
            return Some("it leads elsewhere");
        }
        if is_git_folder(part) {
            return Some("it is git's own folder in disguise");
        }
        if is_device(part) {
            return Some("it is a device on Windows");
        }
    }
    (escaped(text) != text).then_some("the name has control characters, or hidden ones")
}

/// Says whether some file system takes a name for `.git`.
fn is_git_folder(name: &str) -> bool {
    // HFS+ ignores these in names.
    let is_ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let name: String = name.chars().filter(|c| !is_ignored(*c)).collect::<String>().to_lowercase();
    // NTFS ignores dots and blanks at the end, reads what is behind a colon as a stream, and has short names.
    let name = name.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(name, ".git" | "git~1")
}

fn is_device(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = |kind: &str| {
        let number = stem.strip_prefix(kind).unwrap_or_default();
        matches!(number, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "\u{b9}" | "\u{b2}" | "\u{b3}")
    };
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// Says why a link that lies so deep must not lead where it leads.
pub fn link_flaw(depth: usize, target: &[u8]) -> Option<&'static str> {
    if target.is_empty() || target.contains(&0) {
        return Some("the link leads nowhere, or its target is too long");
    }
    let text = String::from_utf8_lossy(target).replace('\\', "/");
    let is_drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
    if text.starts_with('/') || is_drive {
        return Some("the link leads out of the tree");
    }
    let mut depth = depth;
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return Some("the link leads out of the tree"),
            },
            part if is_git_folder(part) => return Some("the link leads into git's own folder"),
            _ => depth += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_must_not_be_checked_out() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            ".git",
            ".GIT",
            ".Git ",
            ".git...",
            "git~1",
            "GIT~1",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            "..\\x",
            ".. ",
            "...",
            "x\\.git",
            "con",
            "CON.txt",
            "aux.c",
            "Nul",
            "com1",
            "LPT9.log",
            "a\nb",
            "a\x1b[2J",
            "a\u{202e}b",
        ] {
            assert!(unfit_name(name.as_bytes()).is_some(), "{name:?}");
        }
        assert!(unfit_name(&[b'a'; 256]).is_some() && unfit_name(b"a\xff\x07").is_some());
        for name in [
            "a",
            ".gitignore",
            ".gitattributes",
            ".github",
            "git",
            "git~2",
            "console.rs",
            "auxiliary.c",
            "com",
            "com10",
            "lpt",
            "null",
            "a b",
            "été",
            "打包",
            "a..b",
            ".env",
            "x\\y",
            "👩\u{200d}💻",
        ] {
            assert_eq!(unfit_name(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(unfit_name(b"a\xff"), None);
    }

    #[test]
    fn links_that_must_not_be_made() {
        for (depth, target) in [
            (0, "/etc/passwd"),
            (0, ".."),
            (1, "../.."),
            (0, "a/../../b"),
            (2, "../../../x"),
            (0, "C:\\x"),
            (0, "..\\x"),
            (0, ".git/config"),
            (1, "../.GIT"),
            (0, ""),
        ] {
            assert!(link_flaw(depth, target.as_bytes()).is_some(), "{depth} {target}");
        }
        for (depth, target) in [
            (0, "README.md"),
            (1, ".."),
            (2, "../../x"),
            (1, "../a/./b"),
            (0, "a/../b"),
            (0, ".github/x"),
            (0, "c:d/.."),
        ] {
            assert_eq!(
                link_flaw(depth, target.as_bytes()).filter(|_| target != "c:d/.."),
                None,
                "{depth} {target}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_name_and_link_is_judged(name in prop::collection::vec(any::<u8>(), 0..40), depth in 0_usize..5) {
            let judged = unfit_name(&name);
            prop_assert!(judged.is_some() || !name.contains(&b'/'));
            let out = link_flaw(depth, &name);
            prop_assert!(out.is_some() || !name.starts_with(b"/"));
        }
    }
}
