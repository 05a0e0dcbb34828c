//! `report`: what was done, in words, as a document, as Markdown, and as a page that a browser opens.

use std::fs;
use std::time::Duration;

use git_dispatch::protocol::chronicle::{Chronicle, Entry};
use git_dispatch::task::State;
use git_dispatch::task::attempt::Attempt;
use git_dispatch::ui::page::{Setting, write};
use serde_json::json;

use crate::browser::{Browser, close};
use crate::sandbox::{Repo, Sandbox, eventually};
use crate::steps::{each, enqueue, line, text};

const EVIL: &str = r#""<img src=x onerror=alert(1)></script><script>alert(2)</script>\e[31m\u202e""#;

/// Two merged, one that does not merge, one that failed with one behind it, and one with a title that means harm.
fn world() -> Sandbox {
    let sandbox = Sandbox::with_clones(&["north"]);
    let north = sandbox.repo("north");
    let timed = |script: &str| format!("{}\nestimated_minutes: 1", line(script));
    enqueue(
        &north,
        &[
            ("one", timed("echo a > src/one.txt") + "\npriority: 0"),
            ("two", timed("echo 2 > two.txt") + "\ndepends_on: one"),
            ("clash", timed("echo b > src/one.txt")),
            ("bad", line("echo no >&2; exit 1")),
            ("behind", format!("{}\ndepends_on: [bad, two]", line("true"))),
            ("evil", format!("title: {EVIL}\nlabels: [nowhere]")),
        ],
    );
    north.dispatch(&["run"]).code(4);
    north.dispatch(&["collect", "--no-repair"]).code(4);
    sandbox
}

fn page(north: &Repo) -> String {
    north.dispatch(&["report", "--html", "report.html"]).success();
    fs::read_to_string(north.path().join("report.html")).unwrap()
}

#[test]
fn what_was_done_is_told_in_words_as_a_document_and_as_markdown() {
    let sandbox = world();
    let north = sandbox.repo("north");
    let told = north.dispatch(&["report"]).success().stdout;
    assert!(told.starts_with("2 pending, 1 failed, 1 conflict, 2 merged\n"), "{told}");
    assert!(told.contains("north  4 attempts  3 completed") && told.contains("longest chain "), "{told}");

    let document = north.dispatch(&["report", "--json"]).success().json();
    assert_eq!(each(&document["tasks"], "state"), ["failed", "pending", "conflict", "pending", "merged", "merged"]);
    let one = &document["tasks"].as_array().unwrap().iter().find(|task| task["task"] == "p/one").unwrap();
    let attempt = &one["attempts"][0];
    assert_eq!(
        (&attempt["node"], &attempt["outcome"], &attempt["attempt"]),
        (&json!("north"), &json!("completed"), &json!(1))
    );
    assert_eq!(attempt["slot"], 1, "this node has one");
    assert!(one["waited_seconds"].is_number() && one["merged_at"].is_string() && attempt["seconds"].is_number());
    let merges = document["merges"].as_array().unwrap();
    let order: Vec<String> =
        merges.iter().filter(|one| one["merged"] == true).map(|one| text(&one["task"])).collect();
    let expected = sandbox.hub().git(&[
        "log",
        "--reverse",
        "--first-parent",
        "--merges",
        "--format=%(trailers:key=Dispatch-Task,valueonly,separator=)",
        "main",
    ]);
    assert_eq!(order, expected.lines().collect::<Vec<_>>(), "in the order of the target");
    let clash = merges.iter().find(|one| one["merged"] == false).unwrap();
    assert_eq!(
        (&clash["task"], &clash["files"]),
        (&json!("p/clash"), &json!([{"path": "src/one.txt", "kind": "contents"}]))
    );

    north.dispatch(&["report", "--md", "report.md"]).success();
    let markdown = fs::read_to_string(north.path().join("report.md")).unwrap();
    for part in [
        "# `hub`: what was done",
        "## In the way",
        "| `p/behind` | pending | ",
        "| `p/clash` | conflict | `does not merge: src/one.txt` |",
        "## Merges, in order",
        "does not merge: `src/one.txt`",
    ] {
        assert!(markdown.contains(part), "{part} is not in\n{markdown}");
    }
    // Markup of others stands in code spans.
    assert!(markdown.contains("`<img src=x") && !markdown.contains('\u{1b}'), "{markdown}");
    // What ended before is left out, whatever ended since is there; what is open stays.
    let since_now = || north.dispatch(&["report", "--json", "--since", "0s"]).success().json();
    eventually(Duration::from_secs(30), || {
        let recent = since_now();
        let merged: Vec<_> =
            recent["tasks"].as_array().unwrap().iter().filter(|task| task["state"] == "merged").collect();
        for task in &merged {
            assert!(text(&task["merged_at"]) >= text(&recent["since"]), "{recent}");
        }
        merged.is_empty()
    });
    assert_eq!(each(&since_now()["tasks"], "state"), ["failed", "pending", "conflict", "pending"], "what is open");
    north.dispatch(&["report", "--html", "no/such/folder/x.html"]).code(1);
}

