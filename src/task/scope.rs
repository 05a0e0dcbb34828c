//! Scopes: may two sets of globs touch one path?
//!
//! Pure, and conservative: patterns are compared as patterns, since new files count too. "May overlap" only keeps two
//! tasks from running side by side; it is a hint, not a lock.

use std::collections::HashMap;

use super::TaskName;

/// Says whether a path could match a pattern of both lists. An empty list touches nothing that is known.
pub fn may_overlap(one: &[String], other: &[String]) -> bool {
    let other: Vec<Pattern> = other.iter().map(|pattern| Pattern::read(pattern)).collect();
    one.iter().map(|pattern| Pattern::read(pattern)).any(|a| other.iter().any(|b| a.meets(b)))
}

/// A glob, cut at its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    segments: Vec<String>,
    /// How many segments at the beginning hold no wildcard.
    plain: usize,
}

impl Pattern {
    fn read(pattern: &str) -> Self {
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        let mut segments: Vec<String> = pattern.split('/').map(str::to_owned).collect();
        // Braces around a slash stand for names of different lengths: for whatever is below.
        let count = |segment: &str, brace: char| segment.matches(brace).count();
        if let Some(at) = segments.iter().position(|segment| count(segment, '{') != count(segment, '}')) {
            segments.truncate(at);
            segments.push("**".to_owned());
        }
        // A folder stands for what is in it.
        if let Some(last) = segments.last_mut().filter(|last| last.is_empty()) {
            "**".clone_into(last);
        }
        let plain = segments.iter().take_while(|segment| is_plain(segment)).count();
        Self { segments, plain }
    }

    fn meets(&self, other: &Self) -> bool {
        meet(&self.segments, &other.segments)
    }
}

/// The scopes of tasks, to be asked which of them another one may touch. Patterns hang on a tree of the names that they
/// begin with, since those that begin with different names do not meet: asking takes in what lies on the way, not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    branches: Vec<Branch>,
    held: Vec<(TaskName, Pattern)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Branch {
    below: HashMap<String, usize>,
    /// Those whose names without wildcard end here.
    held: Vec<usize>,
}

impl Default for Scopes {
    fn default() -> Self {
        Self { branches: vec![Branch::default()], held: Vec::new() }
    }
}

impl Scopes {
    /// Adds what a task means to change.
    pub fn add(&mut self, task: &TaskName, modifies: &[String]) {
        for pattern in modifies {
            let pattern = Pattern::read(pattern);
            let mut at = 0;
            for segment in &pattern.segments[..pattern.plain] {
                let next = self.branches.len();
                at = *self.branches[at].below.entry(segment.clone()).or_insert(next);
                if at == next {
                    self.branches.push(Branch::default());
                }
            }
            self.branches[at].held.push(self.held.len());
            self.held.push((task.clone(), pattern));
        }
    }

    /// Finds a pattern among `modifies` that a path of another task's could match too, and that task.
    pub fn meeting<'a>(&self, task: &TaskName, modifies: &'a [String]) -> Option<(&'a str, &TaskName)> {
        if self.held.is_empty() {
            return None;
        }
        modifies.iter().find_map(|glob| self.meeting_one(task, &Pattern::read(glob)).map(|by| (glob.as_str(), by)))
    }

    fn meeting_one(&self, task: &TaskName, pattern: &Pattern) -> Option<&TaskName> {
        let mut at = 0;
        for segment in &pattern.segments[..pattern.plain] {
            if let Some(by) = self.meeting_at(at, task, pattern) {
                return Some(by);
            }
            at = *self.branches[at].below.get(segment)?;
        }
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            if let Some(by) = self.meeting_at(at, task, pattern) {
                return Some(by);
            }
            open.extend(self.branches[at].below.values());
        }
        None
    }

    fn meeting_at(&self, at: usize, task: &TaskName, pattern: &Pattern) -> Option<&TaskName> {
        let held = self.branches[at].held.iter().map(|at| &self.held[*at]);
        held.filter(|(by, held)| by != task && held.meets(pattern)).map(|(by, _)| by).next()
    }
}

/// Lists the changed paths that lie outside a scope, sorted; `None` where the scope names nothing, or nothing is outside.
/// As above, `*` stays within one name and a plain name may be a folder's.
pub fn outside(modifies: &[String], changed: &[String]) -> Option<Vec<String>> {
    if modifies.is_empty() {
        return None;
    }
    let mut set = globset::GlobSetBuilder::new();
    for pattern in modifies {
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        let folder = pattern.trim_end_matches('/');
        let below = if folder.is_empty() { "**".to_owned() } else { format!("{folder}/**") };
        let is_folder = folder.rsplit('/').next().is_none_or(is_plain);
        for glob in [Some(pattern.to_owned()), is_folder.then_some(below)].into_iter().flatten() {
            if let Ok(glob) = globset::GlobBuilder::new(&glob).literal_separator(true).build() {
                set.add(glob);
            }
        }
    }
    let set = set.build().ok()?;
    let mut outside: Vec<String> = changed.iter().filter(|path| !set.is_match(path)).cloned().collect();
    outside.sort();
    (!outside.is_empty()).then_some(outside)
}

fn is_plain(segment: &str) -> bool {
    !segment.contains(['*', '?', '[', '{'])
}

