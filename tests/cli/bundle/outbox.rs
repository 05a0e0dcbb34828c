//! A hub that stays away: what waits for it is carried there as a file.

use std::fs;

use crate::rig::{Fleet, gated};
use crate::sandbox::{PATIENCE, eventually};
use crate::steps::{refused, text};

const QUICK: &str =
    "[node]\npoll = \"100ms\"\npoll_max = \"300ms\"\nheartbeat = \"250ms\"\nlost_after_beats = 200\n";

fn hide(fleet: &Fleet) {
    fs::rename(fleet.sandbox.hub().path(), fleet.home("hidden.git")).unwrap();
}

fn bring_back(fleet: &Fleet) {
    fs::rename(fleet.home("hidden.git"), fleet.sandbox.hub().path()).unwrap();
}

#[test]
fn what_waits_is_carried_and_found_there() {
    let fleet = Fleet::new(&["boss", "n1"], QUICK);
    fleet.enqueue(&[("a", &gated("a", "go"))]);
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    let none = n1.dispatch(&["outbox", "--bundle", "../none"]).success();
    assert!(none.stderr.contains("nothing new"), "{none}");
    let node = n1.spawn(&["run"]);
    eventually(PATIENCE, || fleet.home("a.began").exists());
    hide(&fleet);
    fleet.touch("go");
    node.wait(PATIENCE);
    let made = n1.dispatch(&["outbox", "--bundle", "../carried", "--json"]).success().json();
    crate::schema::described("outbox --bundle", &made);
    assert_eq!((text(&made["tasks"][0]["task"]), text(&made["kind"])), ("p/a".to_owned(), "results".to_owned()));
    refused(&n1.dispatch(&["outbox", "--bundle", "../carried", "--json"]), "dispatch::bundle::exists", 2);
    assert_eq!(fleet.waiting("n1"), 3, "it waits on: the record, and what it pins");
    bring_back(&fleet);
    boss.dispatch(&["collect", "--bundle", "../carried"]).success();
    fleet.check(&["a".to_owned()]);
    // The node finds that it is there.
    n1.dispatch(&["run"]).code(3);
    assert_eq!(fleet.waiting("n1"), 0);
    assert!(boss.dispatch(&["logs", "a"]).code == 0);
    fleet.check(&["a".to_owned()]);
}

#[test]
fn a_node_whose_hub_stays_away_writes_a_file_and_tells_a_person() {
    let settings = format!(
        "{QUICK}[outbox]\nbundle_after = \"1s\"\nbundle_dir = \"../../stick\"\n\
         [notify]\ncommand = [\"sh\", \"-c\", \"cat >> $HOME/told\"]\n"
    );
    let fleet = Fleet::new(&["boss", "n1"], &settings);
    fleet.enqueue(&[("a", &gated("a", "go"))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    hide(&fleet);
    fleet.touch("go");
    let stick = fleet.sandbox.root().join("stick");
    let files = || -> Vec<String> {
        let entries = fs::read_dir(&stick).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    };
    eventually(PATIENCE, || !files().is_empty());
    eventually(PATIENCE, || node.output().stderr.contains("carry"));
    let told = || fs::read_to_string(fleet.home("told")).unwrap_or_default();
    eventually(PATIENCE, || told().contains("\"bundle\":"));
    // Once, however long it stays away.
    let polls = node.output().stderr.len();
    eventually(PATIENCE, || node.is_running() && polls > 0);
    bring_back(&fleet);
    let file = files().remove(0);
    assert!(file.starts_with("n1-") && file.ends_with(".bundle"), "{file}");
    eventually(PATIENCE, || fleet.waiting("n1") == 0);
    let boss = fleet.clone("boss");
    let out = boss.dispatch(&["collect", "--bundle", &format!("../stick/{file}")]).success();
    assert!(out.stdout.contains("already here"), "whichever way comes first counts: {out}");
    fleet.check(&["a".to_owned()]);
    assert_eq!(files().len(), 1);
    node.term();
    node.wait(PATIENCE);
}
