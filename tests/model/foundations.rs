//! The model of collecting work that was built on other work (DESIGN.md 5, invariant 9).
//!
//! Modelled: a task, a task built on its result, and two collectors that look, decide and push target and claims in
//! one atomic push on what they saw; the first task is called off and run again at any moment.
//!
//! Not modelled: conflicts, repairs, verification, servers without atomic pushes.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Invariant 9.
pub(crate) const ON_ITS_BASE: &str = "work is merged only on top of what it was built on";
/// Invariant 9.
pub(crate) const ONCE: &str = "a result is merged at most once";

/// How a task stands; results are numbered by their attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    #[default]
    Pending,
    Completed {
        result: u8,
        built_on: Option<u8>,
    },
    Cancelled,
    Merged,
}

/// The hub: both tasks, how often each of them moved, and the target's results of the first and of the second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hub {
    tasks: [Task; 2],
    moves: [u8; 2],
    target: Vec<(u8, u8, Option<u8>)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    hub: Hub,
    /// What each collector saw, while it is at work.
    seen: [Option<Hub>; 2],
    attempts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Run(u8),
    Cancel(u8),
    Retry(u8),
    Look(u8),
    Collect(u8),
}

/// Collecting within bounds.
#[derive(Debug, Clone)]
pub(crate) struct Foundations {
    pub(crate) attempts: u8,
    /// Whether what a result was built on is left unlooked at.
    pub(crate) careless: bool,
}

impl Foundations {
    pub(crate) fn check(self) -> usize {
        let (text, started) = (format!("{self:?}"), std::time::Instant::now());
        let checker = self.checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
        crate::tell(&format!("{} states in {:.1?}: {text}", checker.unique_state_count(), started.elapsed()));
        checker.unique_state_count()
    }

    pub(crate) fn counterexample(self, property: &'static str) -> Option<Vec<Action>> {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker = self.checker().finish_when(wanted).spawn_bfs().join();
        Some(checker.discovery(property)?.into_actions())
    }

    /// What a collector makes of what it saw: pushed only if target and claims are still so.
    fn collect(&self, seen: &Hub, hub: &mut Hub) {
        let mut after = seen.clone();
        for task in 0..2 {
            let Task::Completed { result, built_on } = after.tasks[task] else { continue };
            let holds = |base: u8| after.target.iter().any(|(of, there, _)| *of == 0 && *there == base);
            if !built_on.is_none_or(holds) && !self.careless {
                // While the dependency can still land it waits; where another result took its place it is stale.
                let can_land = matches!(after.tasks[0], Task::Completed { result, .. } if Some(result) == built_on);
                if !can_land {
                    after.tasks[task] = Task::Pending;
                    after.moves[task] += 1;
                }
                continue;
            }
            after.target.push((task as u8, result, built_on));
            after.tasks[task] = Task::Merged;
            after.moves[task] += 1;
        }
        let moved = |task: usize| after.moves[task] != seen.moves[task];
        let claims_hold = (0..2).all(|task| !moved(task) || hub.moves[task] == seen.moves[task]);
        if claims_hold && hub.target == seen.target {
            hub.target = after.target.clone();
            for task in (0..2).filter(|task| moved(*task)) {
                (hub.tasks[task], hub.moves[task]) = (after.tasks[task], after.moves[task]);
            }
        }
    }
}

impl Model for Foundations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for task in 0..2u8 {
            let done = |of: Task| matches!(of, Task::Completed { .. } | Task::Merged);
            match state.hub.tasks[task as usize] {
                Task::Pending if state.attempts < self.attempts && (task == 0 || done(state.hub.tasks[0])) => {
                    actions.push(Action::Run(task));
                }
                Task::Completed { .. } => actions.push(Action::Cancel(task)),
                Task::Cancelled => actions.push(Action::Retry(task)),
                _ => {}
            }
        }
        for collector in 0..2u8 {
            actions.push(match state.seen[collector as usize] {
                None => Action::Look(collector),
                Some(_) => Action::Collect(collector),
            });
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let hub = &mut state.hub;
        match action {
            Action::Run(task) => {
                state.attempts += 1;
                let built_on = match (task, hub.tasks[0]) {
                    (1, Task::Completed { result, .. }) => Some(result),
                    _ => None,
                };
                hub.tasks[task as usize] = Task::Completed { result: state.attempts, built_on };
                hub.moves[task as usize] += 1;
            }
            Action::Cancel(task) | Action::Retry(task) => {
                let is_retry = matches!(action, Action::Retry(_));
                hub.tasks[task as usize] = if is_retry { Task::Pending } else { Task::Cancelled };
                hub.moves[task as usize] += 1;
            }
            Action::Look(collector) => state.seen[collector as usize] = Some(hub.clone()),
            Action::Collect(collector) => {
                let seen = state.seen[collector as usize].take()?;
                self.collect(&seen, hub);
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.hub.moves.iter().all(|moves| *moves < 2 * self.attempts)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ON_ITS_BASE, |_, state: &State| {
                let target = &state.hub.target;
                target.iter().enumerate().all(|(at, (_, _, built_on))| {
                    built_on.is_none_or(|base| target[..at].iter().any(|(of, there, _)| *of == 0 && *there == base))
                })
            }),
            Property::always(ONCE, |_, state: &State| {
                let target = &state.hub.target;
                target.iter().all(|one| target.iter().filter(|other| *other == one).count() == 1)
            }),
            Property::sometimes("both are merged", |_, state: &State| state.hub.target.len() == 2),
        ]
    }
}
