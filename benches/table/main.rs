//! What the program costs beside what git itself takes for the same work: one table, all of it measured in one run.
//!
//! ```sh
//! cargo bench --bench table                                        # all rows, at full size: about half an hour
//! BENCH=list,claim cargo bench --bench table          # these rows
//! BENCH_SCALE=0.1 cargo bench --bench table           # a tenth of the tasks, files and branches
//! BENCH_ROUNDS=3 cargo bench --bench table            # fewer rounds than the seven of each row
//! ```
//!
//! # How to read it
//!
//! Each line is one piece of work, done by the program and by its reference: plain git doing the same work, on the same data,
//! with nothing decided and nothing checked. Both take turns in one run, on folders in memory where the system has such, so
//! that a slow or busy machine is slow for both. What counts is the ratio:
//!
//! - **time** is the median, over the rounds, of our elapsed time by the reference's in the same round;
//! - **cpu** is all processor time of ours by all of the reference's, the processes that they start included. On a machine
//!   that others use too it is the steadier one, and where both use several cores it may differ from the first;
//! - **goal** is the most that the ratio of time may be; a row above it says `over`. Rows about memory or counts say what
//!   they measure in place of the ratio;
//! - **ours** and **git** are the medians in milliseconds, for an idea of the size alone: never compare them between runs.
//!
//! Nothing here fails: a slow machine is not a wrong program. What must not get worse is asserted where it can be counted:
//! processes, pushes and fetches of each command in `tests/cli/counts.rs`.
//!
//! The data are made by `git fast-import` in seconds; see [`scene`].

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the harness is the world outside: it starts processes, reads the clock and prints its tables"
)]

mod hub; // what crosses to the hub
mod list; // reading a hundred thousand tasks
mod pair; // two things by turns
mod scene; // folders, processes, large queues

use pair::Ratio;

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    rounds: usize,
    scale: f64,
}

impl Options {
    /// A number of things, at the scale asked for; never fewer than `least`.
    pub(crate) fn scaled(&self, number: usize, least: usize) -> usize {
        ((number as f64 * self.scale) as usize).max(least)
    }
}

/// One line of the table.
pub(crate) struct Row {
    work: String,
    goal: f64,
    got: Got,
}

/// What was measured.
pub(crate) enum Got {
    /// Ours by the reference's.
    Ratio(Ratio),
    /// Something that is a number by itself, and its unit.
    Number(f64, &'static str),
}

impl Row {
    /// A comparison.
    pub(crate) fn ratio(work: impl Into<String>, goal: f64, ratio: Ratio) -> Self {
        Self { work: work.into(), goal, got: Got::Ratio(ratio) }
    }

    /// A number.
    pub(crate) fn number(work: impl Into<String>, goal: f64, number: f64, unit: &'static str) -> Self {
        Self { work: work.into(), goal, got: Got::Number(number, unit) }
    }

    fn print(&self) {
        let verdict = |is_met: bool| if is_met { "" } else { "over" };
        match &self.got {
            Got::Ratio(ratio) => println!(
                "{:<58} {:>6.2} {:>6.2} {:>6.2} {:>9.1} {:>9.1}  {}",
                self.work,
                ratio.wall,
                ratio.cpu,
                self.goal,
                ratio.ours.as_secs_f64() * 1000.0,
                ratio.theirs.as_secs_f64() * 1000.0,
                verdict(ratio.wall <= self.goal)
            ),
            Got::Number(number, unit) => println!(
                "{:<58} {number:>6.2} {:>6} {:>6.2} {unit:>19}  {}",
                self.work,
                "",
                self.goal,
                verdict(*number <= self.goal)
            ),
        }
    }
}

/// Measures one part of the table.
type Part = fn(&Options) -> Vec<Row>;

/// The parts of the table, in its order.
const PARTS: [(&str, Part); 6] = [
    ("list", list::rows),
    ("claim", hub::claims),
    ("finish", hub::finish),
    ("enqueue", hub::enqueue),
    ("poll", hub::poll),
    ("started", hub::started),
];

fn main() {
    let variable = |name: &str| std::env::var(format!("BENCH{name}")).ok();
    let number = |name: &str| variable(name).and_then(|text| text.parse::<f64>().ok());
    let options =
        Options { rounds: number("_ROUNDS").unwrap_or(7.0) as usize, scale: number("_SCALE").unwrap_or(1.0) };
    let wanted = variable("").unwrap_or_default();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|part| part == name);
    println!("{:<58} {:>6} {:>6} {:>6} {:>9} {:>9}", "work", "time", "cpu", "goal", "ours ms", "git ms");
    for (_, rows) in PARTS.iter().filter(|(name, _)| is_wanted(name)) {
        rows(&options).iter().for_each(Row::print);
    }
}
