//! Sixteen nodes that wake up at once, with the real choice and a simulated hub.
//!
//! With one slot each, woken in the same moment, they do 200 tasks. The hub is a compare-and-swap per task that takes as long as
//! a push does, while what a node knows is as old as its last look. The rows differ in what the tasks are like; where no two
//! tasks are equal every node wants the same one, and the number is what that order costs. The goal is nine won of ten tried
//! where tasks are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use git_dispatch::task::name::NameKind;
use git_dispatch::task::order::{Candidate, Offer, choose};
use git_dispatch::task::scope::Scopes;
use git_dispatch::task::spec::Mode;
use git_dispatch::task::{Name, State, TaskName};

use crate::{NO_GOAL, Row};

const NODES: usize = 16;
const TASKS: usize = 200;

/// What a push and a look take, in milliseconds of the simulation; both vary by half.
const PUSH: u64 = 400;
const LOOK: u64 = 300;

pub(crate) fn rows() {
    type Kind = fn(usize, &mut Candidate);
    let kinds: [(&str, Kind, f64); 4] = [
        ("equal tasks", |_, _| {}, 1.0 / 0.9),
        ("chains of five", |at, task| after(at, task, 5), NO_GOAL),
        ("four priorities", |at, task| task.priority = (at % 4) as u8, NO_GOAL),
        ("every task its own estimate", |at, task| task.path = at as u64 * 37 % 200, NO_GOAL),
    ];
    for (name, kind, goal) in kinds {
        let (mut tried, mut won) = (0, 0);
        for seed in 1..=20 {
            let one = play(kind, seed);
            (tried, won) = (tried + one.0, won + one.1);
        }
        let what = format!("{NODES} simulated nodes, {name}, claims tried per win");
        Row::number(what, goal, f64::from(tried) / f64::from(won), "claims").print();
    }
}

fn after(at: usize, task: &mut Candidate, length: usize) {
    task.path = 30 * (length - at % length) as u64;
    if !at.is_multiple_of(length) {
        task.depends_on = vec![(name(at - 1), Some(State::Pending))];
    }
}

fn name(at: usize) -> TaskName {
    TaskName::parse(&format!("p/t{at:03}")).expect("a name")
}

/// What a node does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// It looks, and pushes a claim of what it chose.
    Look,
    /// Its push arrives at the hub.
    Arrive(usize),
    /// Its task is done.
    Done(usize),
}

/// Plays until all is done; returns how many claims were tried, and how many won.
fn play(kind: fn(usize, &mut Candidate), seed: u64) -> (u32, u32) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = move |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most.max(1)
    };
    let mut tasks: Vec<Candidate> = (0..TASKS)
        .map(|at| {
            let mut task = candidate(at);
            kind(at, &mut task);
            task
        })
        .collect();
    let fleet: Vec<String> = (0..NODES).map(|at| format!("node-{at}")).collect();
    let offers: Vec<Offer> = fleet.iter().map(|node| offer(node, &fleet)).collect();
    let mut open: BinaryHeap<Reverse<(u64, usize, Step)>> =
        (0..NODES).map(|at| Reverse((0, at, Step::Look))).collect();
    let (mut tried, mut won) = (0, 0);
    while let Some(Reverse((now, node, step))) = open.pop() {
        let mut then = |at: u64, step: Step| open.push(Reverse((at, node, step)));
        let vary = |time: u64, draw: &mut dyn FnMut(u64) -> u64| time / 2 + draw(time);
        match step {
            Step::Look => match choose(&tasks, &offers[node]).first() {
                Some(task) => {
                    tried += 1;
                    then(now + vary(PUSH, &mut draw), Step::Arrive(task.position));
                }
                None if tasks.iter().all(|task| task.state == State::Completed) => {}
                None => then(now + vary(5 * LOOK, &mut draw), Step::Look),
            },
            Step::Arrive(at) if tasks[at].state == State::Pending => {
                won += 1;
                tasks[at].state = State::Running;
                then(now + 10 * PUSH + draw(60 * PUSH), Step::Done(at));
            }
            // Somebody was faster: look again.
            Step::Arrive(_) => then(now + vary(LOOK, &mut draw), Step::Look),
            Step::Done(at) => {
                tasks[at].state = State::Completed;
                let done = tasks[at].name.clone();
                for (name, state) in tasks.iter_mut().flat_map(|task| &mut task.depends_on) {
                    if *name == done {
                        *state = Some(State::Completed);
                    }
                }
                then(now + vary(LOOK, &mut draw), Step::Look);
            }
        }
    }
    (tried, won)
}

fn candidate(at: usize) -> Candidate {
    Candidate {
        name: name(at),
        position: at,
        state: State::Pending,
        assigned_to: None,
        priority: 2,
        waited: 0,
        path: 30,
        modifies: Vec::new(),
        labels: Vec::new(),
        executor: "shell".to_owned(),
        lacks_run: false,
        by_bundle: false,
        moot: false,
        mode: Mode::Undecided,
        rests: 0,
        depends_on: Vec::new(),
    }
}

fn offer(node: &str, fleet: &[String]) -> Offer {
    Offer {
        node: Name::new(NameKind::Node, node).expect("a name"),
        labels: [].into(),
        executors: ["shell".to_owned()].into(),
        only_assigned: false,
        by_hand: false,
        fleet: fleet.to_vec(),
        scopes: Scopes::default(),
        age_step: 3600,
    }
}
