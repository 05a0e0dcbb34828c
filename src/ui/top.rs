//! The live view of the fleet: a state, what changes it, and how it is drawn.
//!
//! Pure: [`State::update`] takes what was pressed and what was read, and says what is to be done about it; [`view::draw`]
//! draws the state into any buffer. The terminal, the clock and the hub are the command's.

pub mod view;

use jiff::Timestamp;

use crate::protocol::overview::{Overview, Row};
use crate::task::State as Stand;

/// What is seen, and what is being asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The fleet, once it was read.
    pub fleet: Overview,
    /// The time.
    pub now: Timestamp,
    /// The row that is chosen, among those shown.
    pub chosen: usize,
    /// How the rows are ordered.
    pub order: Order,
    /// The words that rows must hold.
    pub filter: String,
    /// What the keys mean now.
    pub mode: Mode,
    /// What was done last, or went wrong.
    pub said: String,
    /// Whether something is under way.
    pub busy: bool,
}

/// What the keys mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Mode {
    /// Moving among the tasks.
    #[default]
    List,
    /// Writing the filter.
    Filter,
    /// Waiting for the text of a task.
    Opening(String),
    /// Reading one task: its name, its text, and the first line shown.
    Task(String, Vec<String>, usize),
    /// Answering whether to do it.
    Confirm(Act),
    /// Reading what the keys are.
    Help,
}

/// How rows are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// What needs a person first, then what runs.
    #[default]
    Problems,
    /// As they stand in the queue.
    Queue,
    /// What stands longest as it does first.
    Longest,
    /// By name.
    Name,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Problems => Self::Queue,
            Self::Queue => Self::Longest,
            Self::Longest => Self::Name,
            Self::Name => Self::Problems,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Problems => "problems first",
            Self::Queue => "queue order",
            Self::Longest => "longest first",
            Self::Name => "by name",
        }
    }
}

/// Something that changes the fleet: asked once before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Make it pending again.
    Retry(String),
    /// Call it off for good.
    Cancel(String),
    /// Let everybody take no new work, or take work again.
    Pause(bool),
    /// Merge what is finished.
    Collect,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry(task) => write!(f, "retry {task}"),
            Self::Cancel(task) => write!(f, "cancel {task} for good"),
            Self::Pause(true) => f.write_str("pause the whole fleet"),
            Self::Pause(false) => f.write_str("resume the whole fleet"),
            Self::Collect => f.write_str("collect what is finished"),
        }
    }
}

/// What comes in.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// The time.
    Now(Timestamp),
    /// The fleet was read.
    Fleet(Box<Overview>),
    /// The text of a task that was opened.
    Task(String, Vec<String>),
    /// Something was done, or went wrong.
    Said(String),
}

/// A key, as far as it means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Down by so many lines; up where negative.
    Move(i32),
    /// Down by so many screenfuls; up where negative.
    Page(i32),
    /// To the beginning.
    First,
    /// To the end.
    Last,
    /// Ctrl-C.
    Interrupt,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Leave.
    Quit,
    /// Read the fleet now.
    Read,
    /// Read a task.
    Open(String),
    /// Change something.
    Do(Act),
}

/// How far a page moves.
const PAGE: i32 = 10;

impl State {
    /// Takes what came in, and says what is to be done.
    pub fn update(&mut self, input: Input) -> Option<Ask> {
        match input {
            Input::Key(key) => return self.press(key),
            Input::Now(now) => self.now = now,
            Input::Fleet(fleet) => {
                let before = self.opened();
                self.take(*fleet);
                // A task that is open is read anew when something of it is new. What has ended stays as it was read: to
                // read its output costs the hub something.
                return self.opened().filter(|row| before.as_ref() != Some(row)).map(|row| Ask::Open(row.name));
            }
            Input::Task(name, text) => self.open(name, text),
            Input::Said(said) => (self.said, self.busy) = (said, false),
        }
        None
    }

