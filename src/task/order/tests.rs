//! The order and what stands in the way, case by case and by properties.

use proptest::prelude::*;

use super::*;
use crate::task::name::NameKind;

fn offer() -> Offer {
    Offer {
        node: Name::new(NameKind::Node, "n").unwrap(),
        labels: ["a".to_owned()].into(),
        executors: ["shell".to_owned()].into(),
        only_assigned: false,
        by_hand: false,
        fleet: vec![],
        scopes: Scopes::default(),
        age_step: 3600,
    }
}

fn scopes(held: &[(&str, &str)]) -> Scopes {
    let mut scopes = Scopes::default();
    for (task, glob) in held {
        scopes.add(&TaskName::parse(task).unwrap(), &[(*glob).to_owned()]);
    }
    scopes
}

fn candidate(position: usize) -> Candidate {
    Candidate {
        name: TaskName::parse(&format!("p/t{position}")).unwrap(),
        position,
        state: State::Pending,
        assigned_to: None,
        priority: 2,
        waited: 0,
        path: 30,
        modifies: vec![],
        labels: vec![],
        executor: "shell".into(),
        lacks_run: false,
        by_bundle: false,
        moot: false,
        mode: Mode::Undecided,
        rests: 0,
        depends_on: vec![],
    }
}

#[test]
fn urgent_first_then_the_queue() {
    let mut tasks: Vec<Candidate> = (0..4).map(candidate).collect();
    tasks[2].priority = 0;
    let order: Vec<usize> = choose(&tasks, &offer()).iter().map(|task| task.position).collect();
    assert_eq!(order, [2, 0, 1, 3]);
}

fn order(tasks: &[Candidate], offer: &Offer) -> Vec<usize> {
    choose(tasks, offer).iter().map(|task| task.position).collect()
}

#[test]
fn what_has_waited_long_becomes_urgent() {
    let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
    tasks[0].priority = 1;
    tasks[2].waited = 2 * 3600;
    assert_eq!(order(&tasks, &offer()), [2, 0, 1]);
}

#[test]
fn long_chains_start_early() {
    let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
    tasks[1].path = 90;
    assert_eq!(order(&tasks, &offer()), [1, 0, 2]);
}

#[test]
fn what_touches_the_same_files_does_not_start_together() {
    let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
    tasks[0].modifies = vec!["src/**".into()];
    tasks[1].modifies = vec!["src/a.rs".into()];
    assert_eq!(order(&tasks, &offer()), [0, 2]);
    let busy = Offer { scopes: scopes(&[("p/x", "src/b.rs")]), ..offer() };
    assert_eq!(order(&tasks, &busy), [1, 2]);
    let by = TaskName::parse("p/x").unwrap();
    tasks[0].modifies = vec!["docs/**".into(), "src/**".into()];
    let obstacle = obstacle(&tasks[0], &busy);
    assert_eq!(obstacle, Some(Obstacle::Scope { glob: "src/**".into(), by }), "the glob that is in the way");
}

#[test]
fn a_fleet_that_wakes_at_once_spreads_over_the_queue() {
    let tasks: Vec<Candidate> = (0..200).map(candidate).collect();
    let fleet: Vec<String> = (0..16).map(|number| format!("n{number}")).collect();
    let firsts: std::collections::BTreeSet<usize> = fleet
        .iter()
        .map(|name| {
            let node = Name::new(NameKind::Node, name).unwrap();
            order(&tasks, &Offer { node, fleet: fleet.clone(), ..offer() })[0]
        })
        .collect();
    assert!(firsts.len() >= 15, "sixteen nodes begin with {} different tasks", firsts.len());
}

