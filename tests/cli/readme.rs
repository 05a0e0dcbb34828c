//! The README: followed from top to bottom in a fresh home, each block of shell run as it stands; its table of settings is
//! that of the annotated defaults (`GIT_DISPATCH_TEST_UPDATE=1` writes it anew), its pictures are those of the program.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use git_dispatch::protocol::overview::{Overview, Row, Seat};
use git_dispatch::task::State;
use git_dispatch::ui::top::view::{Paint, draw};
use git_dispatch::ui::top::{self, Input, Key};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};

const README: &str = include_str!("../../README.md");
const DEFAULTS: &str = include_str!("../../git-dispatch.toml");
const BEGIN: &str = "<!-- generated from git-dispatch.toml -->\n";
const END: &str = "<!-- end -->\n";

/// The blocks of shell, in order.
fn blocks() -> Vec<&'static str> {
    README.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn each_block_is_run_as_it_stands() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let mut run = 0;
    for block in blocks() {
        // This project's own tests and installation, and scripts that others fill in, are not a user's steps.
        if block.contains("cargo ") || block.starts_with("#!") {
            continue;
        }
        run += 1;
        if block.contains("--watch") {
            stays(&sandbox, &a, block);
            continue;
        }
        prepare(&a, block);
        // `PROJECT/ID` is the reader's; what is carried by hand ends one place and begins another.
        let block = block.replace("PROJECT/ID", "hub/broken");
        for part in block.split("\n# carry back.bundle") {
            let part = part.strip_prefix(" back, then at the hub:").unwrap_or(part);
            a.run("sh", &[("GIT_PAGER", "cat")], &["-ec", part]).success();
        }
        if block.contains("dispatch.trust.signed") {
            // This reader has no key, and goes on without.
            a.git(&["config", "--remove-section", "dispatch.trust"]);
        }
    }
    assert!(run >= 8, "{run} blocks");
    assert_eq!(sandbox.hub().git(&["show", "main:hello.txt"]), "hello, fleet");
    assert_eq!(sandbox.hub().git(&["show", "main:carried.txt"]), "carried");
    assert!(fs::read_to_string(a.path().join("report.html")).unwrap().contains("hub/hello"));
    let page = sandbox.root().join("home/.local/share/man/man1/git-dispatch.1");
    assert!(page.exists() && sandbox.root().join("home/drop/dropped.md.dispatched").exists());
}

/// What the text around a block has the reader do before.
fn prepare(a: &Repo, block: &str) {
    if block.contains("bundle create") {
        a.spec("../carried.md", "run: echo carried > carried.txt", "# Carried");
        a.dispatch(&["enqueue", "../carried.md"]).success();
    }
    if block.contains("PROJECT/ID") {
        a.spec("../broken.md", "run: exit 1", "# Broken");
        a.dispatch(&["enqueue", "../broken.md"]).success();
        a.dispatch(&["run"]).code(4);
    }
}

/// A command that stays is let do what it is for, and told to leave.
fn stays(sandbox: &Sandbox, a: &Repo, block: &str) {
    let drop = sandbox.root().join("home/drop");
    fs::create_dir_all(&drop).unwrap();
    fs::write(drop.join("dropped.md"), "# Dropped\n").unwrap();
    let line = block.split('#').next().unwrap().trim();
    let mut running =
        a.start("sh", &[], &["-c", &format!("exec {}", line.replacen("git dispatch", "git-dispatch", 1))]);
    eventually(PATIENCE, || {
        assert!(running.is_running(), "{line}\n{}", running.output());
        match line.contains("inbox") {
            true => drop.join("dropped.md.dispatched").exists(),
            false => a
                .dispatch(&["nodes"])
                .success()
                .stdout
                .lines()
                .any(|row| row.starts_with("a ") && !row.contains("stopped")),
        }
    });
    running.term();
    running.wait(PATIENCE).code(143);
}

/// The table of all settings, from the annotated defaults.
fn settings() -> String {
    let mut text = String::from("| setting | default | what it is |\n| --- | --- | --- |\n");
    let (mut table, mut said) = (String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        let bare = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        if let Some(comment) = line.strip_prefix("# ") {
            said.push(comment);
        } else if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
            said.clear();
        } else if let Some((key, value)) = bare.split_once(" = ") {
            // What is commented out is computed, but for executors, which are made by their tables.
            let is_default = line == bare || table.starts_with("executors.");
            let value = if is_default { format!("`{}`", value.replace('|', "\\|")) } else { String::new() };
            if !said.is_empty() {
                let _ = writeln!(text, "| `{table}{key}` | {value} | {} |", said.join(" ").replace('|', "\\|"));
            }
            said.clear();
        } else {
            said.clear();
        }
    }
    text
}

#[test]
fn the_table_of_settings_is_that_of_the_annotated_defaults() {
    let table = settings();
    assert!(table.lines().count() > 60, "{table}");
    let (before, rest) = README.split_once(BEGIN).expect("a place for the table");
    let (found, after) = rest.split_once(END).expect("its end");
    if std::env::var_os("GIT_DISPATCH_TEST_UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(found == table, "the table is out of date: GIT_DISPATCH_TEST_UPDATE=1 writes it anew");
    }
}

