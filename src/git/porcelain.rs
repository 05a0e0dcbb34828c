//! Pure readers of what git(1) prints for programs.
//!
//! Owns the parsing; knows neither processes nor what the answers mean. What is not understood is refused or left out,
//! never guessed.

use gix::ObjectId;

/// The flag character of a line of `git push --porcelain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushFlag {
    /// ` `: fast-forwarded.
    Moved,
    /// `+`: forced, under its lease.
    Forced,
    /// `-`: deleted.
    Deleted,
    /// `*`: created.
    Created,
    /// `=`: the ref holds the very value already.
    UpToDate,
    /// `!`: not done, or not known to be done.
    Rejected,
}

/// One line of the answer to a push: what became of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushLine {
    /// What became of it.
    pub flag: PushFlag,
    /// The ref on the remote's side.
    pub to: String,
    /// Why the remote itself did not do it, in its own words: to be shown, never to be judged by.
    pub refused: Option<String>,
}

/// Reads what the remote's side wrote for people into git's standard error, on one line; empty where it said nothing.
pub fn remote_words(stderr: &str) -> String {
    let said: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("remote: "))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    said.join(" ")
}

/// Reads the answer of `git push --porcelain`; lines that are not about a ref are left out.
pub fn push_lines(stdout: &[u8]) -> Vec<PushLine> {
    String::from_utf8_lossy(stdout).lines().filter_map(push_line).collect()
}

fn push_line(line: &str) -> Option<PushLine> {
    let mut fields = line.splitn(3, '\t');
    let flag = match fields.next()? {
        " " => PushFlag::Moved,
        "+" => PushFlag::Forced,
        "-" => PushFlag::Deleted,
        "*" => PushFlag::Created,
        "=" => PushFlag::UpToDate,
        "!" => PushFlag::Rejected,
        _ => return None,
    };
    // `<from>:<to>`; a ref name holds no colon, so the last one parts them.
    let (_, to) = fields.next()?.rsplit_once(':')?;
    let summary = fields.next()?;
    let refused = summary.strip_prefix("[remote rejected] (").and_then(|reason| reason.strip_suffix(')'));
    Some(PushLine { flag, to: to.to_owned(), refused: refused.map(str::to_owned) })
}

/// Reads `<id>\t<ref>` lines, as `git ls-remote` and `git bundle list-heads` print them.
pub fn ref_lines(stdout: &[u8]) -> Vec<(String, ObjectId)> {
    String::from_utf8_lossy(stdout)
        .lines()
        .filter_map(|line| {
            let (id, name) = line.split_once(['\t', ' '])?;
            Some((name.to_owned(), ObjectId::from_hex(id.as_bytes()).ok()?))
        })
        .collect()
}

/// What `git merge-tree --write-tree -z --name-only --messages` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeTree {
    /// The tree, with conflict markers where there is a conflict.
    pub tree: ObjectId,
    /// The paths that conflict, each with the kind of conflict; empty for a clean merge.
    pub conflicts: Vec<(String, String)>,
}

/// Reads the answer of `git merge-tree --write-tree -z --name-only --messages`; `None` if it is of another shape.
///
/// `<tree> NUL (<path> NUL)* NUL (<n> NUL <path>{n} NUL <kind> NUL <message> NUL)*`
pub fn merge_tree(stdout: &[u8]) -> Option<MergeTree> {
    one_merge(&mut nul_fields(stdout))
}

/// Reads the answers of the same with `--stdin`: each begins with a status, and ends with one more NUL.
pub fn merge_trees(stdout: &[u8], count: usize) -> Option<Vec<MergeTree>> {
    let mut fields = nul_fields(stdout);
    (0..count)
        .map(|_| match fields.next()?.as_str() {
            "0" | "1" => one_merge(&mut fields),
            _ => None,
        })
        .collect()
}

fn nul_fields(stdout: &[u8]) -> impl Iterator<Item = String> + '_ {
    stdout.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned())
}

fn one_merge(fields: &mut impl Iterator<Item = String>) -> Option<MergeTree> {
    let tree = ObjectId::from_hex(fields.next()?.trim().as_bytes()).ok()?;
    let paths: Vec<String> = fields.by_ref().take_while(|field| !field.is_empty()).collect();
    let mut kinds: Vec<(String, String)> = Vec::new();
    while let Some(count) = fields.next().filter(|field| !field.is_empty()) {
        let count: usize = count.parse().ok()?;
        let concerned: Vec<String> = fields.by_ref().take(count).collect();
        let kind = fields.next()?;
        fields.next()?;
        if let Some(kind) = kind.strip_prefix("CONFLICT (").and_then(|kind| kind.strip_suffix(')')) {
            kinds.extend(concerned.into_iter().map(|path| (path, kind.to_owned())));
        }
    }
    let conflicts = paths
        .into_iter()
        .map(|path| {
            let kind = kinds.iter().find(|(other, _)| *other == path).map_or("contents", |(_, kind)| kind);
            let kind = kind.to_owned();
            (path, kind)
        })
        .collect();
    Some(MergeTree { tree, conflicts })
}

/// One entry of `git worktree list --porcelain -z`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Worktree {
    /// Its folder.
    pub path: String,
    /// The full name of the branch that is checked out, if one is.
    pub branch: Option<String>,
    /// Whether it is the bare repository itself.
    pub bare: bool,
}

