//! The keys of the frontmatter: their names, aliases, and what a misspelt one was meant to be.

/// A key that we know, whatever it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    TaskId,
    Project,
    Title,
    Priority,
    DependsOn,
    Modifies,
    Executor,
    Labels,
    EstimatedMinutes,
    TimeoutMinutes,
    Mode,
    Target,
    Run,
    NeedsClaudeCode,
}

/// Every name of every key; of several, the first is the proper one.
const NAMES: &[(&str, Key)] = &[
    ("task_id", Key::TaskId),
    ("id", Key::TaskId),
    ("project", Key::Project),
    ("title", Key::Title),
    ("priority", Key::Priority),
    ("depends_on", Key::DependsOn),
    ("modifies", Key::Modifies),
    ("executor", Key::Executor),
    ("labels", Key::Labels),
    ("tags", Key::Labels),
    ("estimated_minutes", Key::EstimatedMinutes),
    ("timeout_minutes", Key::TimeoutMinutes),
    ("mode", Key::Mode),
    ("execution_mode", Key::Mode),
    ("target", Key::Target),
    ("run", Key::Run),
    ("needs_claude_code", Key::NeedsClaudeCode),
];

/// What other tools call the same thing, too far off to be taken for a slip of the finger.
const ELSEWHERE: &[(&str, &str)] = &[
    ("dependencies", "depends_on"),
    ("deps", "depends_on"),
    ("requires", "depends_on"),
    ("branch", "target"),
    ("command", "run"),
    ("name", "title"),
    ("files", "modifies"),
];

/// Returns the key of this name, and the name as it lives as long as the program.
pub(super) fn known(name: &str) -> Option<(Key, &'static str)> {
    NAMES.iter().find(|(known, _)| *known == name).map(|&(known, key)| (key, known))
}

/// Returns the known key that an unknown one was probably meant to be.
pub(super) fn probably_meant(name: &str) -> Option<&'static str> {
    // Longer than any key by more than a slip; also bounds the work on hostile input.
    if name.len() > 24 {
        return None;
    }
    let plain = folded(name);
    let exact = NAMES.iter().map(|&(known, _)| known).find(|known| folded(known) == plain);
    let elsewhere = || ELSEWHERE.iter().find(|(theirs, _)| *theirs == plain).map(|&(_, ours)| ours);
    exact.or_else(elsewhere).or_else(|| nearest(&plain)).or_else(|| beginning(&plain))
}

/// Returns the known key within one slip, or two for long ones.
fn nearest(plain: &str) -> Option<&'static str> {
    let allowed = match plain.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    let distances = NAMES.iter().map(|&(known, _)| (slips(plain, &folded(known)), known));
    distances
        .filter(|&(slips, _)| slips > 0 && slips <= allowed)
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, known)| known)
}

/// Returns the known key that this one is the beginning of: `timeout`, `depends`, `estimate`.
fn beginning(plain: &str) -> Option<&'static str> {
    let begins = |known: &&str| plain.len() >= 4 && folded(known).starts_with(plain);
    NAMES.iter().map(|&(known, _)| known).find(begins)
}

/// Spells a key without what people vary: `dependsOn`, `depends-on`.
fn folded(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Counts the characters to insert, delete, replace or swap with their neighbour to get from one word to the other.
fn slips(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_name_what_was_meant() {
        let cases = [
            ("depend_on", "depends_on"),
            ("dependsOn", "depends_on"),
            ("depends-on", "depends_on"),
            ("dependson", "depends_on"),
            ("dependencies", "depends_on"),
            ("Title", "title"),
            ("tilte", "title"),
            ("TASK_ID", "task_id"),
            ("lables", "labels"),
            ("label", "labels"),
            ("tag", "tags"),
            ("priorty", "priority"),
            ("timeout", "timeout_minutes"),
            ("estimate_minutes", "estimated_minutes"),
            ("excutor", "executor"),
        ];
        for (name, meant) in cases {
            assert_eq!(probably_meant(name), Some(meant), "{name}");
        }
        for name in ["owner", "x", "version", "reviewers", "", "é", "created_at", "status", "author", "2024"] {
            assert_eq!(probably_meant(name), None, "{name}");
        }
        assert_eq!(probably_meant(&"a".repeat(1 << 20)), None);
    }

    #[test]
    fn every_name_is_known() {
        for (name, key) in NAMES {
            assert_eq!(known(name), Some((*key, *name)));
        }
        assert_eq!(known("Task_id"), None);
    }

    #[test]
    fn slips_are_counted() {
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("abc", "acb"), 1);
        assert_eq!(slips("kitten", "sitting"), 3);
    }
}
