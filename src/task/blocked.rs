//! Which tasks are blocked: they wait for one that failed, was cancelled, or is not there, directly or through others.
//!
//! Pure. A blocked task stays pending: nothing is failed silently, and a retry of the cause sets it free.

use std::collections::{HashMap, VecDeque};

use super::{State, TaskName};

/// A task as far as its being blocked is concerned.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// The task.
    pub name: &'a TaskName,
    /// Where it stands.
    pub state: State,
    /// The tasks that must be done before.
    pub depends_on: &'a [TaskName],
}

/// What blocks a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked<'a> {
    /// The task that will not be done as things stand.
    pub by: &'a TaskName,
    /// Where that stands: failed or cancelled; `None`: it is not on the queue.
    pub state: Option<State>,
    /// The dependency through which it blocks; the same where it is one itself.
    pub through: &'a TaskName,
}

/// Finds the tasks that wait and are blocked; of several causes, the nearest and first. `state` tells where any task stands.
pub fn blocked<'a>(
    links: &[Link<'a>],
    state: impl Fn(&TaskName) -> Option<State>,
) -> HashMap<&'a TaskName, Blocked<'a>> {
    let mut dependents: HashMap<&TaskName, Vec<&'a TaskName>> = HashMap::new();
    let mut found: HashMap<&'a TaskName, Blocked<'a>> = HashMap::new();
    let mut open: VecDeque<&'a TaskName> = VecDeque::new();
    for link in links.iter().filter(|link| waits(link.state)) {
        for dependency in link.depends_on {
            dependents.entry(dependency).or_default().push(link.name);
            let state = state(dependency);
            let is_dead = matches!(state, None | Some(State::Failed | State::Cancelled));
            if is_dead && !found.contains_key(link.name) {
                found.insert(link.name, Blocked { by: dependency, state, through: dependency });
                open.push_back(link.name);
            }
        }
    }
    while let Some(name) = open.pop_front() {
        let cause = found[name];
        for dependent in dependents.get(name).into_iter().flatten() {
            if !found.contains_key(dependent) {
                found.insert(dependent, Blocked { through: name, ..cause });
                open.push_back(dependent);
            }
        }
    }
    found
}

const fn waits(state: State) -> bool {
    matches!(state, State::Pending | State::Assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among<'a>(links: &[Link<'a>]) -> HashMap<&'a TaskName, Blocked<'a>> {
        let known: HashMap<&TaskName, State> = links.iter().map(|link| (link.name, link.state)).collect();
        blocked(links, |name| known.get(name).copied())
    }

    #[test]
    fn what_waits_for_the_dead_is_blocked_all_the_way_down() {
        let names: Vec<TaskName> =
            ["a", "b", "c", "d", "e", "x"].iter().map(|id| TaskName::parse(&format!("p/{id}")).unwrap()).collect();
        let [a, b, c, d, e, x] = &names[..] else { unreachable!() };
        let (on_a, on_b, on_c, on_x) = ([a.clone()], [b.clone()], [c.clone(), e.clone()], [x.clone()]);
        let link = |name, state, depends_on| Link { name, state, depends_on };
        let links = [
            link(a, State::Failed, &[][..]),
            link(b, State::Pending, &on_a[..]),
            link(c, State::Pending, &on_b[..]),
            link(d, State::Pending, &on_c[..]),
            link(e, State::Assigned, &on_x[..]),
        ];
        let found = among(&links);
        assert_eq!(found.get(a), None, "the cause itself is not blocked");
        assert_eq!(found[b], Blocked { by: a, state: Some(State::Failed), through: a });
        assert_eq!(found[c], Blocked { by: a, state: Some(State::Failed), through: b });
        assert_eq!(found[e], Blocked { by: x, state: None, through: x });
        assert_eq!(found[d].by, x, "the nearest cause of two");
    }

    #[test]
    fn what_may_still_be_done_blocks_nothing_and_circles_end() {
        let names: Vec<TaskName> =
            ["a", "b"].iter().map(|id| TaskName::parse(&format!("p/{id}")).unwrap()).collect();
        let (on_a, on_b) = ([names[0].clone()], [names[1].clone()]);
        for state in [State::Pending, State::Running, State::Completed, State::Conflict, State::Merged] {
            let links = [
                Link { name: &names[0], state, depends_on: &on_b },
                Link { name: &names[1], state: State::Pending, depends_on: &on_a },
            ];
            assert!(among(&links).is_empty(), "{state}");
        }
    }
}
