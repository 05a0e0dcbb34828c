//! Scopes: may two sets of globs touch one path?
//!
//! Pure, and conservative: patterns are compared as patterns, since new files count too. "May overlap" only keeps two
//! tasks from running side by side; it is a hint, not a lock.

/// Says whether a path could match a pattern of both lists. An empty list touches nothing that is known.
pub fn may_overlap(one: &[String], other: &[String]) -> bool {
    one.iter().any(|a| other.iter().any(|b| patterns_meet(a, b)))
}

fn patterns_meet(a: &str, b: &str) -> bool {
    let segments = |pattern: &str| -> Vec<String> {
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        // A folder stands for what is in it.
        let pattern = if pattern.ends_with('/') { format!("{pattern}**") } else { pattern.to_owned() };
        pattern.split('/').map(str::to_owned).collect()
    };
    meet(&segments(a), &segments(b))
}

fn meet(a: &[String], b: &[String]) -> bool {
    match (a.split_first(), b.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => meet(rest, b) || (!b.is_empty() && meet(a, &b[1..])),
        (_, Some((first, rest))) if first == "**" => meet(a, rest) || (!a.is_empty() && meet(&a[1..], b)),
        (Some((one, rest_a)), Some((other, rest_b))) => {
            // A plain name may be a folder's: what is below it is touched with it.
            let is_folder = |name: &str, rest: &[String]| rest.is_empty() && !name.contains(['*', '?', '[', '{']);
            let below = is_folder(one, rest_a) || is_folder(other, rest_b);
            segments_meet(one, other) && (below || meet(rest_a, rest_b))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
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

    proptest! {
        #[test]
        fn two_globs_that_match_one_path_meet(path in "[ab]/[ab]/[ab]\\.rs", one in "[ab*]/(\\*\\*|[ab*])/[ab*]\\.rs", other in "[ab*]/(\\*\\*|[ab*])/[ab*]\\.rs") {
            let hits = |glob: &str| globset::GlobBuilder::new(glob).literal_separator(true).build().unwrap().compile_matcher().is_match(&path);
            if hits(&one) && hits(&other) {
                prop_assert!(overlap(&one, &other), "{} and {} both match {}", one, other, path);
            }
        }
    }
}
