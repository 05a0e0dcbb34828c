//! Measuring two things against each other: by turns, so that whatever else the machine does weighs on both.
//!
//! Owns what a cost is and how two of them are compared. A ratio is the median of the ratios of the rounds, each of two
//! runs side by side; the processor's time is summed over all rounds, since the system counts it in hundredths of a second.
//! Where one reference serves several rows all of them take turns.

use std::fs;
use std::ops::{Range, RangeInclusive};
use std::process::Command;
use std::time::{Duration, Instant};

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall: Duration,
    /// Of the processor, in all processes that were waited for.
    pub(crate) cpu: Duration,
}

/// What came of a comparison.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ratio {
    /// The middle of the rounds' ratios of elapsed time.
    pub(crate) wall: f64,
    /// The ratio of all processor time.
    pub(crate) cpu: f64,
    /// The median of ours.
    pub(crate) ours: Duration,
    /// The median of the reference.
    pub(crate) theirs: Duration,
}

/// Measures what `work` takes, processes that it starts and waits for included.
pub(crate) fn cost(work: impl FnOnce()) -> Cost {
    let (before, start) = (children(), Instant::now());
    work();
    Cost { wall: start.elapsed(), cpu: children().saturating_sub(before) }
}

/// The same of work that this process does itself, together with the processes that it waits for.
pub(crate) fn cost_here(work: impl FnOnce()) -> Cost {
    let own = || ticks("/proc/self/stat", 11..15);
    let (before, start) = (own(), Instant::now());
    work();
    Cost { wall: start.elapsed(), cpu: own().saturating_sub(before) }
}

/// Runs each by turns, once a round, and returns what each took; the round numbered 0 does not count. Each gets the number of
/// its round. Who goes first changes, so that a warm cache favours nobody.
pub(crate) fn turns<const N: usize>(
    rounds: RangeInclusive<usize>,
    works: [&mut dyn FnMut(usize) -> Cost; N],
) -> [Vec<Cost>; N] {
    let mut took = [const { Vec::new() }; N];
    for round in rounds {
        for at in (0..N).map(|at| (at + round) % N) {
            let cost = works[at](round);
            if round > 0 {
                took[at].push(cost);
            }
        }
    }
    took
}

/// Compares what was measured by turns.
pub(crate) fn ratio(ours: &[Cost], theirs: &[Cost]) -> Ratio {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let middle = |of: &[Cost]| median(of.iter().map(|cost| cost.wall.as_secs_f64()).collect());
    let total = |of: &[Cost]| of.iter().map(|cost| cost.cpu).sum::<Duration>().as_secs_f64();
    let each = ours.iter().zip(theirs).map(|(our, their)| our.wall.as_secs_f64() / their.wall.as_secs_f64());
    Ratio {
        wall: median(each.collect()),
        cpu: total(ours) / total(theirs).max(0.01),
        ours: Duration::from_secs_f64(middle(ours)),
        theirs: Duration::from_secs_f64(middle(theirs)),
    }
}

/// Measures both by turns, after one round that does not count.
pub(crate) fn pairs(
    rounds: usize,
    mut ours: impl FnMut(usize) -> Cost,
    mut theirs: impl FnMut(usize) -> Cost,
) -> Ratio {
    let [our, their] = turns(0..=rounds, [&mut ours, &mut theirs]);
    ratio(&our, &their)
}

/// The processor time of all processes that were waited for; zero where the system does not tell.
fn children() -> Duration {
    ticks("/proc/self/stat", 13..15)
}

/// The processor time of a process that still runs, with those that it has waited for.
pub(crate) fn so_far(process: u32) -> Duration {
    ticks(&format!("/proc/{process}/stat"), 11..15)
}

/// The sum of some fields of a process' record: its own time in two fields, that of its children in the next two.
fn ticks(path: &str, fields: Range<usize>) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The second field is a name in brackets, and may hold anything.
    let all: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = all.get(fields).into_iter().flatten().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that a running process has held at once, in MiB.
pub(crate) fn held(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Runs a process to its end, and returns the most memory that it held at once, in MiB.
pub(crate) fn peak(command: &mut Command) -> f64 {
    let mut child = command.spawn().expect("it can be started");
    let mut most = 0.0_f64;
    loop {
        most = most.max(held(child.id()));
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            assert!(status.success());
            return most;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
