//! What the program costs beside what git itself takes for the same work: one table, all of it measured in one run.
//!
//! ```sh
//! cargo bench --bench table                           # all rows, at full size: about an hour
//! BENCH=list,claim cargo bench --bench table          # these parts
//! BENCH_SCALE=0.1 cargo bench --bench table           # a tenth of the tasks, files and branches
//! BENCH_ROUNDS=3 cargo bench --bench table            # fewer rounds than the seven of each row
//! BENCH_BINARY=/usr/bin/git-dispatch cargo bench --bench table     # another build, but for `slots` and `choice`
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
//! - **goal** is the most that the ratio of time may be; a row above it says `over`, and one without is there to compare. Rows
//!   about memory or counts say what they measure in place of the ratio;
//! - **ours** and **git** are the medians in milliseconds, for an idea of the size alone: never compare them between runs.
//!
//! Nothing here fails for being slow: a slow machine is not a wrong program. What must not get worse is asserted where it can be
//! counted: processes, pushes and fetches of each command in `tests/cli/counts.rs`.
//!
//! # The parts
//!
//! | part | what |
//! | --- | --- |
//! | `list` | reading 100,000 tasks, without and with the cache; the most memory |
//! | `claim`, `finish`, `enqueue`, `poll`, `started` | what crosses to the hub ([`hub`]) |
//! | `collect` | merging 300 finished branches ([`collect`]) |
//! | `slots` | a slot's next task on 20,000 files ([`slots`]) |
//! | `fleet` | sixteen nodes and 1,000 tasks on one hub ([`fleet`]) |
//! | `bundle` | 1,000 results over files, there and back ([`bundle`]) |
//! | `choice` | choosing among 10,000 tasks; a fleet that wakes up at once, simulated ([`choice`], [`race`]) |
//! | `growth` | three tables of their own: how cost grows with the queue, the fleet and the hub's refs ([`growth`]) |
//!
//! The data are made by `git fast-import` in seconds where they can be; see [`scene`].

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the harness is the world outside: it starts processes, reads the clock and prints its tables"
)]

mod bundle; // a thousand results over files
mod choice; // choosing among ten thousand tasks
mod collect; // merging three hundred branches
mod fleet; // sixteen nodes on one hub
mod growth; // with the queue, the fleet, the refs
mod hub; // what crosses to the hub
mod list; // reading a hundred thousand tasks
mod pair; // two things by turns
mod project; // repositories of many files, and tasks that were done
mod race; // sixteen nodes and a simulated hub
mod scene; // folders, processes, large queues
mod simulated; // a fleet, for its counts
mod slots; // a slot's next task

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

    /// Writes the line, at once: some take minutes.
    pub(crate) fn print(&self) {
        let goal = if self.goal.is_finite() { format!("{:.2}", self.goal) } else { String::new() };
        let verdict = |is_met: bool| if is_met { "" } else { "over" };
        match &self.got {
            Got::Ratio(ratio) => println!(
                "{:<WIDTH$} {:>6.2} {:>6.2} {goal:>6} {:>9.1} {:>9.1}  {}",
                self.work,
                ratio.wall,
                ratio.cpu,
                ratio.ours.as_secs_f64() * 1000.0,
                ratio.theirs.as_secs_f64() * 1000.0,
                verdict(ratio.wall <= self.goal)
            ),
            Got::Number(number, unit) => println!(
                "{:<WIDTH$} {number:>6.2} {:>6} {goal:>6} {unit:>19}  {}",
                self.work,
                "",
                verdict(*number <= self.goal)
            ),
        }
    }
}

/// The goal of a row that is there to compare.
pub(crate) const NO_GOAL: f64 = f64::INFINITY;

/// How wide the first column is.
const WIDTH: usize = 72;

/// Measures one part of the table.
type Part = fn(&Options);

/// The parts of the table, in its order.
const PARTS: [(&str, Part); 12] = [
    ("list", list::rows),
    ("claim", hub::claims),
    ("finish", hub::finish),
    ("enqueue", hub::enqueue),
    ("poll", hub::poll),
    ("started", hub::started),
    ("collect", collect::rows),
    ("slots", slots::rows),
    ("fleet", fleet::rows),
    ("bundle", bundle::rows),
    ("choice", choice::rows),
    ("growth", growth::tables),
];

fn main() {
    let variable = |name: &str| std::env::var(format!("BENCH{name}")).ok();
    let number = |name: &str| variable(name).and_then(|text| text.parse::<f64>().ok());
    let options =
        Options { rounds: number("_ROUNDS").unwrap_or(7.0) as usize, scale: number("_SCALE").unwrap_or(1.0) };
    let wanted = variable("").unwrap_or_default();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|part| part == name);
    println!("{:<WIDTH$} {:>6} {:>6} {:>6} {:>9} {:>9}", "work", "time", "cpu", "goal", "ours ms", "git ms");
    PARTS.iter().filter(|(name, _)| is_wanted(name)).for_each(|(_, part)| part(&options));
}
