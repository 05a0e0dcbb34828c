//! When the queue would be empty, and how far estimates are from what tasks take.
//!
//! Pure: a simulation of the nodes that are up, each of which takes the next task that it can do whenever a slot is
//! free. Scopes that keep tasks apart, attempts that fail and nodes that come or go are not foreseen.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::TaskName;
use super::path::{Step, longest};

/// How many runs it takes before they are taken for a pattern.
pub const ENOUGH_RUNS: usize = 3;

/// A task that is not done.
#[derive(Debug, Clone)]
pub struct Work<'a> {
    /// The task.
    pub name: &'a TaskName,
    /// The seconds that it is thought to take from now on.
    pub seconds: u64,
    /// The tasks that must be done before; those that are not among the work are done.
    pub depends_on: &'a [TaskName],
    /// The labels that a node must have.
    pub labels: &'a [String],
    /// The executor that it runs on.
    pub executor: &'a str,
    /// Whether it runs already.
    pub runs: bool,
    /// The place in the list of crews of the one that it runs on, or is meant for alone.
    pub on: Option<usize>,
}

/// A node that is up.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    /// How many tasks it runs at once.
    pub slots: usize,
    /// The labels that it has.
    pub labels: BTreeSet<String>,
    /// The executors that it offers.
    pub executors: BTreeSet<String>,
}

/// What is to be expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// The seconds from now until all that can be done is done; `None`: nothing can.
    pub seconds: Option<u64>,
    /// How many tasks are done by then.
    pub counted: usize,
    /// How many tasks none of the nodes that are up can do, or wait for such a one.
    pub left_out: usize,
}

/// Foresees how long the crews need for the work, which is given in the order in which it would be begun.
pub fn foresee(work: &[Work<'_>], crews: &[Crew]) -> Forecast {
    let mut yard = Yard::of(work, crews);
    let mut now = 0;
    let mut counted = 0;
    yard.begin(now);
    while let Some(Reverse((at, task, crew))) = yard.under_way.pop() {
        (now, counted) = (at, counted + 1);
        if let Some(crew) = crew {
            yard.free[crew] += 1;
        }
        yard.finished(task);
        yard.begin(now);
    }
    Forecast { seconds: (counted > 0).then_some(now), counted, left_out: work.len() - counted }
}

struct Yard<'a> {
    work: &'a [Work<'a>],
    /// Tasks that need the same of a node, by their places in the work.
    ready: Vec<BinaryHeap<Reverse<usize>>>,
    kind: Vec<usize>,
    /// The kinds that each crew can do.
    able: Vec<Vec<usize>>,
    free: Vec<usize>,
    open: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    under_way: BinaryHeap<Reverse<(u64, usize, Option<usize>)>>,
}

impl<'a> Yard<'a> {
    fn of(work: &'a [Work<'a>], crews: &[Crew]) -> Self {
        let mut kinds: HashMap<(&[String], &str, Option<usize>), usize> = HashMap::new();
        let mut kind = Vec::with_capacity(work.len());
        for task in work {
            let next = kinds.len();
            kind.push(*kinds.entry((task.labels, task.executor, task.on)).or_insert(next));
        }
        let able = |(at, crew): (usize, &Crew)| {
            let can = |(labels, executor, on): &(&[String], &str, Option<usize>)| {
                on.is_none_or(|on| on == at)
                    && labels.iter().all(|label| crew.labels.contains(label))
                    && crew.executors.contains(*executor)
            };
            kinds.iter().filter(|(needs, _)| can(needs)).map(|(_, kind)| *kind).collect()
        };
        let index: HashMap<&TaskName, usize> = work.iter().enumerate().map(|(at, task)| (task.name, at)).collect();
        let mut yard = Self {
            work,
            ready: vec![BinaryHeap::new(); kinds.len()],
            kind,
            able: crews.iter().enumerate().map(able).collect(),
            free: crews.iter().map(|crew| crew.slots).collect(),
            open: vec![0; work.len()],
            dependents: vec![Vec::new(); work.len()],
            under_way: BinaryHeap::new(),
        };
        for (at, task) in work.iter().enumerate() {
            if task.runs {
                if let Some(on) = task.on {
                    yard.free[on] = yard.free[on].saturating_sub(1);
                }
                yard.under_way.push(Reverse((task.seconds, at, task.on)));
                continue;
            }
            for dependency in task.depends_on.iter().filter_map(|name| index.get(name)) {
                yard.dependents[*dependency].push(at);
                yard.open[at] += 1;
            }
            if yard.open[at] == 0 {
                yard.ready[yard.kind[at]].push(Reverse(at));
            }
        }
        yard
    }

    /// Begins what there are free slots for.
    fn begin(&mut self, now: u64) {
        for crew in 0..self.free.len() {
            while self.free[crew] > 0 {
                let next =
                    self.able[crew].iter().filter_map(|kind| self.ready[*kind].peek()).map(|next| next.0).min();
                let Some(task) = next else { break };
                self.ready[self.kind[task]].pop();
                self.free[crew] -= 1;
                self.under_way.push(Reverse((now + self.work[task].seconds, task, Some(crew))));
            }
        }
    }

    fn finished(&mut self, task: usize) {
        for dependent in std::mem::take(&mut self.dependents[task]) {
            self.open[dependent] -= 1;
            if self.open[dependent] == 0 {
                self.ready[self.kind[dependent]].push(Reverse(dependent));
            }
        }
    }
}

