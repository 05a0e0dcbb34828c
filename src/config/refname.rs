//! Owns which texts may become part of a ref's name, by the rules of `git check-ref-format`. Does not own the refs.

/// Namespaces of git's own, and the one that never leaves a clone: whole, they cannot be ours.
const TAKEN: [&str; 7] =
    ["refs/", "refs/heads/", "refs/tags/", "refs/notes/", "refs/remotes/", "refs/stash/", "refs/dispatch-local/"];

/// Says why a text cannot be the root of our refs.
pub(crate) fn wrong_ref_prefix(text: &str) -> Option<&'static str> {
    if !text.starts_with("refs/") {
        return Some("does not begin with `refs/`");
    }
    let Some(whole) = text.strip_suffix('/') else {
        return Some("does not end in `/`");
    };
    if TAKEN.contains(&text) || text.starts_with("refs/dispatch-local/") {
        return Some("is a namespace that others use");
    }
    wrong_name(whole)
}

/// Says why a text cannot be what branch names begin with.
pub(crate) fn wrong_branch_prefix(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is empty, so that task branches could not be told from others");
    }
    // What follows is a project's name: an `x` stands for it.
    wrong_branch(&format!("{text}x"))
}

/// Says why a text cannot be the name of a branch.
pub(crate) fn wrong_branch(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is empty");
    }
    if text.starts_with('-') {
        return Some("begins with `-`");
    }
    if text.starts_with("refs/") || text == "HEAD" || text == "@" {
        return Some("is a ref, not a branch's name");
    }
    wrong_name(text)
}

fn wrong_name(text: &str) -> Option<&'static str> {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if text.contains(forbidden) || text.contains("..") || text.contains("@{") {
        return Some("holds a character that git takes in no ref's name");
    }
    let wrong =
        |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock");
    text.split('/').any(wrong).then_some("has a part that git takes in no ref's name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_ref_prefixes() {
        for good in ["refs/dispatch/", "refs/heads/dispatch/", "refs/x/y/"] {
            assert_eq!(wrong_ref_prefix(good), None, "{good}");
        }
        let bad = [
            "",
            "dispatch/",
            "refs/dispatch",
            "refs/",
            "refs/heads/",
            "refs/a b/",
            "refs/a..b/",
            "refs//",
            "refs/.a/",
            "refs/a.lock/",
            "refs/a*/",
            "refs/dispatch-local/",
            "refs/dispatch-local/x/",
            "refs/a//",
            "refs/\u{7}/",
        ];
        for bad in bad {
            assert!(wrong_ref_prefix(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn judges_branches_and_their_prefixes() {
        for good in ["task/", "bot-", "a/b/", "été/"] {
            assert_eq!(wrong_branch_prefix(good), None, "{good}");
        }
        for bad in ["", "/", "-x/", "refs/heads/task/", "a//", "task ", "x..", ".x/", "a:b/"] {
            assert!(wrong_branch_prefix(bad).is_some(), "{bad}");
        }
        assert_eq!(wrong_branch("main"), None);
        for bad in ["", "-x", "--upload-pack=x", "a..b", "refs/heads/main", "HEAD", "a.lock", "a b", "a/"] {
            assert!(wrong_branch(bad).is_some(), "{bad}");
        }
    }
}
