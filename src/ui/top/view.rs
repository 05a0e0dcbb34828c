//! How the live view is drawn: what is wrong first, then nodes, tasks, and the last lines of the one that is chosen.
//!
//! Sixteen colours at most, and none where they are not wanted; what others wrote is made harmless before it is placed.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Clear, Paragraph, Row as Cells, Table, TableState, Wrap};

use super::{Mode, State};
use crate::protocol::overview::{Row, Seat};
use crate::task::State as Stand;
use crate::task::text::{escaped, lasting};
use crate::ui::time::ago;

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    const fn of(self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    const fn bad(self) -> Style {
        self.of(Color::Red)
    }

    const fn faint() -> Style {
        // Of the sixteen colours, bright black is the background's own in some terminals.
        Style::new().add_modifier(Modifier::DIM)
    }

    fn state(self, state: Option<Stand>, blocked: bool) -> Style {
        match state {
            _ if blocked => self.of(Color::Yellow),
            Some(Stand::Running | Stand::Assigned) => self.of(Color::Cyan),
            Some(Stand::Completed | Stand::Merged) => self.of(Color::Green),
            Some(Stand::Pending) => Style::new(),
            Some(Stand::Cancelled) => Self::faint(),
            Some(Stand::Failed | Stand::Conflict | Stand::Unknown) | None => self.bad(),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

const KEYS: &[(&str, &str)] = &[
    ("j k, arrows, PgUp PgDn", "move"),
    ("Enter", "open the task: its spec, events and output"),
    ("/", "filter: words that the task, its state, node or reason must hold; Esc shows all"),
    ("s", "change the order"),
    ("r", "retry the task"),
    ("x", "cancel the task for good"),
    ("p", "pause the whole fleet, or resume it"),
    ("c", "collect what is finished"),
    ("g", "read the hub now"),
    ("q, Ctrl-C", "leave; nothing that runs is touched"),
];

/// Draws the state.
pub fn draw(frame: &mut Frame<'_>, state: &State, paint: Paint) {
    let area = frame.area();
    if let Mode::Task(name, text, top) = &state.mode {
        return task(frame, area, (name, text, *top));
    }
    // A low screen shows the tasks and nothing else.
    let (room_for_nodes, room_for_tail) = match area.height {
        ..14 => (0, 0),
        14..30 => (5, 4),
        _ => (area.height / 3, area.height / 4),
    };
    let seats = Seats::fitting(state, usize::from(room_for_nodes));
    let room_for_nodes = u16::try_from(seats.lines.len()).unwrap_or(0);
    let tail = state.row().is_some_and(|row| !row.tail.is_empty());
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(if room_for_nodes > 0 { room_for_nodes + 1 } else { 0 }),
        Constraint::Min(3),
        Constraint::Length(if tail && room_for_tail > 0 { room_for_tail + 1 } else { 0 }),
        Constraint::Length(1),
    ])
    .split(area);
    head(frame, parts[0], state, paint);
    seats.draw(frame, parts[1], state, paint);
    tasks(frame, parts[2], state, paint);
    output(frame, parts[3], state);
    foot(frame, parts[4], state);
    if state.mode == Mode::Help {
        help(frame, area);
    }
}

fn head(frame: &mut Frame<'_>, area: Rect, state: &State, paint: Paint) {
    let fleet = &state.fleet;
    let mut first =
        vec![Span::styled(escaped(&fleet.names.0), BOLD), Span::raw(format!(" into {}", escaped(&fleet.names.1)))];
    if let Some(seconds) = fleet.empty_in {
        first.push(Span::raw(format!(", empty in about {}", lasting(seconds))));
    }
    match (&fleet.away, fleet.synced_at) {
        (Some(why), _) => first.push(Span::styled(format!("  the hub is away: {}", escaped(why)), paint.bad())),
        (None, Some(at)) => first.push(Span::styled(format!("  read {}", ago(state.now, at)), Paint::faint())),
        (None, None) => {}
    }
    let mut second = Vec::new();
    let count = |wanted: Stand| fleet.tasks.iter().filter(|row| row.state == Some(wanted)).count();
    let blocked = fleet.tasks.iter().filter(|row| row.blocked).count();
    let mut add = |count: usize, name: &str, style: Style| {
        if count > 0 {
            second.push(Span::styled(format!("{count} {name}"), style));
            second.push(Span::raw("  "));
        }
    };
    for wanted in [Stand::Failed, Stand::Conflict, Stand::Unknown] {
        add(count(wanted), wanted.as_str(), paint.bad());
    }
    add(blocked, "blocked", paint.of(Color::Yellow));
    add(fleet.nodes.iter().filter(|node| node.state == "lost").count(), "lost", paint.bad());
    add(usize::from(fleet.paused), "paused fleet", paint.of(Color::Yellow));
    add(fleet.outbox, "in the outbox", paint.of(Color::Yellow));
    for wanted in
        [Stand::Running, Stand::Assigned, Stand::Pending, Stand::Completed, Stand::Merged, Stand::Cancelled]
    {
        add(count(wanted), wanted.as_str(), paint.state(Some(wanted), false));
    }
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
}

/// The nodes: a line for each task that one runs where there is room for that, else a line for each node.
struct Seats<'a> {
    lines: Vec<(&'a Seat, Vec<&'a Row>, bool)>,
    shown: usize,
}

