use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::view::{Paint, draw};
use super::*;
use crate::protocol::overview::Seat;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn row(name: &str, state: Stand, why: &str) -> Row {
    Row {
        name: format!("p/{name}"),
        title: format!("Do {name}"),
        state: Some(state),
        why: why.into(),
        since: Some(at(0)),
        ..Row::default()
    }
}

fn fleet() -> Overview {
    let running = Row {
        node: Some("north".into()),
        estimate: Some(600.0),
        attempt: 2,
        tail: vec!["compiling".into(), "\u{1b}[31mwarning\u{1b}[0m: unused".into(), "running 12 tests".into()],
        ..row("run", Stand::Running, "")
    };
    let seat = |name: &str, state: &str, running: &[usize]| Seat {
        name: name.into(),
        state: state.into(),
        slots: 2,
        beat_at: Some(at(110)),
        running: running.to_vec(),
    };
    Overview {
        at: at(120),
        synced_at: Some(at(118)),
        names: ("atlas".into(), "main".into()),
        nodes: vec![seat("north", "busy", &[2]), seat("south", "lost", &[]), seat("west", "stopped", &[])],
        tasks: vec![
            row("done", Stand::Merged, ""),
            row("wait", Stand::Pending, "waits for p/run (running on north for 2 min)"),
            running,
            row("fail", Stand::Failed, "waits for `git dispatch retry` or `cancel`"),
            Row { blocked: true, ..row("behind", Stand::Pending, "blocked by p/fail, which failed") },
            Row { title: "\u{1b}]0;owned\u{7}".into(), ..row("evil", Stand::Completed, "") },
        ],
        outbox: 1,
        empty_in: Some(900),
        ..Overview::default()
    }
}

fn state() -> State {
    let mut state = State::default();
    state.update(Input::Fleet(Box::new(fleet())));
    state
}

fn press(state: &mut State, keys: &str) -> Option<Ask> {
    keys.chars().map(|key| state.update(Input::Key(Key::Char(key)))).last().flatten()
}

fn drawn(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, Paint(true))).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_wrong_stands_first() {
    let state = state();
    let names: Vec<&str> = state.rows().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["p/fail", "p/behind", "p/run", "p/wait", "p/evil", "p/done"]);
}

#[test]
fn keys_filter_sort_and_move() {
    let mut state = state();
    press(&mut state, "/run");
    assert_eq!(state.rows().len(), 2, "the one that runs, and the one that waits for it");
    state.update(Input::Key(Key::Enter));
    assert_eq!((press(&mut state, "j"), state.chosen), (None, 1));
    assert_eq!(state.update(Input::Key(Key::Enter)), Some(Ask::Open("p/wait".into())));
    state.update(Input::Key(Key::Escape));
    assert_eq!(state.rows().len(), 6);
    press(&mut state, "s");
    assert_eq!((state.order, state.rows()[0].name.as_str()), (Order::Queue, "p/done"));
    state.update(Input::Key(Key::Last));
    assert_eq!(state.chosen, 5);
    state.update(Input::Key(Key::Page(-1)));
    assert_eq!(state.chosen, 0);
    assert_eq!(press(&mut state, "q"), Some(Ask::Quit));
    assert_eq!(state.update(Input::Key(Key::Interrupt)), Some(Ask::Quit));
}

#[test]
fn what_changes_something_is_asked_once() {
    let mut state = state();
    for (key, act) in [
        ('r', Act::Retry("p/fail".into())),
        ('x', Act::Cancel("p/fail".into())),
        ('p', Act::Pause(true)),
        ('c', Act::Collect),
    ] {
        assert_eq!(state.update(Input::Key(Key::Char(key))), None);
        assert_eq!(state.mode, Mode::Confirm(act.clone()));
        assert_eq!(press(&mut state, "n"), None, "any other key does not");
        assert_eq!(state.mode, Mode::List);
        state.update(Input::Key(Key::Char(key)));
        assert_eq!(press(&mut state, "y"), Some(Ask::Do(act)));
    }
    assert!(state.busy);
    state.update(Input::Said("done".into()));
    assert_eq!((state.busy, state.said.as_str()), (false, "done"));
}

