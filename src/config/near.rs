//! Owns the guess at what a misspelt name was meant to be. Does not own where the candidates come from, nor how the
//! guess is worded.

/// Longer names are nobody's slip of the finger, and the metric's cost grows with the square.
const LONGEST: usize = 80;

/// Finds the candidate nearest to what was given, letter case aside; none, where even that one is too far away.
///
/// A third of the letters may be wrong (one, in the shortest names); swapped neighbours count as one.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = given.chars().count();
    if length == 0 || length > LONGEST {
        return None;
    }
    let bound = (length / 3).max(1);
    let given = given.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 2 * LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(&given, &candidate.to_lowercase()), candidate))
        // In names of one or two letters a wrong one leaves nothing in common.
        .filter(|(distance, _)| *distance <= bound && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Finds the candidate that was meant: the nearest, else the only one that ends in the given name's last part, as
/// `node.slots` for a bare `slots`.
pub(crate) fn meant<'a>(given: &str, candidates: &[&'a str], separator: char) -> Option<&'a str> {
    // In a long name the parts before the last are most of its letters: those that agree say nothing for the last.
    let is_plausible = |candidate: &&str| match (given.rsplit_once(separator), candidate.rsplit_once(separator)) {
        (Some((parent, last)), Some((same, other))) if parent.eq_ignore_ascii_case(same) => {
            nearest(last, [other]).is_some()
        }
        _ => true,
    };
    if let Some(found) = nearest(given, candidates.iter().copied().filter(is_plausible)) {
        return Some(found);
    }
    let last = given.rsplit(separator).next().filter(|last| !last.is_empty())?;
    let ending = format!("{separator}{last}").to_lowercase();
    let mut matching = candidates.iter().filter(|candidate| candidate.to_lowercase().ends_with(&ending));
    match (matching.next(), matching.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_finger() {
        let names = ["slots", "labels", "poll", "poll_max", "heartbeat"];
        for (given, wanted) in [
            ("slot", Some("slots")),
            ("lables", Some("labels")),
            ("pollmax", Some("poll_max")),
            ("HEARTBEAT", Some("heartbeat")),
            ("hartbeet", Some("heartbeat")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names), wanted, "{given}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }

    #[test]
    fn falls_back_to_the_same_last_part() {
        let names = ["node.slots", "node.mode", "collect.keep", "factory.cooldown", "tmux.cooldown"];
        assert_eq!(meant("slots", &names, '.'), Some("node.slots"));
        assert_eq!(meant("nodes.mode", &names, '.'), Some("node.mode"));
        assert_eq!(meant("cooldown", &names, '.'), None, "two could be meant");
        let names = ["executors.agent.env", "executors.agent.timeout"];
        assert_eq!(meant("executors.agent.foo", &names, '.'), None, "only the table is the same");
        assert_eq!(meant("executors.agent.timout", &names, '.'), Some("executors.agent.timeout"));
        assert_eq!(meant("executor.agent.env", &names, '.'), Some("executors.agent.env"));
    }
}