impl<'a> Seats<'a> {
    fn fitting(state: &'a State, room: usize) -> Self {
        let mut nodes: Vec<&Seat> = state.fleet.nodes.iter().collect();
        // What is wrong first, then what works, what has left last.
        nodes.sort_by_key(|node| match node.state.as_str() {
            "lost" => 0,
            "stopped" => 3,
            _ if node.running.is_empty() => 2,
            _ => 1,
        });
        let runs = |node: &Seat| -> Vec<&'a Row> {
            node.running.iter().filter_map(|at| state.fleet.tasks.get(*at)).collect()
        };
        let each: usize = nodes.iter().map(|node| node.running.len().max(1)).sum();
        let mut lines = Vec::new();
        let shown = nodes.len().min(room);
        for node in nodes.into_iter().take(shown) {
            let rows = runs(node);
            if each > room || rows.len() < 2 {
                lines.push((node, rows, true));
            } else {
                let one = |(nth, row): (usize, &'a Row)| (node, vec![row], nth == 0);
                lines.extend(rows.into_iter().enumerate().map(one));
            }
        }
        Self { lines, shown }
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, state: &State, paint: Paint) {
        if area.height == 0 {
            return;
        }
        let row = |(node, running, is_first): &(&Seat, Vec<&Row>, bool)| {
            let style = match node.state.as_str() {
                "lost" => paint.bad(),
                "paused" | "draining" => paint.of(Color::Yellow),
                "busy" => paint.of(Color::Cyan),
                _ => Paint::faint(),
            };
            let running: Vec<String> = running.iter().map(|row| at_work(row, state)).collect();
            let beat = node.beat_at.map(|at| ago(state.now, at)).unwrap_or_default();
            let first = |text: String| if *is_first { text } else { String::new() };
            Cells::new(vec![
                Cell::new(first(escaped(&node.name))),
                Cell::new(Span::styled(first(escaped(&node.state)), style)),
                Cell::new(first(format!("{}/{}", node.running.len(), node.slots))),
                Cell::new(Span::styled(first(beat), Paint::faint())),
                Cell::new(running.join(", ")),
            ])
        };
        let widths = [
            Constraint::Max(18),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Length(11),
            Constraint::Fill(1),
        ];
        let all = state.fleet.nodes.len();
        let title = if self.shown < all { format!("NODE {} of {all}", self.shown) } else { "NODE".to_owned() };
        let head = [title.as_str(), "STATE", "SLOTS", "BEAT", "RUNS"].map(|name| Cell::new(name.to_owned()));
        let table = Table::new(self.lines.iter().map(row), widths).header(Cells::new(head).style(Paint::faint()));
        frame.render_widget(table, area);
    }
}

/// A running task with how long it takes already, against how long it was thought to.
fn at_work(row: &Row, state: &State) -> String {
    let id = row.name.split_once('/').map_or(row.name.as_str(), |(_, id)| id);
    format!("{} {}", escaped(id), clock(row, state))
}

