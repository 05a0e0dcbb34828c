//! The protocol, searched: every order of steps of small fleets within bounds; and protocols that are wrong in one
//! place, each of which the search must find out (RELIABILITY.md, "How it is shown").
//!
//! `GIT_DISPATCH_TEST_LONG=1` searches within larger bounds: `cargo test --release --test model`. Each module says what
//! it models and what it does not.

#[path = "model/foundations.rs"]
mod foundations;
#[path = "model/life.rs"]
mod life;
#[path = "model/node.rs"]
mod node;
#[path = "model/person.rs"]
mod person;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/world.rs"]
mod world;

use foundations::Foundations;
use life::Life;
use protocol::{Mutant, Protocol};

/// Two nodes, one task.
const FLEET: Protocol = Protocol {
    nodes: 2,
    people: 0,
    tasks: 1,
    node_commits: 3,
    person_commits: 0,
    verbs: 0,
    faults: 1,
    crashes: 1,
    mutant: None,
};

/// A node and somebody who cancels, collects and retries.
const SOMEBODY: Protocol = Protocol { nodes: 1, people: 1, node_commits: 3, person_commits: 3, verbs: 3, ..FLEET };

/// Whether the larger bounds are asked for.
fn long() -> bool {
    option_env!("GIT_DISPATCH_TEST_LONG").is_some()
        || std::env::vars().any(|(name, _)| name == "GIT_DISPATCH_TEST_LONG")
}

#[expect(clippy::print_stderr, reason = "counts and counterexamples, shown with --nocapture")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[track_caller]
fn caught(mutant: Mutant, bounds: Protocol, property: &'static str) {
    let path = Protocol { mutant: Some(mutant), ..bounds }.counterexample(property);
    let path = path.unwrap_or_else(|| panic!("{mutant:?} was not caught by `{property}`"));
    tell(&format!("{mutant:?} breaks `{property}` in {} steps: {path:?}", path.len()));
}

#[test]
fn two_nodes_one_task() {
    let states = match long() {
        true => Protocol { faults: 2, crashes: 2, ..FLEET }.check(),
        false => FLEET.check(),
    };
    assert!(states > 50_000, "the bounds are too narrow to prove anything: {states}");
}

#[test]
fn two_nodes_two_tasks() {
    let states = match long() {
        true => Protocol { tasks: 2, node_commits: 2, faults: 2, crashes: 2, ..FLEET }.check(),
        false => Protocol { tasks: 2, node_commits: 2, ..FLEET }.check(),
    };
    assert!(states > 50_000, "the bounds are too narrow to prove anything: {states}");
}

#[test]
fn a_node_and_somebody_who_cancels_and_retries() {
    let states = match long() {
        true => Protocol { person_commits: 4, verbs: 4, faults: 2, ..SOMEBODY }.check(),
        false => SOMEBODY.check(),
    };
    assert!(states > 50_000, "the bounds are too narrow to prove anything: {states}");
}

#[test]
fn two_nodes_and_somebody() {
    let small = Protocol { nodes: 2, node_commits: 2, person_commits: 2, verbs: 2, crashes: 0, ..SOMEBODY };
    let states = match long() {
        true => Protocol { faults: 2, ..small }.check(),
        false => Protocol { faults: 1, ..small }.check(),
    };
    assert!(states > 50_000, "the bounds are too narrow to prove anything: {states}");
}

#[test]
fn two_people_and_a_node() {
    let small = Protocol { people: 2, node_commits: 2, person_commits: 2, verbs: 2, crashes: 0, ..SOMEBODY };
    let states = match long() {
        true => Protocol { faults: 1, ..small }.check(),
        false => Protocol { faults: 0, ..small }.check(),
    };
    assert!(states > 50_000, "the bounds are too narrow to prove anything: {states}");
}

#[test]
fn who_is_lost() {
    let states =
        Life { ticks: if long() { 26 } else { 22 }, outages: if long() { 3 } else { 2 }, mutant: None }.check();
    assert!(states > 1_000, "{states}");
}

#[test]
fn what_is_built_on_what() {
    let states = Foundations { attempts: if long() { 4 } else { 3 }, careless: false }.check();
    assert!(states > 1_000, "{states}");
}

#[test]
fn without_a_nonce_two_nodes_win_one_attempt() {
    caught(Mutant::NoNonce, FLEET, protocol::NUMBERS_RISE);
}

#[test]
fn a_finish_on_what_was_last_seen_follows_a_foreign_claim() {
    caught(Mutant::FinishOnLastSeen, FLEET, protocol::OWN_CLAIM);
}

#[test]
fn a_missing_claim_ref_is_no_invitation() {
    caught(Mutant::MissingIsFree, SOMEBODY, protocol::TRUTH);
}

#[test]
fn without_the_check_after_claiming_what_ended_runs_again() {
    caught(Mutant::NoCheck, SOMEBODY, protocol::ENDED_ENDS);
}

#[test]
fn a_late_claim_over_a_seal_is_not_live() {
    caught(Mutant::LateOverSeal, SOMEBODY, protocol::ENDED_ENDS);
}

#[test]
fn cancel_needs_its_compare_and_swap() {
    caught(Mutant::CancelForced, SOMEBODY, protocol::FAST_FORWARD);
}

#[test]
fn a_timeout_is_not_a_no() {
    caught(Mutant::TimeoutIsNo, FLEET, protocol::TRUTH);
}

#[track_caller]
fn caught_in_life(mutant: life::Mutant, property: &'static str) {
    let path = Life { ticks: 22, outages: 2, mutant: Some(mutant) }.counterexample(property);
    let path = path.unwrap_or_else(|| panic!("{mutant:?} was not caught by `{property}`"));
    tell(&format!("{mutant:?} breaks `{property}` in {} ticks: {path:?}", path.len()));
}

#[test]
fn silence_during_an_outage_does_not_count() {
    caught_in_life(life::Mutant::Outage, life::ALIVE);
}

#[test]
fn silence_while_no_push_gets_through_does_not_count() {
    caught_in_life(life::Mutant::Mute, life::ALIVE);
}

#[test]
fn a_node_that_lives_keeps_no_claim_alive_that_it_does_not_list() {
    caught_in_life(life::Mutant::Unlisted, life::TAKEABLE);
}

#[test]
fn work_is_not_merged_without_what_it_was_built_on() {
    let path = Foundations { attempts: 3, careless: true }.counterexample(foundations::ON_ITS_BASE);
    assert!(path.is_some(), "a dependent merged without its foundation was not caught");
}
