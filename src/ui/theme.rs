//! Colours by meaning, and how errors look.

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::task::State;

/// Colours by what they mean; none where they are not wanted.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    coloured: bool,
}

impl Theme {
    /// Makes a theme with colours or without.
    pub const fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    /// Says whether there are colours.
    pub const fn is_coloured(&self) -> bool {
        self.coloured
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A state, by how much it wants a person.
    pub fn state(&self, state: State, text: &str) -> String {
        let code = match state {
            State::Running | State::Assigned => "36",
            State::Completed | State::Merged => "32",
            State::Failed | State::Conflict | State::Unknown => "31",
            State::Cancelled => "2",
            State::Pending => "0",
        };
        self.paint(code, text)
    }

    /// What matters.
    pub fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What may be passed over.
    pub fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What went well.
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What went badly.
    pub fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    /// What a person should look at.
    pub fn warning(&self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// Renders an error with its code, place, causes and way out, at a fixed width so that it looks the same everywhere.
pub fn render(error: &miette::Report, theme: &Theme) -> String {
    let look = if theme.is_coloured() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(look).with_width(100).with_links(false);
    let mut text = String::new();
    if handler.render_report(&mut text, error.as_ref()).is_err() {
        return format!("error: {error}");
    }
    text.trim_end().to_owned()
}
