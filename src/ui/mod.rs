//! The face: the only code that writes to standard output and standard error.
//!
//! Owns how results, errors, progress and tables look. stdout carries the result, stderr all else.

mod colour;
pub mod forge;
pub mod format;
pub mod json;
pub mod page;
pub mod progress;
pub mod summary;
pub mod table;
pub mod theme;
pub mod time;
pub mod top;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::ambient::Ambient;
use crate::cli::{Color, Global};
use crate::exit::{self, Exit};
use crate::hub::snapshot::Task;
use crate::protocol::{Result, Session};
use crate::task::text::{self, escaped};
use theme::Theme;

/// How many tasks' documents are made at a time by each thread.
const TASKS: usize = 256;

/// Where and how a command speaks.
#[derive(Debug, Clone)]
pub struct Ui {
    /// Whether the result is one JSON document.
    pub json: bool,
    /// Whether only the result and errors are printed.
    pub quiet: bool,
    /// Whether more is printed.
    pub verbose: bool,
    /// Colours of standard output.
    pub out: Theme,
    /// Colours of standard error.
    pub err: Theme,
    /// The width of the terminal that standard output is; `None` where it is none.
    pub width: Option<usize>,
    /// Whether progress may be drawn.
    pub progress: bool,
    /// Whether what is printed may hold links, in the way of terminals.
    pub links: bool,
    /// Why the result could not be written.
    unwritten: Arc<OnceLock<String>>,
}

impl Ui {
    /// Decides how to speak from the options and the terminal.
    pub fn new(global: &Global, ambient: &Ambient) -> Self {
        let colour = |is_terminal| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && ambient.var("NO_COLOR").is_none() && ambient.var("TERM") != Some("dumb"),
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            out: Theme::new(colour(ambient.stdout_is_terminal)),
            err: Theme::new(colour(ambient.stderr_is_terminal)),
            width: ambient.stdout_is_terminal.then(|| table::terminal_width(ambient)),
            progress: ambient.stderr_is_terminal && !global.quiet && !global.json,
            links: ambient.stdout_is_terminal && colour(true),
            unwritten: Arc::default(),
        }
    }

    /// Speaks plainly, before the options are known.
    pub fn plain(ambient: &Ambient, json: bool) -> Self {
        Self::new(&Global::unread(json), ambient)
    }

    /// Prints text of the result. A reader that went away is no error of ours; a full disk is, and [`Ui::conclude`]
    /// tells.
    pub fn print(&self, text: &str) {
        self.write(text.as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        let mut out = std::io::stdout();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let _ = self.unwritten.set(error.to_string());
            }
            _ => {}
        }
    }

    /// Says what is to be returned to the caller: a result that could not be written is a failure, whatever was done.
    pub fn conclude(&self, exit: Exit) -> Exit {
        match self.unwritten.get() {
            None => exit,
            Some(error) => {
                let title = self.err.bad("error:");
                let _ = writeln!(std::io::stderr(), "{title} the result could not be written: {error}");
                if exit == Exit::Done { Exit::Failed } else { exit }
            }
        }
    }

    /// Prints bytes of the result as they are, or made harmless where a terminal reads them.
    pub fn print_bytes(&self, bytes: &[u8]) {
        if self.width.is_some() {
            let text = String::from_utf8_lossy(bytes);
            for line in text.split_inclusive('\n') {
                let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
                self.print(&format!("{}{end}", escaped(line)));
            }
        } else {
            self.write(bytes);
        }
    }

    /// Prints the result document.
    pub fn document(&self, document: &Value) {
        let text = serde_json::to_string_pretty(document).unwrap_or_default();
        self.print(&format!("{}\n", text::in_json(&text)));
    }

    /// Prints the document of a list of tasks, however long: some at a time, on all cores, and none of them kept.
    pub fn task_list(&self, session: &Session, tasks: &[&Task]) -> Result<()> {
        let synced_at = json!({"synced_at": session.synced_at()?, "tasks": []});
        let head = serde_json::to_string_pretty(&synced_at).unwrap_or_default();
        if tasks.is_empty() {
            self.print(&format!("{head}\n"));
            return Ok(());
        }
        self.print(head.trim_end_matches(['}', '\n', ']']));
        // A handle of one's own for each thread: it is not made for two at once.
        let handle = Mutex::new(session.clone());
        let own = || handle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (at, some) in tasks.chunks(TASKS * 8).enumerate() {
            let texts: Vec<String> = some
                .par_chunks(TASKS)
                .map_init(own, |session, some| {
                    let some: Vec<Task> = some.iter().map(|task| task.apart()).collect();
                    text::in_json(&json::tasks(session, &some)).into_owned()
                })
                .collect();
            for (place, text) in texts.iter().enumerate() {
                if at + place > 0 {
                    self.print(",");
                }
                self.print(text);
            }
        }
        self.print("\n  ]\n}\n");
        Ok(())
    }

    /// Tells people something that is not the result.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Warns people.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{} {text}", self.err.warning("warning:"));
        }
    }

    /// Shows an error and decides the exit code.
    pub fn failure(&self, error: &miette::Report) -> Exit {
        let exit = crate::cli::exit_of(error);
        if self.json {
            self.document(&json::error(error));
        } else {
            let _ = writeln!(std::io::stderr(), "{}", theme::render(error, &self.err));
        }
        exit
    }

    /// Shows a wrong command line, or the help that was asked for.
    pub fn usage(&self, error: &clap::Error) -> Exit {
        use clap::error::ErrorKind;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let rendered = error.render();
                let text = if self.out.is_coloured() { rendered.ansi().to_string() } else { rendered.to_string() };
                self.print(&text);
                Exit::Done
            }
            _ if self.json => {
                let text = error.render().to_string();
                let told = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
                let message = told.collect::<Vec<_>>().join(" ");
                let message = message.trim_start_matches("error: ");
                let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: "));
                let help =
                    tip.map_or("see `git dispatch -h`".to_owned(), |tip| format!("{tip}; see `git dispatch -h`"));
                self.document(&json!({"error": {
                    "code": "dispatch::usage::wrong", "message": message, "help": help,
                    "file": null, "line": null, "column": null,
                }}));
                exit::of_error(Some("dispatch::usage::wrong"))
            }
            _ => {
                let rendered = error.render();
                // Words of the command line may be somebody else's: a glob's, a script's.
                let text = match self.err.is_coloured() && !quotes_odd_words(error) {
                    true => rendered.ansi().to_string(),
                    false => text::written_out(&rendered.to_string()),
                };
                let _ = std::io::stderr().write_all(short_help(&text).as_bytes());
                Exit::Usage
            }
        }
    }
}

/// Says whether a wrong command line holds words that must not reach a terminal as they are.
fn quotes_odd_words(error: &clap::Error) -> bool {
    use clap::error::ContextValue;
    let is_odd = |word: &String| escaped(word) != *word;
    error.context().any(|(_, value)| match value {
        ContextValue::String(word) => is_odd(word),
        ContextValue::Strings(words) => words.iter().any(is_odd),
        _ => false,
    })
}

/// Names `-h` at the end of a message, where clap names `--help`: git keeps `git dispatch --help` for itself, and looks for
/// a manual page.
fn short_help(text: &str) -> String {
    match text.rsplit_once("--help") {
        Some((before, after)) if !after.contains("--") => format!("{before}-h{after}"),
        _ => text.to_owned(),
    }
}