    /// The rows that are shown, in their order.
    pub fn rows(&self) -> Vec<&Row> {
        let words: Vec<String> = self.filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let mut rows: Vec<(usize, &Row)> = self
            .fleet
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, row)| words.iter().all(|word| holds(row, word)))
            .collect();
        match self.order {
            Order::Problems => rows.sort_by_key(|(at, row)| (rank(row), *at)),
            Order::Queue => {}
            Order::Longest => rows.sort_by_key(|(at, row)| (is_over(row), row.since, *at)),
            Order::Name => rows.sort_by(|one, other| one.1.name.cmp(&other.1.name)),
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// The row that is chosen.
    pub fn row(&self) -> Option<&Row> {
        self.rows().get(self.chosen).copied()
    }

    fn take(&mut self, fleet: Overview) {
        // The task that was chosen stays so, wherever it stands now.
        let name = self.row().map(|row| row.name.clone());
        self.now = fleet.at;
        self.fleet = fleet;
        let place = name.and_then(|name| self.rows().iter().position(|row| row.name == name));
        self.chosen = place.unwrap_or(self.chosen).min(self.rows().len().saturating_sub(1));
    }

    /// The row of the task that is open.
    fn opened(&self) -> Option<Row> {
        let Mode::Task(name, _, _) = &self.mode else { return None };
        self.fleet.tasks.iter().find(|row| row.name == *name).cloned()
    }

    fn open(&mut self, name: String, text: Vec<String>) {
        match &self.mode {
            Mode::Task(open, _, top) if *open == name => {
                let top = (*top).min(text.len().saturating_sub(1));
                self.mode = Mode::Task(name, text, top);
            }
            // It was closed meanwhile, or another is asked for.
            Mode::Opening(wanted) if *wanted == name => self.mode = Mode::Task(name, text, 0),
            _ => {}
        }
    }

    fn press(&mut self, key: Key) -> Option<Ask> {
        if key == Key::Interrupt {
            return Some(Ask::Quit);
        }
        match self.mode.clone() {
            Mode::List | Mode::Opening(_) => self.press_in_list(key),
            Mode::Filter => {
                self.press_in_filter(key);
                None
            }
            Mode::Task(name, text, top) => self.press_in_task(key, name, text, top),
            Mode::Help => {
                self.mode = Mode::List;
                None
            }
            Mode::Confirm(act) => {
                self.mode = Mode::List;
                if key == Key::Char('y') {
                    self.busy = true;
                    self.said = format!("{act} …");
                    return Some(Ask::Do(act));
                }
                "left as it is".clone_into(&mut self.said);
                None
            }
        }
    }

    fn press_in_list(&mut self, key: Key) -> Option<Ask> {
        let name = self.row().map(|row| row.name.clone());
        let confirm = |act: Option<Act>| act.map_or(Mode::List, Mode::Confirm);
        self.mode = Mode::List;
        match key {
            Key::Char('q') => return Some(Ask::Quit),
            Key::Char('g') => return Some(Ask::Read),
            Key::Enter => {
                let name = name?;
                self.mode = Mode::Opening(name.clone());
                return Some(Ask::Open(name));
            }
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char('?') => self.mode = Mode::Help,
            Key::Char('s') => self.order = self.order.next(),
            Key::Char('r') => self.mode = confirm(name.map(Act::Retry)),
            Key::Char('x') => self.mode = confirm(name.map(Act::Cancel)),
            Key::Char('p') => self.mode = Mode::Confirm(Act::Pause(!self.fleet.paused)),
            Key::Char('c') => self.mode = Mode::Confirm(Act::Collect),
            Key::Escape => self.filter.clear(),
            key => self.chosen = moved(key, self.chosen, self.rows().len()),
        }
        self.chosen = self.chosen.min(self.rows().len().saturating_sub(1));
        None
    }

    fn press_in_filter(&mut self, key: Key) {
        match key {
            Key::Char(character) => self.filter.push(character),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.mode = Mode::List,
            Key::Escape => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            _ => {}
        }
        self.chosen = 0;
    }

    /// Reading the hub reads the task that is open as well.
    fn press_in_task(&mut self, key: Key, name: String, text: Vec<String>, top: usize) -> Option<Ask> {
        match key {
            Key::Escape | Key::Char('q') => self.mode = Mode::List,
            Key::Char('g') => return Some(Ask::Read),
            key => {
                let top = moved(key, top, text.len());
                self.mode = Mode::Task(name, text, top);
            }
        }
        None
    }
}

fn moved(key: Key, at: usize, of: usize) -> usize {
    let by = match key {
        Key::Char('j') => 1,
        Key::Char('k') => -1,
        Key::Move(by) => by,
        Key::Page(by) => by * PAGE,
        Key::First => return 0,
        Key::Last => i32::MAX,
        _ => 0,
    };
    let to = i64::try_from(at).unwrap_or(0) + i64::from(by);
    usize::try_from(to.max(0)).unwrap_or(0).min(of.saturating_sub(1))
}

fn holds(row: &Row, word: &str) -> bool {
    let state = if row.blocked { "blocked" } else { row.state.map_or("unknown", |state| state.as_str()) };
    let node = row.node.as_deref().unwrap_or_default();
    [row.name.as_str(), &row.title, state, node, &row.why].iter().any(|text| text.to_lowercase().contains(word))
}

fn is_over(row: &Row) -> bool {
    matches!(row.state, Some(Stand::Merged | Stand::Cancelled))
}

/// What needs a person comes first, what is over last.
fn rank(row: &Row) -> u8 {
    match row.state {
        None | Some(Stand::Failed | Stand::Conflict | Stand::Unknown) => 0,
        _ if row.blocked => 1,
        Some(Stand::Running) => 2,
        Some(Stand::Assigned) => 3,
        Some(Stand::Pending) => 4,
        Some(Stand::Completed) => 5,
        Some(Stand::Merged | Stand::Cancelled) => 6,
    }
}

#[cfg(test)]
mod tests;
