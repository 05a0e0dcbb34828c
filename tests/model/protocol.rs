//! The model of claims: nodes and people around one hub, every order of their steps.
//!
//! Modelled: claim and its check, run, finish, late finish, give back, takeover of a claim at any moment (whoever is
//! slow may be held to be lost), crash and restart with the outbox, stop, cancel, collect of one task, seal in its
//! order, retry over a seal, answers that are lost and pushes that land at any later time, once. Within the bounds
//! every interleaving is tried.
//!
//! Not modelled here: beats and time (`life`), dependencies (`foundations`), specs that are replaced, assignment, holds
//! by hand or offline, conflicts and repairs, servers that cannot delete or push atomically, a hub that loses its memory.

use std::time::Duration;

use git_dispatch::task::Phase;
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::node::{self, Node};
use super::person::{self, Person};
use super::world::{World, Wrong};

/// Invariant 1.
pub(crate) const ONE_RESULT: &str = "one accepted result per reopening";
/// Invariant 1.
pub(crate) const OWN_CLAIM: &str = "a result is the child of the claim that made it";
/// Invariant 2.
pub(crate) const NUMBERS_RISE: &str = "attempt numbers rise";
/// Invariant 2.
pub(crate) const CHARGE_BOUND: &str = "the charge stays within the maximum";
/// Invariant 6.
pub(crate) const ENDED_ENDS: &str = "what ended never runs again";
/// Invariant 8.
pub(crate) const FAST_FORWARD: &str = "claims only fast-forward";
/// The table of `task::transition`.
pub(crate) const LEGAL: &str = "phases follow the table";
/// Invariant 3, and its mirror.
pub(crate) const TRUTH: &str = "nodes say what is so";

/// The number of the first person, as a maker of commits.
const FIRST_PERSON: u8 = 8;

/// What becomes of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// It reaches the hub, and so does the answer the pusher.
    Answered,
    /// It reaches the hub; the answer is lost.
    Mute,
    /// It is under way: it may land at any later time, or never.
    Late,
}

/// A protocol that is wrong in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    NoNonce,
    FinishOnLastSeen,
    MissingIsFree,
    NoCheck,
    LateOverSeal,
    CancelForced,
    TimeoutIsNo,
}

/// The protocol within bounds.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) nodes: u8,
    pub(crate) people: u8,
    pub(crate) tasks: u8,
    /// The commits that one node makes at most.
    pub(crate) node_commits: u8,
    /// The commits and verbs of one person.
    pub(crate) person_commits: u8,
    pub(crate) verbs: u8,
    /// Answers lost and pushes late, in all.
    pub(crate) faults: u8,
    /// Crashes, in all.
    pub(crate) crashes: u8,
    pub(crate) mutant: Option<Mutant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    world: World,
    nodes: Vec<Node>,
    people: Vec<Person>,
    faults: u8,
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Node(u8, node::Step, Fate),
    Person(u8, person::Step, Fate),
    Land(u8),
}

