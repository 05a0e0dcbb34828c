//! The face: the only code that writes to standard output and standard error.
//!
//! Owns how results, errors, progress and tables look. stdout carries the result, stderr all else.

pub mod json;
pub mod progress;
pub mod table;
pub mod theme;
pub mod time;

use std::io::Write;

use serde_json::{Value, json};

use crate::ambient::Ambient;
use crate::cli::{Color, Global};
use crate::exit::{self, Exit};
use crate::task::text::escaped;
use theme::Theme;

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
        }
    }

    /// Speaks plainly, before the options are known.
    pub fn plain(ambient: &Ambient, json: bool) -> Self {
        let global = Global { folders: vec![], json, quiet: false, verbose: false, color: Color::Auto };
        Self::new(&global, ambient)
    }

    /// Prints text of the result. A reader that went away is no error of ours.
    pub fn print(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
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
            let _ = std::io::stdout().write_all(bytes);
        }
    }

    /// Prints the result document.
    pub fn document(&self, document: &Value) {
        let text = serde_json::to_string_pretty(document).unwrap_or_default();
        self.print(&format!("{text}\n"));
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
                let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                self.document(&json!({"error": {
                    "code": "dispatch::usage::wrong", "message": message, "help": "see `git dispatch -h`",
                    "file": null, "line": null, "column": null,
                }}));
                exit::of_error(Some("dispatch::usage::wrong"))
            }
            _ => {
                let rendered = error.render();
                let text = if self.err.is_coloured() { rendered.ansi().to_string() } else { rendered.to_string() };
                let _ = std::io::stderr().write_all(text.as_bytes());
                Exit::Usage
            }
        }
    }
}
