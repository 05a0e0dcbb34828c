//! The world that benches start from: a home of its own, and a bare hub with a project of many small files.
//!
//! Owns what several benches must have alike; what is done with it is each bench's.

use std::fs;
use std::path::Path;

/// A home whose git neither asks nor tidies up while something is measured.
const HOME: &str = "[user]\nname = Bench\nemail = bench@example.org\n[init]\ndefaultBranch = main\n\
                    [gc]\nauto = 0\n[maintenance]\nauto = false\n[protocol \"file\"]\nallow = always\n";

/// Makes `home`, and `hub.git` with files of twenty lines, below `root`. `path` names a file by its number, `git` runs git in a
/// folder, with that home.
pub(crate) fn make(root: &Path, files: usize, path: impl Fn(usize) -> String, git: impl Fn(&Path, &[&str])) {
    fs::create_dir(root.join("home")).unwrap();
    fs::write(root.join("home/gitconfig"), HOME).unwrap();
    let seed = root.join("seed");
    git(root, &["init", "--quiet", "seed"]);
    for number in 0..files {
        let path = seed.join(path(number));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: Vec<String> = (0..20).map(|line| format!("line {line} of file {number}")).collect();
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    fs::write(seed.join("git-dispatch.toml"), "project = \"p\"\n").unwrap();
    git(&seed, &["add", "--all"]);
    git(&seed, &["commit", "--quiet", "-m", "First commit"]);
    git(root, &["clone", "--quiet", "--bare", "seed", "hub.git"]);
}
