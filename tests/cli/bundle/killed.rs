//! Killed at any moment, the same command again ends well: packing, opening, collecting.

use std::time::{Duration, Instant};

use crate::sandbox::{PATIENCE, Repo};
use crate::steps::{merges, states};

use super::{Gap, queue};

const ROUNDS: u32 = 5;

/// Lets the command run for a while, then kills it.
fn cut_short(repo: &Repo, args: &[&str], after: Duration) {
    let start = Instant::now();
    let mut running = repo.spawn(args);
    while start.elapsed() < after && running.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.kill9();
    running.wait(PATIENCE);
}

/// Runs the command to its end, and says how long that takes here and now.
fn timed(repo: &Repo, args: &[&str]) -> Duration {
    let start = Instant::now();
    repo.dispatch(args).success();
    start.elapsed()
}

#[test]
fn every_command_of_the_loop() {
    let gap = Gap::new();
    let root = gap.sandbox.repo(".");
    let commands = |number: u32| {
        let (out, back) = (format!("../out{number}"), format!("../back{number}"));
        let open = format!("out{number}");
        [
            (gap.boss.clone(), vec!["bundle".to_owned(), "create".into(), out, "--for".into(), "vault".into()]),
            (root.clone(), vec!["bundle".into(), "open".into(), open, "vault".into()]),
            (gap.away(), vec!["run".into()]),
            (gap.away(), vec!["bundle".into(), "create".into(), back.clone(), "--results".into()]),
            (gap.boss.clone(), vec!["collect".into(), "--bundle".into(), back]),
        ]
    };
    let mut whole = Vec::new();
    let mut ids = Vec::new();
    for round in 0..=ROUNDS {
        let fresh = [format!("r{round}a"), format!("r{round}b")];
        queue(&gap.boss, &[fresh[0].as_str(), fresh[1].as_str()]);
        ids.extend(fresh);
        for (at, (repo, args)) in commands(round).into_iter().enumerate() {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            if round == 0 {
                whole.push(timed(&repo, &args));
                continue;
            }
            let is_file = args[0] == "bundle" && args[1] == "create";
            // Running has tests of its own.
            if args[0] != "run" {
                cut_short(&repo, &args, whole[at] * (2 * round - 1) / (2 * ROUNDS));
            }
            let again = repo.dispatch(&args);
            let was_whole = is_file && again.code == 2 && again.stderr.contains("is there already");
            assert!(again.code == 0 || was_whole, "round {round}, {args:?}:\n{again}");
        }
        let open: Vec<String> = states(&gap.boss).into_iter().filter(|state| !state.ends_with(" merged")).collect();
        assert!(open.is_empty(), "round {round}: {open:?}");
        assert_eq!(gap.away().git(&["status", "--porcelain"]), "", "round {round}");
    }
    let mut merged = merges(&gap.hub);
    merged.sort();
    let mut expected: Vec<String> = ids.iter().map(|id| format!("Merge p/{id}: Task {id}")).collect();
    expected.sort();
    assert_eq!(merged, expected, "each once");
    let left = std::fs::read_dir(gap.sandbox.root()).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    gap.sound();
}
