//! A hub that misbehaves in twenty ways, by six operations, over each transport: what becomes of each operation is written in a
//! table, and once the hub is mended everything is done, once.
//!
//! Over paths and `http://` in the normal run; over `git://` and ssh too with `GIT_DISPATCH_TEST_LONG=1`.
//! `GIT_DISPATCH_TEST_FAULTS` names those to be played alone: `hangs,cut`.

mod connections;
mod day;
mod faults;
mod front;
mod others;
mod servers;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use day::{Day, OPERATIONS, Operation, template};
use faults::FAULTS;
use servers::Transport;

use crate::sandbox::{PATIENCE, Running, Sandbox, eventually, race};

/// How many cases are under way at once: they wait most of their time.
const AT_ONCE: usize = 6;

/// What becomes of enqueue, claim, beat, finish, takeover and collect. `done`: the hub has it. `kept`: in the outbox.
/// `silent`: nothing is heard of the node, which goes on. `unheard`: refused for all that can be known, or without an answer in
/// time. Else the error's code, and the hub does not have it.
const EXPECTED: [(&str, [&str; 6]); 20] = [
    // Whether what was sent will land nobody knows; given again it is done once.
    ("lands-late", ["unheard", "unheard", "silent", "kept", "unheard", "unheard"]),
    ("hangs", ["git::timeout", "git::timeout", "silent", "kept", "git::timeout", "git::timeout"]),
    ("late", ["done"; 6]),
    // What became of a push that nobody answered is read from the refs.
    ("dropped", ["done"; 6]),
    ("cut", ["done"; 6]),
    ("rejects", ["hub::refused", "hub::refused", "silent", "kept", "hub::refused", "collect::refused"]),
    ("no-atomic", ["done"; 6]),
    ("no-deletes", ["done"; 6]),
    // With the default `ref_prefix`; there is one for such hubs.
    ("heads-only", ["hub::refused", "hub::refused", "silent", "kept", "hub::refused", "collect::refused"]),
    ("five-refs", ["done"; 6]),
    // Branches of tasks are for people to look at; the claim holds the work.
    ("vetoed", ["done"; 6]),
    ("too-large", ["hub::refused", "hub::refused", "silent", "kept", "hub::refused", "collect::refused"]),
    // What `git://`, ssh and a path have instead of numbers: the door is shut.
    ("401", ["hub::unreachable", "hub::unreachable", "silent", "kept", "hub::unreachable", "hub::unreachable"]),
    ("403", ["hub::unreachable", "hub::unreachable", "silent", "kept", "hub::unreachable", "hub::unreachable"]),
    ("429", ["hub::unreachable", "hub::unreachable", "silent", "kept", "hub::unreachable", "hub::unreachable"]),
    ("503", ["hub::unreachable", "hub::unreachable", "silent", "kept", "hub::unreachable", "hub::unreachable"]),
    // Nothing is put into a hub that forgot what it had; work by hand stands on its branch, and is finished later.
    (
        "restored",
        [
            "hub::memory_lost",
            "hub::memory_lost",
            "silent",
            "hub::memory_lost",
            "hub::memory_lost",
            "hub::memory_lost",
        ],
    ),
    ("empty-ref", ["hub::broken_ref", "hub::broken_ref", "silent", "kept", "hub::broken_ref", "hub::broken_ref"]),
    ("stale-lock", ["hub::refused", "hub::refused", "silent", "kept", "hub::refused", "collect::refused"]),
    ("away", ["hub::unreachable", "hub::unreachable", "silent", "kept", "hub::unreachable", "hub::unreachable"]),
];

const DENIED: [&str; 6] = ["hub::denied", "hub::denied", "silent", "kept", "hub::denied", "hub::denied"];
const LATER: [&str; 6] = ["hub::later", "hub::later", "silent", "kept", "hub::later", "hub::later"];

/// Where a transport makes a difference: the web has numbers.
const OTHERWISE: [(&str, Transport, [&str; 6]); 4] = [
    ("401", Transport::Http, DENIED),
    ("403", Transport::Http, DENIED),
    ("429", Transport::Http, LATER),
    ("503", Transport::Http, LATER),
];

