use super::*;
use crate::protocol::chronicle::Landing;
use crate::task::attempt::Attempt;
use crate::task::event::ConflictFile;

const EVIL: &str = "</script><img src=x onerror=alert(1)>\"'&\u{1b}[31m\u{202e}";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn attempt(number: u32, node: &str, begun: i64, ended: Option<i64>, outcome: &str) -> Attempt {
    Attempt {
        number,
        node: node.into(),
        slot: None,
        begun: at(begun),
        ended: ended.map(at),
        outcome: outcome.into(),
        reason: None,
        error: None,
    }
}

fn entry(name: &str, state: State, depends_on: &[usize], attempts: Vec<Attempt>) -> Entry {
    Entry {
        name: name.into(),
        title: format!("Do {name}"),
        state: Some(state),
        depends_on: depends_on.to_vec(),
        enqueued_at: at(0),
        ready_at: Some(at(0)),
        took: attempts.last().map(|attempt| attempt.seconds(at(1000))),
        estimate: Some(60.0),
        attempts,
        ..Entry::default()
    }
}

fn chronicle() -> Chronicle {
    let tasks = vec![
        Entry {
            merged_at: Some(at(200)),
            merge_commit: Some("0123456789abcdef".into()),
            ..entry(
                "p/a",
                State::Merged,
                &[],
                vec![attempt(1, "north", 10, Some(60), "lost"), attempt(2, "south", 70, Some(100), "completed")],
            )
        },
        Entry {
            title: EVIL.into(),
            trouble: Some(EVIL.into()),
            ..entry("p/b", State::Failed, &[0], vec![attempt(1, EVIL, 110, Some(160), "failed")])
        },
        entry("p/c", State::Running, &[0], vec![attempt(1, "north", 120, None, "running")]),
        entry("p/d", State::Pending, &[1, 2], vec![]),
    ];
    let conflict = Landing {
        at: at(190),
        task: 0,
        commit: None,
        files: vec![ConflictFile { path: EVIL.into(), kind: "contents".into() }],
        repair: Some(2),
    };
    let merge =
        Landing { at: at(200), task: 0, commit: Some("0123456789abcdef".into()), files: vec![], repair: None };
    Chronicle {
        at: at(300),
        project: EVIL.into(),
        target: "main".into(),
        tasks,
        landings: vec![conflict, merge],
        path: Some((vec![0, 2, 3], 300)),
        ..Chronicle::default()
    }
}

fn written(chronicle: &Chronicle) -> String {
    let forge = Forge::of("https://github.com/o/r");
    write(chronicle, &Setting { nonce: "NONCE".into(), forge })
}

#[test]
fn no_text_of_others_is_more_than_text() {
    let page = written(&chronicle());
    assert!(!page.contains("<img") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert_eq!(page.matches("<script").count(), 1, "one script, our own");
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\\u{1b}[31m\\u{202e}"));
    let constants = [include_str!("script.js"), include_str!("style.css")];
    assert!(constants.iter().all(|part| !part.contains("</")));
}

#[test]
fn everything_that_was_done_is_in_it() {
    let page = written(&chronicle());
    for part in [
        "class=\"bar o-lost\"",
        "class=\"bar o-completed\"",
        "class=\"bar o-running\"",
        "class=\"edge way\"",
        "<tr id=\"t-3\" data-state=\"pending\"",
        "does not merge",
        "mended by <a href=\"#t-2\">p/c</a>",
        "https://github.com/o/r/commit/0123456789abcdef",
        "<dt><i class=\"dot s-merged\"></i>merged</dt><dd>1</dd>",
        "script-src 'nonce-NONCE'",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    // Nothing is loaded: the only addresses are links that a person may follow.
    let mut rest = page.as_str();
    while let Some(found) = rest.find("http") {
        assert!(
            rest[..found].ends_with("href=\"") || rest[found..].starts_with("http-equiv"),
            "{}",
            &rest[found..found + 40]
        );
        rest = &rest[found + 4..];
    }
}

/// A node whose second slot was busy when its first was not: that is told, and not guessed.
#[test]
fn a_slot_that_is_told_has_its_own_lane() {
    let slotted = |slot, begun, ended| Attempt { slot, ..attempt(1, "north", begun, Some(ended), "completed") };
    let task = |nth: usize, one: Attempt| entry(&format!("p/t{nth}"), State::Completed, &[], vec![one]);
    let tasks = vec![
        task(0, slotted(Some(2), 10, 20)),
        task(1, slotted(Some(1), 30, 40)),
        task(2, slotted(Some(2), 50, 60)),
        task(3, slotted(None, 12, 18)),
        task(4, slotted(None, 12, 18)),
    ];
    let page = written(&Chronicle { at: at(100), tasks, ..Chronicle::default() });
    assert!(page.contains("3 lanes on 1 nodes") && page.contains("<title>slot 2</title>"), "{page}");
    let height_of = |nth: usize| {
        let link = format!("<a href=\"#t-{nth}\" tabindex=\"-1\" data-t=\"{nth}\"><rect");
        let bar = &page[page.find(&link).unwrap()..];
        bar.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
    };
    let heights: Vec<f64> = (0..5).map(height_of).collect();
    assert!(heights[1] < heights[0] && heights[0] == heights[2], "{heights:?}");
    assert!(heights[3] == heights[1] && heights[4] > heights[0], "{heights:?}");
}

#[test]
fn an_empty_queue_has_a_page() {
    let page = written(&Chronicle { project: "p".into(), ..Chronicle::default() });
    assert!(page.contains("Nothing was begun yet.") && page.contains("No task depends on another."));
}

#[test]
fn two_thousand_tasks_are_written_at_once_and_not_too_big() {
    let mut many = chronicle();
    let tasks = (0..2000).map(|nth: usize| {
        let begun = i64::try_from(nth).unwrap();
        let before: Vec<usize> = if nth >= 7 { vec![nth - 7] } else { Vec::new() };
        entry(
            &format!("p/t{nth}"),
            State::Merged,
            &before,
            vec![attempt(1, ["a", "b", "c"][nth % 3], begun, Some(begun + 5), "completed")],
        )
    });
    many.tasks = tasks.collect();
    let page = written(&many);
    assert!(page.matches("class=\"bar ").count() == 2000 && page.matches("<tr id=").count() == 2000);
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
}