#[test]
fn what_the_readme_points_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for link in README.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        if !target.starts_with("http") {
            assert!(root.join(target).exists(), "{target}");
            found += 1;
        }
    }
    assert!(found >= 2, "{found}");
}

/// The picture of `top`, drawn by its own code.
#[test]
fn the_picture_of_top_is_what_top_draws() {
    let picture = svg(&screen(104, 24));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pictures/top.svg");
    if std::env::var_os("GIT_DISPATCH_TEST_UPDATE").is_some() {
        fs::write(&path, &picture).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == picture, "out of date: GIT_DISPATCH_TEST_UPDATE=1 draws it anew");
}

fn screen(width: u16, height: u16) -> Buffer {
    let at = |second: i64| jiff::Timestamp::from_second(1_767_600_000 + second).unwrap();
    let row = |id: &str, title: &str, state: State, since: i64, why: &str| Row {
        name: format!("atlas/{id}"),
        title: title.into(),
        state: Some(state),
        since: Some(at(since)),
        why: why.into(),
        ..Row::default()
    };
    let on = |row: Row, node: &str, estimate: f64| Row {
        node: Some(node.into()),
        estimate: Some(estimate),
        attempt: 1,
        ..row
    };
    let mut tail = on(row("S07", "Speed up the index", State::Running, -340, ""), "south", 900.0);
    tail.tail = ["   Compiling atlas v2.1.0", "    Finished in 41 s", "running 118 tests ... 97 passed"]
        .map(String::from)
        .into();
    let tasks = vec![
        row("S03", "Split the monolith test", State::Failed, -600, "exit code 3: 2 of 118 tests failed"),
        Row {
            blocked: true,
            ..row("S09", "Port the CLI", State::Pending, -3000, "blocked by atlas/S03, which failed (exit code 3)")
        },
        on(row("S05", "Rewrite the cache key", State::Running, -95, ""), "north", 600.0),
        on(row("S06", "Document the wire format", State::Running, -1400, ""), "north", 1200.0),
        tail,
        row("S08", "Rename the widget", State::Pending, -3000, "src/ui/** is being changed by atlas/S07"),
        row("S10", "Train the ranker", State::Pending, -3000, "no live node has label gpu"),
        on(
            row(
                "S04",
                "Move settings to one place",
                State::Completed,
                -200,
                "waits for `git dispatch collect` to merge it",
            ),
            "south",
            600.0,
        ),
        row("S01", "Pack schemas by path", State::Merged, -2000, ""),
        row("S02", "Teach the loader about folders", State::Merged, -2000, ""),
    ];
    let seat = |name: &str, state: &str, running: &[usize]| Seat {
        name: name.into(),
        state: state.into(),
        slots: 2,
        beat_at: Some(at(-12)),
        running: running.to_vec(),
    };
    let fleet = Overview {
        at: at(0),
        synced_at: Some(at(-3)),
        names: ("atlas".into(), "main".into()),
        nodes: vec![seat("north", "busy", &[2, 3]), seat("south", "busy", &[4]), seat("west", "lost", &[])],
        tasks,
        empty_in: Some(2460),
        ..Overview::default()
    };
    let mut state = top::State::default();
    state.update(Input::Fleet(Box::new(fleet)));
    state.update(Input::Key(Key::Move(4)));
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &state, Paint(true))).unwrap();
    terminal.backend().buffer().clone()
}

/// Draws a screen: a text for each run of cells that look alike.
fn svg(buffer: &Buffer) -> String {
    let (wide, tall) = (8.4, 18.0);
    let area = buffer.area;
    let (width, height) = (f64::from(area.width) * wide + 24.0, f64::from(area.height) * tall + 24.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, \
         'DejaVu Sans Mono', monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#10161f\"/>\n"
    );
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let style = buffer[(x, y)].style();
            let mut run = String::new();
            let begins = x;
            while x < area.width && buffer[(x, y)].style() == style {
                run.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            let is_chosen = style.add_modifier.contains(Modifier::REVERSED);
            let (left, top) = (12.0 + f64::from(begins) * wide, 12.0 + f64::from(y) * tall);
            if is_chosen {
                let length = f64::from(x - begins) * wide;
                let _ = writeln!(
                    text,
                    "<rect x=\"{left:.1}\" y=\"{top:.0}\" width=\"{length:.1}\" height=\"18\" fill=\"#c9d3df\"/>"
                );
            }
            let shown = run.trim_end();
            if shown.is_empty() {
                continue;
            }
            let bold = if style.add_modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let is_faint = style.add_modifier.contains(Modifier::DIM);
            let fill = if is_chosen { "#10161f" } else { colour(style.fg.filter(|_| !is_faint), is_faint) };
            let shown = shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let baseline = top + 14.0;
            let _ = writeln!(
                text,
                "<text xml:space=\"preserve\" x=\"{left:.1}\" y=\"{baseline:.0}\" fill=\"{fill}\"{bold}>{shown}</text>"
            );
        }
    }
    text + "</svg>\n"
}

const fn colour(of: Option<Color>, is_faint: bool) -> &'static str {
    match of {
        _ if is_faint => "#8b98a8",
        Some(Color::Red) => "#ff7b72",
        Some(Color::Yellow) => "#e3b341",
        Some(Color::Green) => "#56d364",
        Some(Color::Cyan) => "#56c7d9",
        _ => "#d8e0ea",
    }
}
