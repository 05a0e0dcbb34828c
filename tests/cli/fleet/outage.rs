//! A hub that goes away and comes back, for nodes at work.

use std::fs;
use std::time::{Duration, Instant};

use super::{ids, said, until_said};
use crate::rig::{Fleet, HASTY, gated, quick};
use crate::sandbox::{PATIENCE, eventually};

#[test]
fn while_the_hub_is_away_results_wait_and_nobody_is_lost() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], &HASTY.replace("lost_after_beats = 4", "lost_after_beats = 25"));
    fleet.enqueue(&[("a", &gated("a", "go")), ("b", &gated("b", "go"))]);
    let (mut one, mut two) = (fleet.watch("n1"), fleet.watch("n2"));
    eventually(PATIENCE, || fleet.home("a.began").exists() && fleet.home("b.began").exists());
    let (hub, away) = (fleet.sandbox.root().join("hub.git"), fleet.sandbox.root().join("away"));
    fs::rename(&hub, &away).unwrap();
    let since = Instant::now();
    until_said(&one, "the hub does not answer");
    until_said(&two, "the hub does not answer");
    fleet.touch("go");
    until_said(&one, "the result is kept here");
    until_said(&two, "the result is kept here");
    assert!(fleet.waiting("n1") > 0 && fleet.waiting("n2") > 0);
    let shown = fleet.clone("n1").dispatch(&["outbox", "--json"]).success().json();
    assert_eq!(shown["outbox"].as_array().map(Vec::len), Some(1));
    // Longer than a node may be silent by its own stated time, five seconds.
    eventually(PATIENCE, || since.elapsed() > Duration::from_secs(6));
    assert!(one.is_running() && two.is_running());
    fs::rename(&away, &hub).unwrap();
    until_said(&one, "the hub answers again");
    until_said(&two, "the hub answers again");
    fleet.until("a", "completed");
    fleet.until("b", "completed");
    for id in ["a", "b"] {
        assert_eq!(fleet.phases(id), ["running", "completed"]);
        assert_eq!((fleet.trailer(id, "Attempt").as_str(), fleet.trailer(id, "Charged").as_str()), ("1", "0"));
    }
    for node in [&one, &two] {
        let told = "the hub does not answer; what runs goes on";
        assert_eq!((said(node, told), said(node, "released")), (1, 0), "{}", node.output());
    }
    eventually(PATIENCE, || fleet.waiting("n1") + fleet.waiting("n2") == 0);
    fleet.collect_and_check(&ids(&["a", "b"]));
}

#[test]
fn a_node_that_leaves_while_the_hub_is_away_keeps_its_results_for_a_flush() {
    let fleet = Fleet::new(&["boss", "n1"], HASTY);
    fleet.enqueue(&[("a", &gated("a", "go"))]);
    let mut one = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    let (hub, away) = (fleet.sandbox.root().join("hub.git"), fleet.sandbox.root().join("away"));
    fs::rename(&hub, &away).unwrap();
    one.term();
    fleet.touch("go");
    let left = one.wait(PATIENCE);
    assert!(left.stderr.contains("the result is kept here"), "{left}");
    let clone = fleet.clone("n1");
    assert!(clone.dispatch(&["outbox"]).success().stdout.contains("waits for the hub"));
    assert_eq!(clone.dispatch(&["outbox", "--flush"]).code, 1, "not while it is away");
    fs::rename(&away, &hub).unwrap();
    clone.dispatch(&["outbox", "--flush"]).success();
    assert_eq!((fleet.phases("a").join(" "), fleet.waiting("n1")), ("running completed".into(), 0));
    fleet.collect_and_check(&ids(&["a"]));
}

#[test]
fn a_node_that_is_started_while_the_hub_is_away_waits_for_it() {
    let fleet = Fleet::new(&["boss", "n1"], HASTY);
    fleet.enqueue(&[("a", &quick("a"))]);
    let (hub, away) = (fleet.sandbox.root().join("hub.git"), fleet.sandbox.root().join("away"));
    fs::rename(&hub, &away).unwrap();
    let one = fleet.watch("n1");
    until_said(&one, "the hub does not answer");
    fs::rename(&away, &hub).unwrap();
    fleet.until("a", "completed");
    fleet.collect_and_check(&ids(&["a"]));
}