/// Says whether a path could match both. From the ends backwards, each pair of rests once: patterns full of `**` must
/// not cost more than the product of their lengths.
fn meet(a: &[String], b: &[String]) -> bool {
    let width = b.len() + 1;
    let mut meets = vec![false; (a.len() + 1) * width];
    for i in (0..=a.len()).rev() {
        for j in (0..=b.len()).rev() {
            let at = |i: usize, j: usize| meets[i * width + j];
            meets[i * width + j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(one), _) if one == "**" => at(i + 1, j) || (j < b.len() && at(i, j + 1)),
                (_, Some(other)) if other == "**" => at(i, j + 1) || (i < a.len() && at(i + 1, j)),
                (Some(one), Some(other)) => {
                    // A plain name may be a folder's: what is below it is touched with it.
                    let is_end = |pattern: &[String], at: usize| at + 1 == pattern.len() && is_plain(&pattern[at]);
                    (is_end(a, i) || is_end(b, j) || at(i + 1, j + 1)) && segments_meet(one, other)
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
    }
    meets[0]
}

/// Says whether a name could match both segments. Two segments with wildcards meet unless what stands before the first
/// or behind the last wildcard of each differs.
fn segments_meet(one: &str, other: &str) -> bool {
    let special = |text: &str| text.find(['*', '?', '[', '{']);
    match (special(one), special(other)) {
        (None, None) => one == other,
        (Some(_), None) => matches(one, other),
        (None, Some(_)) => matches(other, one),
        (Some(a), Some(b)) => {
            let before = a.min(b);
            let plain_end = |text: &str| {
                let end = text.rfind(['*', '?', ']', '}']).map_or(0, |at| at + 1);
                text[end..].to_owned()
            };
            let (end_a, end_b) = (plain_end(one), plain_end(other));
            let ends_agree = end_a.ends_with(&end_b) || end_b.ends_with(&end_a);
            one.as_bytes()[..before] == other.as_bytes()[..before] && ends_agree
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    // A pattern that cannot be read is taken to match everything.
    globset::Glob::new(pattern).map_or(true, |glob| glob.compile_matcher().is_match(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn overlap(one: &str, other: &str) -> bool {
        may_overlap(&[one.to_owned()], &[other.to_owned()])
    }

    #[test]
    fn patterns_meet_where_a_path_could_match_both() {
        for (one, other) in [
            ("src/**", "src/api/x.rs"),
            ("**/*.rs", "src/a.rs"),
            ("src/*.rs", "src/a*"),
            ("a", "a"),
            ("docs/", "docs/x/y"),
            ("**", "anything/at/all"),
            ("src/**/mod.rs", "src/a/b/mod.rs"),
            ("{a,b}.txt", "b.txt"),
            ("/x", "x"),
            ("src", "src/a/b.rs"),
            ("{src/a,lib}/x.rs", "lib/x.rs"),
            ("./", "any"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} and {other}");
        }
        for (one, other) in [
            ("src/**", "docs/**"),
            ("a.rs", "b.rs"),
            ("*.rs", "*.md"),
            ("src/a*", "src/b*"),
            ("src/*.rs", "src/x/a.rs"),
            ("schemas/pack.py", "api/pack.py"),
        ] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} and {other}");
        }
        assert!(!may_overlap(&[], &["**".to_owned()]));
    }

    #[test]
    fn what_was_changed_outside_is_told_by_the_same_rules() {
        let told = |scope: &[&str], paths: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            outside(&owned(scope), &owned(paths)).unwrap_or_default().join(" ")
        };
        let paths = ["src/b/c.rs", "src/a.rs", "docs/x/y.md", "README.md"];
        assert_eq!(told(&["src/**"], &paths), "README.md docs/x/y.md");
        assert_eq!(told(&["src/*", "docs/"], &paths), "README.md src/b/c.rs");
        assert_eq!(told(&["./src", "/docs/x"], &paths), "README.md");
        assert_eq!(told(&["{src/b,docs}/**", "*.md"], &paths), "src/a.rs");
        assert_eq!((told(&[], &paths), told(&["/"], &paths)), (String::new(), String::new()));
        assert_eq!(told(&["app/[id].tsx"], &["app/[id].tsx", "app/i.tsx"]), "app/[id].tsx", "a glob is a glob");
    }

    #[test]
    fn patterns_full_of_wildcards_are_compared_in_time() {
        let long = |last: &str| format!("{}{last}", "**/a/".repeat(60));
        assert!(overlap(&long("b*"), &long("*c")));
        assert!(!overlap(&long("b"), &long("c")));
    }

    proptest! {
        #[test]
        fn the_tree_answers_as_a_look_at_each_would(held in proptest::collection::vec("([ab*]|\\*\\*)(/([ab*]|\\*\\*|a\\*)){0,3}/?", 0..12), asked in "/?([ab*]|\\*\\*)(/([ab*]|\\*\\*|b\\*)){0,3}") {
            let (own, other) = (TaskName::parse("p/own").unwrap(), TaskName::parse("p/other").unwrap());
            let mut scopes = Scopes::default();
            scopes.add(&other, &held);
            let asked = [asked];
            prop_assert_eq!(scopes.meeting(&own, &asked).is_some(), may_overlap(&asked, &held));
            prop_assert_eq!(scopes.meeting(&other, &asked), None, "a task does not stand in its own way");
        }

        #[test]
        fn two_globs_that_match_one_path_meet(path in "[ab]/[ab]/[ab]\\.rs", one in "[ab*]/(\\*\\*|[ab*])/[ab*]\\.rs", other in "[ab*]/(\\*\\*|[ab*])/[ab*]\\.rs") {
            let hits = |glob: &str| globset::GlobBuilder::new(glob).literal_separator(true).build().unwrap().compile_matcher().is_match(&path);
            if hits(&one) && hits(&other) {
                prop_assert!(overlap(&one, &other), "{} and {} both match {}", one, other, path);
            }
        }
    }
}