#[test]
fn the_page_works_in_a_browser_and_asks_nobody() {
    let sandbox = world();
    let north = sandbox.repo("north");
    let html = page(&north);
    assert!(!html.contains("<img") && html.matches("<script").count() == 1);
    let Some(mut browser) = Browser::open(&sandbox, &north.path().join("report.html")) else { return };
    assert!(browser.picture() > 10_000, "it is drawn");
    let shown = "[...document.querySelectorAll('#table tbody tr')].filter(row => !row.hidden).map(row => row.cells[0].textContent).join(' ')";
    for (expression, expected) in [
        ("document.images.length + document.scripts.length", json!(1)),
        ("document.querySelectorAll('.bar').length", json!(4)),
        ("document.querySelectorAll('.node-of').length", json!(4)),
        ("document.querySelectorAll('.edge.way').length > 0", json!(true)),
        ("document.querySelectorAll('.rail .clash').length", json!(1)),
        ("document.querySelectorAll('svg[role=img]:not([aria-label])').length", json!(0)),
        ("document.querySelector('#shown').value", json!("6 tasks")),
        // Filters: words, states, both, none.
        (
            "const find = document.querySelector('#find'); find.value = 'task p/b'; find.dispatchEvent(new Event('input', {bubbles: true})); 1",
            json!(1),
        ),
        (shown, json!("p/bad p/behind")),
        ("document.querySelectorAll('.bar').length - document.querySelectorAll('a.off .bar').length", json!(1)),
        (
            "document.querySelector('[value=failed]').click(); document.querySelector('#shown').value",
            json!("1 of 6 tasks"),
        ),
        (shown, json!("p/bad")),
        ("location.hash = '#t-4'; 1", json!(1)),
    ] {
        assert_eq!(browser.ask(expression), expected, "{expression}");
    }
    // A link to a task that is filtered away shows it.
    crate::sandbox::eventually(crate::sandbox::PATIENCE, || {
        browser.ask("document.querySelector('#shown').value") == "6 tasks"
    });
    sorted(&mut browser, shown);
    seen(&mut browser);
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    let is_own = |url: &String| url.starts_with("file://") && url.contains("report.html");
    assert!(browser.requests.iter().all(is_own), "{:?}", browser.requests);
    close(browser, &sandbox);
}

fn sorted(browser: &mut Browser, shown: &str) {
    // Sorted both ways, by text and by number; what has no number stands last.
    let sort = |nth: u32| format!("document.querySelectorAll('thead button')[{nth}].click()");
    browser.ask(&sort(0));
    assert_eq!(browser.ask(shown), "p/bad p/behind p/clash p/evil p/one p/two");
    browser.ask(&sort(0));
    assert_eq!(browser.ask(shown), "p/two p/one p/evil p/clash p/behind p/bad");
    assert_eq!(browser.ask("document.querySelectorAll('th[aria-sort]').length"), 1);
    browser.ask(&sort(8));
    assert!(text(&browser.ask(shown)).split(' ').skip(4).all(|task| ["p/behind", "p/evil"].contains(&task)));
}

/// Keyboard, dark, print.
fn seen(browser: &mut Browser) {
    browser.press("/");
    assert_eq!(browser.ask("document.activeElement.id"), "find");
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = browser.ask(ground);
    browser.call(
        "Emulation.setEmulatedMedia",
        json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    assert_ne!(browser.ask(ground), light);
    browser.ask("document.querySelector('#theme').click()");
    assert_eq!(browser.ask(ground), light, "a person's choice wins");
    browser.call("Emulation.setEmulatedMedia", json!({"media": "print", "features": []}));
    assert_eq!(browser.ask("getComputedStyle(document.querySelector('nav')).display"), "none");
}

#[test]
fn two_thousand_tasks_open_at_once() {
    let sandbox = Sandbox::with_clones(&[]);
    let at = |second: i64| jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
    let task = |nth: usize| {
        let begun = i64::try_from(nth).unwrap() * 7;
        let attempt = Attempt {
            number: 1,
            node: format!("node-{}", nth % 12),
            slot: Some(1),
            begun: at(begun),
            ended: Some(at(begun + 60)),
            outcome: "completed".into(),
            reason: None,
            error: None,
        };
        Entry {
            name: format!("p/t{nth}"),
            title: format!("Task {nth}"),
            state: Some(State::Merged),
            depends_on: if nth >= 40 { vec![nth - 40, nth - 17] } else { Vec::new() },
            enqueued_at: at(0),
            ready_at: Some(at(0)),
            attempts: vec![attempt],
            estimate: Some(60.0),
            took: Some(60.0),
            ..Entry::default()
        }
    };
    let tasks: Vec<Entry> = (0..2000).map(task).collect();
    let many =
        Chronicle { at: at(20_000), project: "p".into(), target: "main".into(), tasks, ..Chronicle::default() };
    let file = sandbox.root().join("many.html");
    fs::write(&file, write(&many, &Setting { nonce: "x".into(), forge: None })).unwrap();
    let Some(mut browser) = Browser::open(&sandbox, &file) else { return };
    assert_eq!(browser.ask("document.querySelectorAll('#table tbody tr').length"), 2000);
    let opened = browser.ask("performance.getEntriesByType('navigation')[0].loadEventEnd").as_f64().unwrap();
    let filtered = browser
        .ask("(() => { const start = performance.now(); const find = document.querySelector('#find'); find.value = 't19'; find.dispatchEvent(new Event('input', {bubbles: true})); document.body.offsetHeight; return performance.now() - start })()")
        .as_f64()
        .unwrap();
    println!(
        "2000 tasks: {} KiB, opened in {opened:.0} ms, filtered in {filtered:.0} ms",
        fs::metadata(&file).unwrap().len() >> 10
    );
    assert_eq!(browser.ask("document.querySelector('#shown').value"), "111 of 2000 tasks");
    // A bound for a busy machine; by itself it is a fraction of this.
    assert!(opened < 10_000.0 && filtered < 5_000.0, "opened in {opened} ms, filtered in {filtered} ms");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    close(browser, &sandbox);
}