#[test]
fn each_obstacle_is_named() {
    let dependency = candidate(9).name;
    let with = |change: &dyn Fn(&mut Candidate)| {
        let mut task = candidate(0);
        change(&mut task);
        obstacle(&task, &offer())
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(with(&|task| task.state = State::Failed), Some(Obstacle::State(State::Failed)));
    assert_eq!(with(&|task| task.labels = vec!["gpu".into()]), Some(Obstacle::Label("gpu".into())));
    assert_eq!(with(&|task| task.executor = "glm".into()), Some(Obstacle::Executor("glm".into())));
    assert_eq!(with(&|task| task.lacks_run = true), Some(Obstacle::NothingToRun));
    assert_eq!(with(&|task| task.rests = 7), Some(Obstacle::Rests(7)));
    assert_eq!(with(&|task| task.mode = Mode::Push), Some(Obstacle::OnlyAssigned));
    for state in [None, Some(State::Running), Some(State::Failed), Some(State::Cancelled)] {
        let waits = Some(Obstacle::WaitsFor { task: dependency.clone(), state });
        assert_eq!(with(&|task| task.depends_on = vec![(dependency.clone(), state)]), waits);
    }
}

#[test]
fn what_is_assigned_here_starts_here_only() {
    let mut task = candidate(0);
    task.state = State::Assigned;
    task.assigned_to = Some("n".into());
    task.mode = Mode::Push;
    assert_eq!(obstacle(&task, &offer()), None);
    task.assigned_to = Some("other".into());
    assert_eq!(obstacle(&task, &offer()), Some(Obstacle::AssignedTo("other".into())));
}

#[test]
fn what_waited_long_for_its_scope_keeps_it_free() {
    let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
    tasks[0].modifies = vec!["**".into()];
    tasks[1].modifies = vec!["docs/a.md".into()];
    let busy = Offer { scopes: scopes(&[("p/x", "src/b.rs")]), ..offer() };
    assert_eq!(order(&tasks, &busy), [1, 2], "at first whoever can begin does");
    tasks[0].waited = 3600;
    assert_eq!(order(&tasks, &busy), [2], "then nothing begins before it that would keep it waiting");
    tasks[1].priority = 0;
    assert_eq!(order(&tasks, &busy), [1, 2], "but for what is more urgent");
}

#[test]
fn what_is_new_and_critical_does_not_pass_a_task_by_for_ever() {
    let mut tasks: Vec<Candidate> = (0..2).map(candidate).collect();
    (tasks[0].priority, tasks[0].path) = (0, 9000);
    tasks[1].priority = 3;
    for (waited, first) in [(0, 0), (3 * 3600, 0), (4 * 3600, 1)] {
        tasks[1].waited = waited;
        assert_eq!(order(&tasks, &offer())[0], first, "{waited}");
    }
}

#[test]
fn who_has_done_its_own_share_does_not_race_for_the_others() {
    let fleet: Vec<String> = (0..16).map(|number| format!("n{number}")).collect();
    let tasks: Vec<Candidate> = (0..200).map(candidate).collect();
    let of =
        |name: &String| Offer { node: Name::new(NameKind::Node, name).unwrap(), fleet: fleet.clone(), ..offer() };
    // Every node's own share is done; what is left is somebody else's for each of them but one.
    let left: Vec<Candidate> =
        tasks.iter().filter(|task| (0..8).any(|at| Spread::of(&of(&fleet[at])).rank(task) == 0)).cloned().collect();
    let firsts: BTreeSet<usize> = fleet[8..].iter().map(|name| order(&left, &of(name))[0]).collect();
    assert!(firsts.len() >= 6, "eight nodes without a share of their own begin with {} tasks", firsts.len());
}

prop_compose! {
    /// Any task: in each state, with each thing that may stand in its way.
    fn any_candidate(position: usize)(
        state in proptest::sample::select(vec![State::Pending, State::Pending, State::Pending, State::Assigned, State::Running, State::Failed, State::Merged]),
        here in any::<bool>(),
        priority in 0u8..4,
        waited in prop_oneof![Just(0u64), 0u64..20_000],
        path in 1u64..100,
        modifies in proptest::collection::vec(proptest::sample::select(vec!["**", "a/**", "a/x", "b/*", "b/y", "c"]), 0..2),
        labels in proptest::collection::vec(proptest::sample::select(vec!["a", "gpu"]), 0..2),
        executor in proptest::sample::select(vec!["shell", "shell", "agent"]),
        lacks_run in proptest::bool::weighted(0.1),
        mode in proptest::sample::select(vec![Mode::Undecided, Mode::Undecided, Mode::Push, Mode::Pull]),
        rests in prop_oneof![4 => Just(0u64), 1 => 1u64..9],
        dependency in proptest::option::of(proptest::option::of(proptest::sample::select(State::ALL))),
    ) -> Candidate {
        Candidate {
            state,
            assigned_to: (state == State::Assigned).then(|| if here { "n" } else { "other" }.to_owned()),
            priority, waited, path, lacks_run, mode, rests,
            modifies: modifies.into_iter().map(str::to_owned).collect(),
            labels: labels.into_iter().map(str::to_owned).collect(),
            executor: executor.to_owned(),
            depends_on: dependency.map(|state| (TaskName::parse("p/before").unwrap(), state)).into_iter().collect(),
            ..candidate(position)
        }
    }
}

fn any_queue() -> impl Strategy<Value = Vec<Candidate>> {
    (0usize..25).prop_flat_map(|count| (0..count).map(any_candidate).collect::<Vec<_>>())
}

prop_compose! {
    fn any_offer()(
        only_assigned in proptest::bool::weighted(0.2),
        by_hand in proptest::bool::weighted(0.2),
        fleet in 0usize..5,
        busy in proptest::collection::vec(proptest::sample::select(vec!["a/**", "b/y", "c"]), 0..2),
        age_step in prop_oneof![Just(0u64), Just(3600)],
    ) -> Offer {
        let busy: Vec<(&str, &str)> = busy.into_iter().map(|glob| ("p/busy", glob)).collect();
        let fleet = (0..fleet).map(|number| format!("n{number}")).collect();
        Offer { only_assigned, by_hand, fleet, scopes: scopes(&busy), age_step, ..offer() }
    }
}

/// The rules of DESIGN.md 4, said once more and in another way.
fn may_start(task: &Candidate, offer: &Offer) -> bool {
    let is_here = task.assigned_to.as_deref() == Some("n");
    let by_state = match task.state {
        State::Pending => offer.by_hand || !(offer.only_assigned || task.mode == Mode::Push),
        State::Assigned => is_here,
        _ => false,
    };
    let is_done = |state: &Option<State>| *state == Some(State::Completed) || *state == Some(State::Merged);
    let wait = !offer.by_hand && (task.lacks_run || task.rests > 0);
    by_state
        && task.depends_on.iter().all(|(_, state)| is_done(state))
        && task.labels.iter().all(|label| label == "a")
        && task.executor == "shell"
        && !wait
        && offer.scopes.meeting(&task.name, &task.modifies).is_none()
}

proptest! {
    #[test]
    fn nothing_starts_that_may_not(tasks in any_queue(), offer in any_offer()) {
        let chosen = choose(&tasks, &offer);
        for (at, task) in chosen.iter().enumerate() {
            prop_assert!(may_start(task, &offer), "{:?}", task);
            for other in &chosen[..at] {
                prop_assert!(task.name != other.name, "chosen twice");
                prop_assert!(!crate::task::scope::may_overlap(&task.modifies, &other.modifies), "{task:?} beside {other:?}");
            }
        }
    }

    #[test]
    fn nothing_is_passed_over_without_a_reason(tasks in any_queue(), offer in any_offer()) {
        let chosen = choose(&tasks, &offer);
        let overdue = |task: &&Candidate| is_overdue(task, offer.age_step);
        for task in tasks.iter().filter(|task| may_start(task, &offer)) {
            let mut before = chosen.iter().copied().chain(tasks.iter().filter(overdue)).filter(|other| other.name != task.name);
            prop_assert!(
                chosen.iter().any(|other| other.name == task.name)
                    || before.any(|other| crate::task::scope::may_overlap(&task.modifies, &other.modifies)),
                "{:?} is left out", task
            );
        }
    }

    #[test]
    fn the_more_urgent_comes_first(tasks in any_queue(), offer in any_offer()) {
        let chosen = choose(&tasks, &offer);
        let keys: Vec<_> = chosen.iter().map(|task| (urgency(task, offer.age_step), std::cmp::Reverse(task.path))).collect();
        prop_assert!(keys.is_sorted(), "{:?}", keys);
    }

    #[test]
    fn the_same_input_gives_the_same_answer(tasks in any_queue(), offer in any_offer(), turn in 0usize..30) {
        let order: Vec<usize> = choose(&tasks, &offer).iter().map(|task| task.position).collect();
        let mut turned = tasks.clone();
        turned.rotate_left(turn % tasks.len().max(1));
        turned.reverse();
        let again: Vec<usize> = choose(&turned, &offer).iter().map(|task| task.position).collect();
        prop_assert_eq!(order, again);
    }

    /// Two slots; in every step one task that is critical, heads a long chain and changes a file of its own comes in, and
    /// takes two steps. Whatever was there before, with the lowest priority and all files as its scope, has its turn.
    #[test]
    fn nothing_starves(priority in 0u8..4, everything in any::<bool>(), step in 1u64..5) {
        let mut old = candidate(0);
        old.priority = priority;
        old.modifies = if everything { vec!["**".to_owned()] } else { Vec::new() };
        let mut queue = vec![old];
        let mut running: Vec<(u64, Candidate)> = Vec::new();
        let age_step = 10 * step;
        for now in 0.. {
            prop_assert!(now < 10 * age_step, "it starves");
            running.retain(|(until, _)| *until > now);
            let mut new = candidate(now as usize + 1);
            (new.priority, new.path, new.modifies) = (0, 900, vec![format!("src/{now}.rs")]);
            queue.push(new);
            for task in &mut queue {
                task.waited += 1;
            }
            while running.len() < 2 {
                let held: Vec<(String, String)> = running.iter()
                    .flat_map(|(_, task)| task.modifies.iter().map(|glob| (task.name.to_string(), glob.clone()))).collect();
                let held: Vec<(&str, &str)> = held.iter().map(|(task, glob)| (task.as_str(), glob.as_str())).collect();
                let offer = Offer { age_step, scopes: scopes(&held), ..offer() };
                let Some(next) = choose(&queue, &offer).first().map(|task| (*task).clone()) else { break };
                queue.retain(|task| task.name != next.name);
                running.push((now + 2, next));
            }
            if queue.iter().all(|task| task.position != 0) {
                break;
            }
        }
    }
}