#[test]
fn the_task_that_was_chosen_stays_so() {
    let mut state = state();
    press(&mut state, "jj");
    assert_eq!(state.row().unwrap().name, "p/run");
    let mut next = fleet();
    next.tasks[3].state = Some(Stand::Merged);
    next.tasks[4].blocked = false;
    state.update(Input::Fleet(Box::new(next)));
    assert_eq!((state.row().unwrap().name.as_str(), state.chosen), ("p/run", 0));
    state.update(Input::Fleet(Box::default()));
    assert_eq!((state.row(), state.chosen), (None, 0));
}

#[test]
fn it_is_drawn_at_each_size() {
    let mut state = state();
    press(&mut state, "jj");
    insta::assert_snapshot!("80x24", drawn(&state, 80, 24));
    insta::assert_snapshot!("120x40", drawn(&state, 120, 40));
    insta::assert_snapshot!("60x12", drawn(&state, 60, 12));
    // No size is too small to be drawn, and nothing gets through raw.
    for (width, height) in [(1, 1), (20, 5), (200, 60)] {
        let screen = drawn(&state, width, height);
        assert!(!screen.contains('\u{1b}') && !screen.contains('\u{7}'));
    }
}

#[test]
fn a_task_the_keys_and_a_question_are_drawn() {
    let mut state = state();
    press(&mut state, "?");
    assert!(drawn(&state, 80, 24).contains("collect what is finished"));
    press(&mut state, " r");
    assert!(drawn(&state, 80, 24).ends_with("retry p/fail? y does it, any other key does not"));
    press(&mut state, "n");
    let text = (1..=30).map(|line| format!("line {line}\u{1b}[2J")).collect();
    state.update(Input::Key(Key::Enter));
    state.update(Input::Task("p/fail".into(), text));
    let screen = drawn(&state, 40, 10);
    assert!(screen.starts_with("p/fail\nline 1\\u{1b}[2J\n") && screen.contains("line 1 of 30"), "{screen}");
    state.update(Input::Key(Key::Page(1)));
    assert!(drawn(&state, 40, 10).contains("\nline 11\\u"), "{}", drawn(&state, 40, 10));
    // Read again while it is open, it stays where it was; what comes when it was closed opens nothing.
    assert_eq!(state.update(Input::Fleet(Box::new(fleet()))), None, "nothing of it is new");
    let mut newer = fleet();
    newer.tasks[3].state = Some(Stand::Pending);
    assert_eq!(state.update(Input::Fleet(Box::new(newer))), Some(Ask::Open("p/fail".into())));
    state.update(Input::Task("p/fail".into(), vec![format!("{} end", "wide ".repeat(20)); 12]));
    let screen = drawn(&state, 40, 10);
    assert!(screen.contains("line 11 of 12") && screen.contains("wide\nwide wide"), "{screen}");
    state.update(Input::Key(Key::Escape));
    state.update(Input::Task("p/fail".into(), Vec::new()));
    assert_eq!(state.mode, Mode::List);
}

#[test]
fn each_slot_has_a_line_where_there_is_room() {
    let mut fleet = fleet();
    fleet.tasks.push(Row { name: "p/second".into(), ..fleet.tasks[2].clone() });
    fleet.nodes[0].running = vec![2, 6];
    let mut state = State::default();
    state.update(Input::Fleet(Box::new(fleet.clone())));
    let screen = drawn(&state, 80, 24);
    assert!(screen.contains("run 2 min of 10 min\n") && screen.contains("   second 2 min of 10 min"), "{screen}");
    // Many nodes: those that need a look, and how many more there are.
    for nth in 0..40 {
        fleet.nodes.push(Seat { name: format!("idle-{nth}"), state: "idle".into(), ..Seat::default() });
    }
    state.update(Input::Fleet(Box::new(fleet)));
    let screen = drawn(&state, 80, 24);
    assert!(screen.contains("NODE 5 of 43") && screen.contains("run 2 min of 10 min, second"), "{screen}");
    let place = |name: &str| screen.find(name).unwrap();
    assert!(place("\nsouth") < place("\nnorth") && place("\nnorth") < place("\nidle-0"), "{screen}");
}
