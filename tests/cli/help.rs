//! `-h`: the list of commands, and each command's own.

use crate::sandbox::Sandbox;

#[test]
fn each_command_that_is_listed_says_how_it_is_used() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    let listed = root.dispatch(&["-h"]).success().stdout;
    assert!(listed.starts_with("Turn a git remote into") && listed.contains("Usage: git dispatch "), "{listed}");
    let (_, commands) = listed.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    for name in ["init", "enqueue", "run", "claim", "collect", "status", "explain"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for name in names.into_iter().filter(|name| !name.is_empty() && *name != "help") {
        let help = root.dispatch(&[name, "-h"]).success().stdout;
        assert!(help.contains(&format!("Usage: git dispatch {name}")), "{help}");
        // What is the command's own stands before what all have.
        let (own, of_all) = help.split_once("Options of every command:\n").expect("a heading");
        assert!(of_all.contains("--json") && of_all.contains("-C <DIR>") && !own.contains("--json"), "{help}");
        assert_eq!(root.git(&["dispatch", name, "-h"]), help.trim_end(), "git does not keep `-h` for itself");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

/// git keeps `git dispatch --help` for itself and looks for a manual page: what we say names ways that work.
#[test]
fn the_ways_to_help_that_are_named_work() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    for args in [&["lits"][..], &["list", "--foo"], &["claim", "--hold", "5"]] {
        let told = root.dispatch(args).code(2).stderr;
        assert!(told.ends_with("For more information, try '-h'.\n"), "{told}");
    }
    assert!(!root.dispatch(&["-h"]).success().stdout.contains("--help'"));
    let more = root.git(&["dispatch", "help", "claim"]);
    assert!(more.contains("Without TASK, whatever is next."), "{more}");
    assert_eq!(root.dispatch(&["claim", "--help"]).success().stdout.trim_end(), more);
    assert!(root.dispatch(&["claim", "--hold", "5"]).code(2).stderr.contains("such as 30s, 5m, 2h, 30d"));
}