/// Reads `git worktree list --porcelain -z`.
pub fn worktrees(stdout: &[u8]) -> Vec<Worktree> {
    let text = String::from_utf8_lossy(stdout);
    text.split("\0\0")
        .filter_map(|block| {
            let mut worktree = Worktree::default();
            for line in block.split('\0') {
                match line.split_once(' ') {
                    Some(("worktree", path)) => worktree.path = path.to_owned(),
                    Some(("branch", branch)) => worktree.branch = Some(branch.to_owned()),
                    _ if line == "bare" => worktree.bare = true,
                    _ => {}
                }
            }
            (!worktree.path.is_empty()).then_some(worktree)
        })
        .collect()
}

/// Reads what `git -c key=value` hands to the commands that it starts (`GIT_CONFIG_PARAMETERS`), as `key=value` each, or
/// `key` alone; `None` if it is of another shape.
///
/// Since git 2.31 `'key'='value'`, before `'key=value'`, separated by blanks; a `'` or `!` in one is written `'\''`, `'\!'`.
pub fn config_parameters(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut one = String::new();
        while let Some(first) = rest.chars().next().filter(|first| *first != ' ') {
            rest = &rest[first.len_utf8()..];
            match first {
                '\'' => {
                    let (quoted, after) = rest.split_once('\'')?;
                    one.push_str(quoted);
                    rest = after;
                }
                '\\' => {
                    let escaped = rest.chars().next()?;
                    one.push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
                '=' => one.push('='),
                _ => return None,
            }
        }
        found.push(one);
        rest = rest.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_command_line_are_taken_out_of_their_quotes() {
        let read = |text| config_parameters(text).map(|all| all.join("|"));
        assert_eq!(read("'a.b'='c d' 'e.f=g'  'h.i'=").unwrap(), "a.b=c d|e.f=g|h.i=");
        assert_eq!(read("'a.b'='it'\\''s = x'\\!''").unwrap(), "a.b=it's = x!");
        assert_eq!(read("'a.b'").unwrap(), "a.b");
        assert_eq!(read("").unwrap(), "");
        assert_eq!((read("a.b=c"), read("'a"), read("'a'\\")), (None, None, None));
    }

    #[test]
    fn each_flag_of_a_push_is_told_by_its_character() {
        let answer = b"To /hub.git\n*\tabc:refs/dispatch/queue\t[new reference]\n=\tHEAD:refs/x\t[up to date]\n \
            \trefs/a:refs/b\t1..2\n+\ta:refs/c\t1...2 (forced update)\n-\t:refs/d\t[deleted]\n!\ta:refs/e\t[rejected] (stale info)\nDone\n";
        let flags: Vec<_> = push_lines(answer).into_iter().map(|line| (line.flag, line.to)).collect();
        use PushFlag::*;
        let expected = [
            (Created, "refs/dispatch/queue"),
            (UpToDate, "refs/x"),
            (Moved, "refs/b"),
            (Forced, "refs/c"),
            (Deleted, "refs/d"),
            (Rejected, "refs/e"),
        ];
        assert_eq!(flags, expected.map(|(flag, to)| (flag, to.to_owned())));
    }

    #[test]
    fn text_that_looks_like_an_answer_is_left_out() {
        assert_eq!(push_lines(b"remote: *\tx:refs/y\nerror: failed\n*\tno colon\there\n?\ta:b\tc\n"), vec![]);
    }

    #[test]
    fn a_conflicting_merge_names_paths_and_kinds() {
        let answer = b"4b825dc642cb6eb9a060e54bf8d69288fbee4904\0a.txt\0b.txt\0\x001\0a.txt\0Auto-merging\0Auto-merging a.txt\n\0\
            1\0a.txt\0CONFLICT (contents)\0CONFLICT (content): Merge conflict in a.txt\n\0\
            1\0b.txt\0CONFLICT (modify/delete)\0CONFLICT ...\n\0";
        let merge = merge_tree(answer).unwrap();
        let expected = [("a.txt", "contents"), ("b.txt", "modify/delete")];
        assert_eq!(merge.conflicts, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    }

    #[test]
    fn a_clean_merge_is_a_tree_alone() {
        let merge = merge_tree(b"4b825dc642cb6eb9a060e54bf8d69288fbee4904\0").unwrap();
        assert_eq!(merge.conflicts, vec![]);
        assert_eq!(merge_tree(b"fatal: not a commit"), None);
    }

    #[test]
    fn several_merges_are_read_one_by_one() {
        let answer =
            b"0\0d56a902ba543edaef70d1b49de3028f02b496367\0a\0\x001\0a\0CONFLICT (contents)\0CONFLICT ...\n\0\x00\
            1\x002eb2a4dd62e5baa4d1c86239f52b976d5b5479b7\0\0\0";
        let merges = merge_trees(answer, 2).unwrap();
        assert_eq!(merges[0].conflicts, vec![("a".to_owned(), "contents".to_owned())]);
        assert!(merges[1].conflicts.is_empty() && merge_trees(answer, 3).is_none());
    }

    #[test]
    fn worktrees_tell_their_branch() {
        let answer = b"worktree /r\0HEAD 1\0branch refs/heads/main\0\0worktree /bare\0bare\0\0worktree /d\0HEAD 2\0detached\0\0";
        let found = worktrees(answer);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].branch.as_deref(), Some("refs/heads/main"));
        assert!(found[1].bare && found[2].branch.is_none());
    }
}
