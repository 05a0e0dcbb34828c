//! The longest estimated path of dependents below each task: what has much work waiting behind it starts early.

use std::collections::HashMap;

use super::TaskName;

/// What a task without an estimate is taken to need, in minutes (DESIGN.md 4).
pub const DEFAULT_ESTIMATE: u64 = 30;

/// A task as far as its path is concerned.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// The task.
    pub name: &'a TaskName,
    /// Its own estimate, in minutes.
    pub minutes: u64,
    /// The tasks that must be done before.
    pub depends_on: &'a [TaskName],
}

/// Computes for each task the minutes of the longest chain that begins with it, itself included. Tasks on a circle,
/// which enqueue refuses, count for themselves alone.
pub fn longest<'a>(steps: &[Step<'a>]) -> HashMap<&'a TaskName, u64> {
    let index: HashMap<&TaskName, usize> = steps.iter().enumerate().map(|(at, step)| (step.name, at)).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut open: Vec<usize> = vec![0; steps.len()];
    for (at, step) in steps.iter().enumerate() {
        for dependency in step.depends_on.iter().filter_map(|name| index.get(name)) {
            dependents[*dependency].push(at);
        }
    }
    for (at, below) in dependents.iter().enumerate() {
        open[at] = below.len();
    }
    let mut longest: Vec<u64> = steps.iter().map(|step| step.minutes).collect();
    // From the ends of the chains upwards; each task is final once all its dependents are.
    let mut ready: Vec<usize> = (0..steps.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for dependency in steps[at].depends_on.iter().filter_map(|name| index.get(name)).copied() {
            longest[dependency] = longest[dependency].max(steps[dependency].minutes + longest[at]);
            open[dependency] -= 1;
            if open[dependency] == 0 {
                ready.push(dependency);
            }
        }
    }
    steps.iter().zip(longest).map(|(step, minutes)| (step.name, minutes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_counts_from_its_beginning() {
        let names: Vec<TaskName> =
            ["a", "b", "c", "d"].iter().map(|id| TaskName::parse(&format!("p/{id}")).unwrap()).collect();
        let (on_a, on_b) = ([names[0].clone()], [names[1].clone()]);
        let steps = [
            Step { name: &names[0], minutes: 10, depends_on: &[] },
            Step { name: &names[1], minutes: 20, depends_on: &on_a },
            Step { name: &names[2], minutes: 5, depends_on: &on_b },
            Step { name: &names[3], minutes: 7, depends_on: &on_a },
        ];
        let longest = longest(&steps);
        let of = |at: usize| longest[&names[at]];
        assert_eq!([of(0), of(1), of(2), of(3)], [35, 25, 5, 7]);
    }

    #[test]
    fn a_circle_ends() {
        let names: Vec<TaskName> =
            ["a", "b"].iter().map(|id| TaskName::parse(&format!("p/{id}")).unwrap()).collect();
        let (on_a, on_b) = ([names[0].clone()], [names[1].clone()]);
        let steps = [
            Step { name: &names[0], minutes: 1, depends_on: &on_b },
            Step { name: &names[1], minutes: 2, depends_on: &on_a },
        ];
        assert_eq!(longest(&steps).len(), 2);
    }
}
