//! The page "How cost grows" of `src/lib.rs`, held against what simulated fleets ask of their hub.
//!
//! Each formula of the page is a line of [`super::cost::Plan`]; here they meet the count. The bounds are five in a hundred where a
//! number follows from the set-up, wider where the page gives a range; the simulation is seeded, so a count that is within them
//! stays there until the machine changes.

use super::cost::{Bill, HOUR, MINUTE, Plan, SECOND};

/// Says that a count is what the page says, within a share of it.
#[track_caller]
fn about(what: &str, got: u64, page: f64, share: f64) {
    let off = (got as f64 - page).abs();
    assert!(off <= page * share + 1.0, "{what}: the fleet has {got}, the page says {page:.0}");
}

fn fleets() -> Vec<(Plan, Bill)> {
    let plan = |nodes, slots, work| Plan { slots, work: Some(work), ..Plan::of(nodes) };
    let plans = [plan(1, 1, 5 * MINUTE), plan(3, 4, 6 * MINUTE), plan(6, 2, 10 * MINUTE)];
    plans.into_iter().map(|plan| (plan, plan.run())).collect()
}

#[test]
fn a_fleet_at_work_asks_for_what_the_page_says() {
    for (plan, bill) in fleets() {
        let nodes = plan.nodes as f64;
        let tasks = nodes * plan.tasks_per_node();
        about("claims won", bill.won, tasks, 0.05);
        // Slots come free one after the other, so each is claimed for by itself; and nobody races.
        about("pushes for tasks", bill.claims + bill.ends, plan.pushes_for_tasks(1.0), 0.05);
        assert!(bill.tried as f64 <= 1.1 * bill.won as f64, "{bill:?}");
        // A claim carries a beat as well, and none is left out for it.
        about("beats", bill.beats, plan.beats(), 0.05);
        about("fetches", bill.fetches, plan.fetches(1.0), 0.05);
        let collects = (HOUR / plan.collect) as f64;
        about("pushes of collects", bill.collects, 3.0 * collects, 0.0);
        let [least, most] = plan.refs();
        assert!((least..=most).contains(&bill.most_refs), "{} refs, not in {least}..={most}", bill.most_refs);
        assert!(bill.names <= (bill.pushes() + bill.fetches) * most, "{bill:?}");
        // What the others made comes here once, in a claim and its end.
        about("results downloaded", bill.results, tasks * (nodes - 1.0), 0.05);
        about("claims downloaded", bill.commits, 2.0 * tasks * (nodes - 1.0), 0.05);
    }
}

#[test]
fn a_fleet_at_rest_polls_and_beats() {
    for nodes in [1, 8, 40] {
        // By then polls have come to their longest pause.
        let plan = Plan { work: None, before: 10 * MINUTE, counted: 20 * MINUTE, ..Plan::of(nodes) };
        let bill = plan.run();
        about("beats", bill.beats, plan.beats(), 0.05);
        assert!(bill.beats <= 1_800 / 3, "the bound of the fleet: {}", bill.beats);
        about("fetches", bill.fetches, plan.fetches(1.0), 0.1);
        assert_eq!(bill.pushes(), bill.beats);
    }
}

#[test]
fn an_idle_fleet_claims_for_all_slots_of_a_node_at_once() {
    let plan = Plan { nodes: 5, slots: 4, before: 0, counted: 2 * MINUTE, tasks: Some(20), ..Plan::of(5) };
    let bill = plan.run();
    assert_eq!(bill.won, 20);
    // Where nodes are given different numbers of tasks by the choice, what is left is claimed by a second push.
    assert!((5..=10).contains(&bill.claims), "{bill:?}");
}

#[test]
fn the_largest_fleets_of_the_page_keep_within_their_hubs_budgets() {
    // Thirty pushes a minute, six of them beats: 720 tasks an hour, here by four nodes of two slots. Collects come on top.
    let plan = Plan { slots: 2, work: Some(40 * SECOND), max_beats_per_minute: 6, ..Plan::of(4) };
    let plan = Plan { before: 2 * MINUTE, counted: 20 * MINUTE, ..plan };
    let bill = plan.run();
    about("tasks", bill.won, (1_800.0 - 360.0) / 2.0 / 3.0, 0.05);
    // Fewer than six nodes beat less often than they might.
    about("pushes", bill.claims + bill.ends + bill.beats, 1_440.0 / 3.0 + plan.beats(), 0.05);
    about("pushes, with all the beats that there may be", bill.claims + bill.ends + 120, 1_800.0 / 3.0, 0.05);
    // A hundred a second: fifty tasks a second, which is 180,000 an hour.
    let plan = Plan { slots: 8, work: Some(640), before: 2 * SECOND, counted: 10 * SECOND, ..Plan::of(4) };
    let bill = plan.run();
    about("pushes in ten seconds", bill.claims + bill.ends, 1_000.0, 0.05);
}
