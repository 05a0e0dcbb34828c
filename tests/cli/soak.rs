//! Many nodes, many tasks, and nodes killed at random: nothing lost, nothing twice.
//!
//! Four nodes in the normal run. Sixteen nodes and 400 tasks, by one command:
//!
//! ```sh
//! GIT_DISPATCH_TEST_LONG=1 cargo test --test cli soak -- --nocapture
//! ```
//!
//! A seed is printed; `GIT_DISPATCH_TEST_SEED` gives it again.

use std::time::Duration;

use crate::rig::Fleet;
use crate::sandbox::{PATIENCE, Running, eventually};

/// How often in a hundred a node is killed in a wave.
const KILLED: u64 = 30;

/// Numbers from a seed (splitmix64): the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What was counted at the end.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    tasks: usize,
    kills: usize,
    lost: usize,
    accepted_twice: usize,
    unexpected: usize,
    recovered: usize,
}

#[test]
fn nothing_is_lost_and_nothing_accepted_twice() {
    let is_long = std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some();
    let seed =
        std::env::var("GIT_DISPATCH_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap_or_default().as_secs()
        });
    let (nodes, tasks, waves) = if is_long { (16, 400, 9) } else { (4, 24, 2) };
    println!("soak: {nodes} nodes, {tasks} tasks, seed {seed}");
    let counts = soak(nodes, tasks, waves, is_long, &mut Dice(seed));
    println!(
        "soak: {} tasks, {} node processes killed: lost {}, accepted twice {}, unexpected {}, recovered {}",
        counts.tasks, counts.kills, counts.lost, counts.accepted_twice, counts.unexpected, counts.recovered
    );
    assert_eq!((counts.lost, counts.accepted_twice, counts.unexpected), (0, 0, 0), "seed {seed}: {counts:?}");
}

fn soak(nodes: usize, tasks: usize, waves: usize, is_long: bool, dice: &mut Dice) -> Counts {
    let names: Vec<String> = (0..nodes).map(|number| format!("n{number}")).collect();
    let clones: Vec<&str> = std::iter::once("boss").chain(names.iter().map(String::as_str)).collect();
    // On a busy machine a beat may take long: a live node should be lost rarely, and may be.
    let (poll, beat) = if is_long { ("2s", "3s") } else { ("500ms", "1s") };
    let settings = format!(
        "max_attempts = 50\n[node]\npoll = \"{poll}\"\npoll_max = \"{poll}\"\nheartbeat = \"{beat}\"\nlost_after_beats = 6\n"
    );
    let fleet = Fleet::new(&clones, &settings);
    let ids: Vec<String> = (0..tasks).map(|number| format!("t{number:03}")).collect();
    let lines: Vec<String> =
        ids.iter().map(|id| format!("sleep 0.{}; echo {id} > {id}.txt", dice.below(4))).collect();
    let specs: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(lines.iter().map(String::as_str)).collect();
    fleet.enqueue(&specs);

    let mut counts = Counts { tasks, ..Counts::default() };
    let mut over: Vec<Running> = Vec::new();
    let mut up: Vec<Running> = names.iter().map(|name| fleet.watch(name)).collect();
    let patience = if is_long { Duration::from_secs(1800) } else { PATIENCE };
    for wave in 1..=waves {
        eventually(patience, || completed(&fleet) >= tasks * wave / (waves + 1));
        let killed: Vec<usize> = (0..nodes).filter(|_| dice.below(100) < KILLED).collect();
        // In the quick run chance may spare all.
        let killed = if killed.is_empty() { vec![dice.below(nodes as u64) as usize] } else { killed };
        for node in killed {
            counts.unexpected += usize::from(!up[node].is_running());
            up[node].kill9();
            counts.kills += 1;
            over.push(std::mem::replace(&mut up[node], fleet.watch(&names[node])));
        }
    }
    eventually(patience, || completed(&fleet) == tasks);
    for node in &mut up {
        counts.unexpected += usize::from(!node.is_running());
        node.term();
    }
    let mut said: Vec<String> = over.into_iter().map(|node| node.wait(PATIENCE).stderr).collect();
    for node in up {
        let out = node.wait(PATIENCE);
        counts.unexpected += usize::from(out.code != 143);
        said.push(out.stderr);
    }
    count(&fleet, &ids, &said, &mut counts);
    counts
}

fn completed(fleet: &Fleet) -> usize {
    let tips = fleet.sandbox.hub().git(&["for-each-ref", "--format=%(contents:subject)", "refs/dispatch/claims"]);
    tips.lines().filter(|tip| tip.starts_with("completed")).count()
}

/// Looks at every chain, collects, and looks at what was merged.
fn count(fleet: &Fleet, ids: &[String], said: &[String], counts: &mut Counts) {
    for id in ids {
        let phases = fleet.phases(id);
        counts.accepted_twice += usize::from(phases.iter().filter(|phase| *phase == "completed").count() > 1);
        // Each attempt but the last was given back or taken over.
        counts.recovered += phases.iter().filter(|phase| *phase == "running").count().saturating_sub(1);
        let is_usual = |phase: &String| ["running", "released", "completed"].contains(&phase.as_str());
        counts.unexpected += usize::from(!phases.iter().all(is_usual));
    }
    let errors: Vec<&str> =
        said.iter().flat_map(|text| text.lines()).filter(|line| line.contains("dispatch::")).collect();
    counts.unexpected += errors.len();
    errors.iter().for_each(|line| println!("soak: unexpected: {line}"));
    let out = fleet.clone("boss").dispatch(&["collect"]).success();
    let files = fleet.sandbox.hub().git(&["ls-tree", "-r", "--name-only", "main"]);
    counts.lost = ids.iter().filter(|id| !files.lines().any(|file| file == format!("{id}.txt"))).count();
    println!("soak: {}", out.stdout.lines().last().unwrap_or_default());
    fleet.check(ids);
}
