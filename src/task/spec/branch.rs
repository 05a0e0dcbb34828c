//! What git takes as the name of a branch, asked without git: a spec is read where no repository is.

use crate::task::text;

/// The longest name, in characters: it goes into a trailer, and file systems end at 255 bytes.
const MAX_LEN: usize = 200;

/// Says whether git takes a text as the name of a branch (git-check-ref-format(1)).
pub fn is_branch(text: &str) -> bool {
    let forbidden = |c: char| c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let component = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    text.chars().count() <= MAX_LEN
        && text.split('/').all(component)
        && !text.contains(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.starts_with('-')
        && !text.ends_with('.')
        && !matches!(text, "@" | "HEAD")
        // A full ref name is a valid branch name too, and never what is meant.
        && !text.starts_with("refs/")
        && text::escaped(text) == text
}

#[cfg(test)]
mod tests {
    use super::is_branch;

    #[test]
    fn branches() {
        for text in ["main", "release/1.2", "a@b", "wip-x", "功能/打包", "a.b", "007"] {
            assert!(is_branch(text), "{text}");
        }
        let bad = [
            "",
            "-x",
            "a b",
            "a..b",
            "a.",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "/a",
            "a/",
            "a//b",
            "@",
            "HEAD",
            "a@{1}",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a\n",
            "a\x7f",
            "a\u{202e}b",
            "refs/heads/main",
        ];
        for text in bad {
            assert!(!is_branch(text), "{text:?}");
        }
        assert!(!is_branch(&"x".repeat(201)));
    }
}