/// Finds the chain of work that takes longest however many nodes there are: the tasks, first to last, and its seconds.
pub fn longest_chain<'a>(work: &[Work<'a>]) -> Option<(Vec<&'a TaskName>, u64)> {
    let steps: Vec<Step<'a>> = work
        .iter()
        .map(|task| Step { name: task.name, minutes: task.seconds, depends_on: task.depends_on })
        .collect();
    let lengths = longest(&steps);
    let mut after: HashMap<&TaskName, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        for dependency in step.depends_on {
            after.entry(dependency).or_default().push(at);
        }
    }
    // Of chains that take as long, the one that begins first.
    let longest_of =
        |places: &mut dyn Iterator<Item = usize>| places.max_by_key(|at| (lengths[steps[*at].name], Reverse(*at)));
    let mut at = longest_of(&mut (0..steps.len()))?;
    let seconds = lengths[steps[at].name];
    let mut chain = vec![steps[at].name];
    // As long as the work: tasks on a circle lead nowhere.
    while chain.len() <= steps.len() {
        let next = longest_of(&mut after.get(steps[at].name).into_iter().flatten().copied());
        let Some(next) = next.filter(|next| !chain.contains(&steps[*next].name)) else { break };
        chain.push(steps[next].name);
        at = next;
    }
    Some((chain, seconds))
}

/// What past runs teach of future ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// How many times its estimate a task takes; `None` before there were enough runs.
    pub factor: Option<f64>,
    /// How many runs of tasks with an estimate there were.
    pub runs: usize,
    /// The seconds that a task without an estimate takes; `None` before there were enough runs of such.
    pub usual: Option<f64>,
}

impl Pace {
    /// Learns from runs: what was estimated, if anything, and what it took, in seconds. By medians, which one task that
    /// hung for a day does not move.
    pub fn of(runs: &[(Option<f64>, f64)]) -> Self {
        let ratios: Vec<f64> = runs
            .iter()
            .filter_map(|(estimate, took)| {
                estimate.filter(|estimate| *estimate > 0.0).map(|estimate| took / estimate)
            })
            .collect();
        let others: Vec<f64> =
            runs.iter().filter(|(estimate, _)| estimate.is_none()).map(|(_, took)| *took).collect();
        Self { runs: ratios.len(), factor: median(ratios), usual: median(others) }
    }

    /// Says how many seconds a task takes that was estimated so; one that was not is taken for a usual one.
    pub fn seconds(&self, estimate: Option<f64>, default: f64) -> f64 {
        let factor = self.factor.unwrap_or(1.0);
        match estimate {
            Some(estimate) => estimate * factor,
            None => self.usual.unwrap_or(default * factor),
        }
    }
}

/// The median of what is finite and not negative; `None` of less than [`ENOUGH_RUNS`].
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite() && *value >= 0.0);
    if values.len() < ENOUGH_RUNS {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) })
}

#[cfg(test)]
mod tests;