#[test]
fn each_operation_ends_as_written_whatever_the_hub_does() {
    let mut transports = vec![Transport::Path, Transport::Http];
    if std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some() {
        transports.extend([Transport::Daemon, Transport::Ssh]);
    }
    transports.retain(|transport| match transport.missing() {
        Some(why) => {
            println!("{transport:?} is skipped: {why}");
            false
        }
        None => true,
    });
    all(&transports);
}

/// Plays all faults over these transports.
fn all(transports: &[Transport]) {
    let template = template();
    let only = std::env::var("GIT_DISPATCH_TEST_FAULTS").ok();
    let is_wanted = |fault: &&str| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == *fault));
    let over = |fault: &'static str| transports.iter().map(move |transport| (fault, *transport));
    let cases: Vec<(&str, Transport)> = FAULTS.into_iter().filter(is_wanted).flat_map(over).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    race(AT_ONCE, |_| {
        while let Some((fault, transport)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = case(&template, fault, *transport);
            println!(
                "{fault} over {transport:?}: {}",
                if result.is_ok() { "as written" } else { "not as written" }
            );
            if let Err(said) = result {
                wrong.lock().unwrap().push(said);
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases went wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for transport in transports {
        let played = cases.iter().filter(|(_, over)| over == transport).count();
        println!("{} of {} cells as written over {transport:?}", played * 6, FAULTS.len() * 6);
    }
}

fn expected(fault: &str, transport: Transport) -> [&'static str; 6] {
    let otherwise = OTHERWISE.iter().find(|(name, over, _)| *name == fault && *over == transport);
    otherwise.map_or_else(|| EXPECTED.iter().find(|(name, _)| *name == fault).unwrap().1, |(_, _, row)| *row)
}

/// Plays one fault; says what was not as written.
fn case(template: &Sandbox, fault: &str, transport: Transport) -> Result<(), String> {
    let mut day = Day::copy(template);
    let served = transport.serve(&day.sandbox);
    day.served_at(template, &served.url, &served.environment);
    if matches!(fault, "hangs" | "lands-late") {
        // A push may take six times as long. More would not end in time: what lands late is tried up to forty times.
        day.with("GIT_DISPATCH_SYNC_TIMEOUT", "400ms");
    }
    let mut node = day.start_node();
    let before = day.pushes();
    faults::begin(fault, &day, &served, transport);
    let (mut told, mut wrong) = (String::new(), Vec::new());
    // A hub that is not there cannot be looked at.
    let scene = Scene { is_there: fault != "away", before, beats: expected(fault, transport)[2] == "done" };
    let found = operate(&day, &mut node, &scene, &mut told);
    if !found.iter().zip(expected(fault, transport)).all(|(found, expected)| is_as_written(found, expected)) {
        wrong.push(format!("({fault:?}, {transport:?}): {found:?}, and not as written"));
    }
    if let Some((complaint, _)) = complaint(fault, transport) {
        // The node's next poll may be a while off.
        eventually(PATIENCE, || !node.is_running() || node.output().stderr.contains(complaint));
    }
    faults::end(fault, &day, &served);
    let heard = day.beat();
    day.without("GIT_DISPATCH_SYNC_TIMEOUT");
    wrong.extend(heal(&day, &mut told));
    eventually(PATIENCE, || !node.is_running() || day.beat() != heard);
    day.let_go(&mut node);
    day.await_end(&mut node);
    if !node.is_running() {
        wrong.push("the node ended".to_owned());
    }
    node.term();
    let node = node.wait(PATIENCE);
    wrong.extend(missing_words(fault, transport, &node.stderr));
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{told}\nthe node:\n{node}\n{}", wrong.join("\n"), served.log())),
    }
}

/// What is to be known of a hub that misbehaves.
struct Scene {
    is_there: bool,
    /// How often the node had pushed when it began.
    before: usize,
    /// Whether beats get through.
    beats: bool,
}

/// Carries the operations out, one after the other, and says what became of each.
fn operate(day: &Day, node: &mut Running, scene: &Scene, told: &mut String) -> Vec<String> {
    let (mut beat, mut found) = (String::new(), Vec::new());
    for operation in OPERATIONS.into_iter().filter(|operation| *operation != Operation::Beat) {
        let (said, out) = day.perform(operation);
        let times = if scene.is_there { day.times_done(operation) } else { 0 };
        told.push_str(&format!("-- {operation:?}: {said}, {times} on the hub\n{out}\n"));
        let is_so = usize::from(said == "done") == times;
        found.push(if is_so { said } else { format!("{said}, and {times} on the hub") });
        if beat.is_empty() && scene.is_there {
            beat = day.beat();
        }
    }
    // Silent is one who tried, or says why not.
    let has_tried = |node: &Running| day.pushes() > scene.before || !node.output().stderr.is_empty();
    let is_decided = |node: &Running| if scene.beats { day.beat() != beat } else { has_tried(node) };
    eventually(PATIENCE, || !node.is_running() || is_decided(node));
    let is_heard = scene.is_there && day.beat() != beat;
    found.insert(2, if is_heard { "done" } else { "silent" }.to_owned());
    found
}

fn is_as_written(found: &str, expected: &str) -> bool {
    let unheard = ["hub::refused", "collect::refused", "git::timeout"];
    found == expected || expected == "unheard" && unheard.contains(&found)
}

/// What the node has to say where somebody has to put something right, and the way out that it names.
fn complaint(fault: &str, transport: Transport) -> Option<(&'static str, &'static str)> {
    match (fault, transport) {
        ("401" | "403", Transport::Http) => Some(("does not let this clone in", "credential helper")),
        ("429" | "503", Transport::Http) => Some(("asks to be left alone for 2 s", "waits by itself")),
        _ => None,
    }
}

/// What is missing of it; it is said once.
fn missing_words(fault: &str, transport: Transport, said: &str) -> Option<String> {
    let (complaint, way_out) = complaint(fault, transport)?;
    let is_said = said.matches(complaint).count() == 1 && said.contains(way_out);
    (!is_said).then(|| format!("the node does not say once that the hub {complaint}"))
}

/// With the hub mended, gives each command again that was not done, and demands that each is done once.
fn heal(day: &Day, told: &mut String) -> Vec<String> {
    let mut wrong = Vec::new();
    for operation in OPERATIONS.into_iter().filter(|operation| *operation != Operation::Beat) {
        if day.times_done(operation) == 0 {
            // What was kept needs no more than a hub that takes it.
            let is_kept = operation == Operation::Finish && waiting(day) > 0;
            let out = if is_kept { day.dispatch("hand", &["outbox", "--flush"]) } else { day.perform(operation).1 };
            told.push_str(&format!("-- {operation:?} again:\n{out}\n"));
        }
        let times = day.times_done(operation);
        if times != 1 {
            wrong.push(format!("mended, {operation:?} is done {times} times"));
        }
    }
    // It may have landed without anybody's hearing of it.
    if waiting(day) > 0 {
        told.push_str(&format!("-- flushed:\n{}\n", day.dispatch("hand", &["outbox", "--flush"])));
    }
    let hub = day.sandbox.hub();
    let left = || hub.git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/claims/p/m"]);
    if !left().is_empty() {
        told.push_str(&format!("-- collected again:\n{}\n", day.dispatch("boss", &["collect", "m"])));
    }
    let seals = hub.git(&["notes", "--ref=dispatch-sealed", "list"]).lines().count();
    if !left().is_empty() || seals != 1 {
        wrong.push(format!("mended, what was merged is not sealed: {seals} seals, {}", left()));
    }
    if waiting(day) > 0 {
        wrong.push("mended, results wait".to_owned());
    }
    wrong
}

/// How many results wait where work is done by hand.
fn waiting(day: &Day) -> usize {
    let outbox = day.sandbox.repo("hand").path().join(".git/dispatch/outbox");
    std::fs::read_dir(outbox).map_or(0, |files| {
        files.flatten().filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
    })
}
