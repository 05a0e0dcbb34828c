//! `git dispatch top`
//!
//! Owns the terminal while it is drawn on, and gives it back as it was: at the end, on a signal, on a panic, and, by
//! `guard`, when it is killed. What is
//! seen and what keys mean is `ui::top`'s; the hub is read by a thread of its own, no more often than a node reads it.

mod guard;
mod reader;
mod sixteen;

use std::io::{Stdout, stdout};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use miette::Diagnostic;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::ui::top::view::{Paint, draw};
use crate::ui::top::{Ask, Input, Key, State};
use guard::Guard;
use reader::Reader;
use sixteen::Sixteen;

/// How long a key is waited for before the clock is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// See the fleet live: nodes and what they run, the queue with what each task waits for, and the output of what runs.
///
/// What is wrong stands first. Enter opens a task, `/` filters, `?` tells the other keys; what changes something is asked
/// once. The hub is read as often as a node reads it (`node.poll`, up to `node.poll_max` while nothing changes).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// There is nothing to draw on.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`top` draws on a terminal, and standard output is none")]
#[diagnostic(
    code(dispatch::top::no_terminal),
    help("`git dispatch status` and `git dispatch list --why` say the same in lines; both take --json")
)]
struct NoTerminal;

/// The terminal could not be drawn on.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the terminal cannot be drawn on")]
#[diagnostic(code(dispatch::top::terminal), help("`git dispatch status` says the same in lines"))]
struct Broken(#[source] std::io::Error);

/// Shows the fleet until told to leave.
pub fn run(context: &Context, args: &Args) -> Outcome {
    if context.ui.json || !context.ambient.stdout_is_terminal {
        return Err(NoTerminal.into());
    }
    let session = context.open(&Vec::new())?;
    let (asks, asked) = channel();
    let (tell, told) = channel();
    let reader = Reader::new(session, args.offline, context.signals.first.clone());
    let thread = std::thread::Builder::new().name("reader".into()).spawn(move || reader.run(&asked, &tell));
    thread.map_err(Broken)?;
    let shown = show(context, &asks, &told);
    // The reader ends with this process: what it might be doing is safe to be cut short.
    shown.map_err(Broken)?;
    Ok(Exit::Done)
}

/// Gives the terminal back when it goes, however that comes.
struct Screen {
    terminal: Terminal<CrosstermBackend<Sixteen<Stdout>>>,
    /// Told last that all is well.
    _guard: Option<Guard>,
}

impl Screen {
    fn open() -> std::io::Result<Self> {
        let mut guard = Guard::start();
        // Its panic hook gives the terminal back before the panic is told.
        ratatui::try_init()?;
        let terminal = Terminal::new(CrosstermBackend::new(Sixteen::new(stdout())))?;
        if let Some(guard) = &mut guard {
            guard.changed();
        }
        Ok(Self { terminal, _guard: guard })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
        let _ = self.terminal.show_cursor();
    }
}

fn show(context: &Context, asks: &Sender<Ask>, told: &Receiver<Input>) -> std::io::Result<()> {
    let mut screen = Screen::open()?;
    let paint = Paint(context.ui.out.is_coloured());
    let mut state = State::default();
    "reading …".clone_into(&mut state.said);
    loop {
        loop {
            match told.try_recv() {
                Ok(input) => {
                    if let Some(ask) = state.update(input) {
                        let _ = asks.send(ask);
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    return Err(std::io::Error::other("the reader of the hub has ended"));
                }
            }
        }
        state.update(Input::Now(context.ambient.now()));
        screen.terminal.draw(|frame| draw(frame, &state, paint))?;
        if context.signals.first.is_raised() {
            return Ok(());
        }
        if !event::poll(PAUSE)? {
            continue;
        }
        for key in keys_of(&event::read()?).into_iter().flatten() {
            match state.update(Input::Key(key)) {
                Some(Ask::Quit) => return Ok(()),
                Some(ask) => _ = asks.send(ask),
                None => {}
            }
        }
    }
}

/// The keys of an event. Escape and a key soon after it arrive as one with Alt, above all over a slow line.
const fn keys_of(event: &Event) -> [Option<Key>; 2] {
    let has_alt = matches!(event, Event::Key(key) if key.modifiers.contains(KeyModifiers::ALT));
    [if has_alt { Some(Key::Escape) } else { None }, key_of(event)]
}

/// What a key means; a resized terminal is drawn anew by itself.
const fn key_of(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event
    else {
        return None;
    };
    Some(match code {
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        KeyCode::Char(character) => Key::Char(*character),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Move(-1),
        KeyCode::Down => Key::Move(1),
        KeyCode::PageUp => Key::Page(-1),
        KeyCode::PageDown => Key::Page(1),
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        _ => return None,
    })
}