impl Protocol {
    fn fates(&self, state: &State, is_answer_used: bool) -> &'static [Fate] {
        match (state.faults < self.faults, is_answer_used) {
            (false, _) => &[Fate::Answered],
            (true, true) => &[Fate::Answered, Fate::Mute, Fate::Late],
            (true, false) => &[Fate::Answered, Fate::Late],
        }
    }

    fn node_actions(&self, state: &State, me: u8, actions: &mut Vec<Action>) {
        let mut steps = Vec::new();
        let may_make = state.world.made(me) < self.node_commits;
        let eyes = node::Eyes { me, node: &state.nodes[me as usize], world: &state.world, mutant: self.mutant };
        eyes.steps(self.tasks, may_make, state.crashes < self.crashes, &mut steps);
        for step in steps {
            use node::Step::{Audit, Bid, GiveBack, Push, TakeBack};
            let fates = match step {
                Push => self.fates(state, true),
                Bid(_) | GiveBack | TakeBack(_) | Audit(_) => self.fates(state, false),
                _ => &[Fate::Answered],
            };
            actions.extend(fates.iter().map(|fate| Action::Node(me, step, *fate)));
        }
    }

    fn person_actions(&self, state: &State, me: u8, actions: &mut Vec<Action>) {
        let mut steps = Vec::new();
        let person = &state.people[me as usize];
        let may_make = state.world.made(FIRST_PERSON + me) < self.person_commits;
        let may_begin = person.begun < self.verbs;
        let eyes = person::Eyes { person, world: &state.world };
        eyes.steps(self.tasks, may_begin, may_make, state.crashes < self.crashes, &mut steps);
        for step in steps {
            let may_go_wrong = step == person::Step::Go && eyes.pushes();
            let fates = if may_go_wrong { self.fates(state, true) } else { &[Fate::Answered] };
            actions.extend(fates.iter().map(|fate| Action::Person(me, step, *fate)));
        }
    }

    /// Searches everything within the bounds; returns the number of states.
    pub(crate) fn check(self) -> usize {
        let (name, started) = (format!("{self:?}"), std::time::Instant::now());
        let checker = self.checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
        crate::tell(&format!("{} states in {:.1?}: {name}", checker.unique_state_count(), started.elapsed()));
        checker.unique_state_count()
    }

    /// Searches until `property` is seen broken, and says how; `None`: it never is.
    pub(crate) fn counterexample(self, property: &'static str) -> Option<Vec<Action>> {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker = self.checker().finish_when(wanted).timeout(Duration::from_secs(300)).spawn_bfs();
        let checker = checker.join();
        Some(checker.discovery(property)?.into_actions())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            world: World::default(),
            nodes: vec![Node::default(); self.nodes as usize],
            people: vec![Person::default(); self.people as usize],
            faults: 0,
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for me in 0..self.nodes {
            self.node_actions(state, me, actions);
        }
        for me in 0..self.people {
            self.person_actions(state, me, actions);
        }
        actions.extend((0..state.world.flying.len() as u8).map(Action::Land));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let world = &mut state.world;
        match action {
            Action::Node(me, step, fate) => {
                state.faults += u8::from(fate != Fate::Answered);
                state.crashes += u8::from(step == node::Step::Crash);
                let node = &mut state.nodes[me as usize];
                node::Turn { me, node, world, mutant: self.mutant }.take(step, fate);
            }
            Action::Person(me, step, fate) => {
                state.faults += u8::from(fate != Fate::Answered);
                state.crashes += u8::from(step == person::Step::Die);
                let person = &mut state.people[me as usize];
                person::Turn { me: FIRST_PERSON + me, person, world, mutant: self.mutant }.take(step, fate);
            }
            Action::Land(which) => {
                let edit = world.flying.remove(which as usize);
                world.land(edit);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_RESULT, |_, state: &State| !state.world.is_wrong(Wrong::AcceptedTwice)),
            Property::always(OWN_CLAIM, |_, state: &State| !state.world.is_wrong(Wrong::Foreign)),
            Property::always(NUMBERS_RISE, |_, state: &State| !state.world.is_wrong(Wrong::Attempts)),
            Property::always(CHARGE_BOUND, |_, state: &State| !state.world.is_wrong(Wrong::Charged)),
            Property::always(ENDED_ENDS, |_, state: &State| !state.world.is_wrong(Wrong::RanFinished)),
            Property::always(FAST_FORWARD, |_, state: &State| !state.world.is_wrong(Wrong::Rewound)),
            Property::always(LEGAL, |_, state: &State| !state.world.is_wrong(Wrong::Illegal)),
            Property::always(TRUTH, |_, state: &State| !state.world.is_wrong(Wrong::Said)),
        ];
        // What must be reachable within the bounds, or nothing is proved.
        let mut reached = |name, condition| properties.push(Property::sometimes(name, condition));
        reached("a result is accepted", |_: &Self, state: &State| !state.world.accepted.is_empty());
        if self.nodes > 1 {
            reached("a result is accepted late", |_, state| state.world.has(&[Phase::Released, Phase::Completed]));
            reached("a node is fenced off", |_, state| state.world.has_fenced());
        }
        if self.people > 0 {
            reached("work is merged and sealed", |_, state| state.world.has_sealed(Phase::Merged));
            reached("a seal is reopened", |_, state| state.world.has_reopened());
        }
        if self.people > 0 && self.faults > 0 {
            reached("a claim lands beside a seal", |_, state| state.world.has_void_claim());
        }
        properties
    }
}