fn clock(row: &Row, state: &State) -> String {
    let Some(since) = row.since else { return String::new() };
    let gone = lasting(u64::try_from(state.now.duration_since(since).as_secs()).unwrap_or(0));
    match row.estimate.filter(|_| row.state == Some(Stand::Running)) {
        Some(estimate) => format!("{gone} of {}", lasting(estimate.round().max(1.0) as u64)),
        None => gone,
    }
}

fn tasks(frame: &mut Frame<'_>, area: Rect, state: &State, paint: Paint) {
    let rows = state.rows();
    let is_wide = area.width >= 100;
    let cells = |row: &&Row| {
        let style = paint.state(row.state, row.blocked);
        let stands = if row.blocked { "blocked" } else { row.state.map_or("unknown", |state| state.as_str()) };
        let is_over = matches!(row.state, Some(Stand::Merged | Stand::Cancelled));
        let what = match (row.why.is_empty() || is_over, is_wide) {
            (true, _) => escaped(&row.title),
            (false, false) => escaped(&row.why),
            (false, true) => format!("{}  ({})", escaped(&row.title), escaped(&row.why)),
        };
        Cells::new(vec![
            Cell::new(escaped(&row.name)),
            Cell::new(Span::styled(stands, style)),
            Cell::new(row.node.as_deref().map(escaped).unwrap_or_default()),
            Cell::new(if is_over { String::new() } else { clock(row, state) }),
            Cell::new(what),
        ])
    };
    let name = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(8).clamp(8, 28);
    let widths = [
        Constraint::Length(u16::try_from(name).unwrap_or(28)),
        Constraint::Length(9),
        Constraint::Length(if is_wide { 14 } else { 8 }),
        Constraint::Length(if is_wide { 17 } else { 15 }),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows.iter().map(cells), widths)
        .header(Cells::new(["TASK", "STATE", "NODE", "FOR", "WHAT"]).style(Paint::faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut place = TableState::new().with_selected((!rows.is_empty()).then_some(state.chosen));
    frame.render_stateful_widget(table, area, &mut place);
}

fn output(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(row) = state.row().filter(|_| area.height > 1) else { return };
    let title = format!("OUTPUT of {}, attempt {}", escaped(&row.name), row.attempt);
    let room = usize::from(area.height - 1);
    let lines = row.tail[row.tail.len().saturating_sub(room)..].iter().map(|line| Line::raw(escaped(line)));
    let text: Vec<Line<'_>> = std::iter::once(Line::styled(title, Paint::faint())).chain(lines).collect();
    frame.render_widget(Paragraph::new(text), area);
}

fn foot(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let line = match &state.mode {
        Mode::Filter => {
            Line::from(vec![Span::styled("filter: ", BOLD), Span::raw(escaped(&state.filter)), Span::raw("▏")])
        }
        Mode::Opening(name) => Line::raw(format!("reading {} …", escaped(name))),
        Mode::Confirm(act) => {
            Line::styled(format!("{}? y does it, any other key does not", escaped(&act.to_string())), BOLD)
        }
        _ if !state.said.is_empty() => Line::raw(escaped(&state.said)),
        _ => {
            let filter = match state.filter.is_empty() {
                true => String::new(),
                false => format!("filter: {}  ", escaped(&state.filter)),
            };
            Line::styled(
                format!(
                    "{filter}Enter opens  / filters  s {}  r x p c change  ? keys  q leaves",
                    state.order.name()
                ),
                Paint::faint(),
            )
        }
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn task(frame: &mut Frame<'_>, area: Rect, (name, text, top): (&str, &[String], usize)) {
    let parts = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).split(area);
    frame.render_widget(Paragraph::new(Line::styled(escaped(name), BOLD)), parts[0]);
    let lines: Vec<Line<'_>> =
        text.iter().skip(top).take(usize::from(parts[1].height)).map(|line| Line::raw(escaped(line))).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), parts[1]);
    let said = format!("line {} of {}  j k, PgUp PgDn  g reads it again  Esc back", top + 1, text.len());
    frame.render_widget(Paragraph::new(Line::styled(said, Paint::faint())), parts[2]);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!("{key:24}"), BOLD), Span::raw(*what)]))
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(10).min(area.height);
    let place = Rect { x: area.x, y: area.y, width: area.width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines), place);
}
