//! Owns counting the git processes that a command starts, from git's own trace
//! (`GIT_TRACE2_EVENT`). Which of them are worth their cost is the tests' to say.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Options of git itself that take their value as a word of its own.
const WITH_VALUE: [&str; 7] =
    ["-c", "-C", "--git-dir", "--work-tree", "--namespace", "--config-env", "--attr-source"];

/// The git processes of one run, in the order in which they started.
#[derive(Debug)]
pub(crate) struct Trace {
    direct: Vec<Vec<String>>,
    nested: usize,
}

impl Trace {
    /// Reads a trace; where git was never started, there is none.
    pub(crate) fn read(file: &Path) -> Trace {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut trace = Trace { direct: Vec::new(), nested: 0 };
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
            if event["event"] != "start" {
                continue;
            }
            // git puts its own name behind that of the git which started it.
            if event["sid"].as_str().is_some_and(|sid| sid.contains('/')) {
                trace.nested += 1;
            } else {
                let argv = event["argv"].as_array().map(Vec::as_slice).unwrap_or_default();
                trace.direct.push(argv.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect());
            }
        }
        trace
    }

    /// Returns how many git processes were started, not counting those that git itself started.
    pub(crate) fn processes(&self) -> usize {
        self.direct.len()
    }

    /// Returns how many git processes were started by git itself.
    pub(crate) fn nested(&self) -> usize {
        self.nested
    }

    /// Returns how often a subcommand was run.
    pub(crate) fn count(&self, subcommand: &str) -> usize {
        self.commands().iter().filter(|command| *command == subcommand).count()
    }

    /// Returns the subcommands in order.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.direct.iter().map(|argv| subcommand(argv)).collect()
    }

    /// Returns the whole command lines in order.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        self.direct.iter().map(|argv| argv.join(" ")).collect()
    }
}

/// Finds the subcommand behind git's own options; of `git --version` and the like, the option.
fn subcommand(argv: &[String]) -> String {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') || matches!(word.as_str(), "--version" | "--exec-path" | "--help") {
            return word.clone();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_subcommands_behind_options() {
        for (line, expected) in [
            ("git push origin main", "push"),
            ("git -c a.b=push -C dir --git-dir=x --git-dir y --no-pager -p cat-file --batch", "cat-file"),
            ("git --literal-pathspecs --attr-source HEAD merge-tree", "merge-tree"),
            ("git --version", "--version"),
            ("git", ""),
        ] {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(subcommand(&argv), expected, "{line}");
        }
    }
}
