//! Manual pages, written from the definition of the commands: what `-h` says is what they say.
//!
//! Owns the language of roff, as far as it is needed: paragraphs, lists, and what must be escaped.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::commands::examples;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Its name, without the section.
    pub(super) name: String,
    /// Its source.
    pub(super) text: String,
}

/// What every page ends with.
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "It failed."),
    ("2", "Wrong usage, a bad spec or bad configuration."),
    ("3", "Nothing to claim or run."),
    ("4", "Done, but some task failed or some merge conflicted."),
    ("128+n", "Ended by signal n."),
];

/// Writes the pages of a command that was built, and of those within it.
pub(super) fn all(command: &Command) -> Vec<Page> {
    let mut pages = Vec::new();
    add(command, &mut Vec::new(), &mut pages);
    pages
}

fn add<'a>(command: &'a Command, path: &mut Vec<&'a str>, pages: &mut Vec<Page>) {
    pages.push(page(command, path));
    for inner in inner(command) {
        path.push(inner.get_name());
        add(inner, path, pages);
        path.pop();
    }
}

fn inner(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

fn page(command: &Command, path: &[&str]) -> Page {
    let name = [&["git-dispatch"], path].concat().join("-");
    let mut text = format!(
        ".TH \"{}\" \"1\" \"\" \"git-dispatch {}\" \"git dispatch\"\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    );
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    heading(&mut text, "NAME");
    let _ = writeln!(text, "{} \\- {}", plain(&name), marked(&about));
    heading(&mut text, "SYNOPSIS");
    let usage = command.clone().render_usage().to_string();
    for line in usage.trim_start_matches("Usage: ").lines() {
        let _ = writeln!(text, "{}\n.br", plain(line.trim()));
    }
    heading(&mut text, "DESCRIPTION");
    let long = command.get_long_about().map(ToString::to_string);
    paragraphs(&mut text, &long.unwrap_or(about));
    commands(&mut text, command, &name);
    options(&mut text, command);
    if let Some(examples) = examples::of(path) {
        heading(&mut text, "EXAMPLES");
        let lines: String = examples.iter().map(|line| format!("{}\n", plain(line))).collect();
        let _ = write!(text, ".nf\n{lines}.fi\n");
    }
    end(&mut text, path);
    Page { name, text }
}

fn commands(text: &mut String, command: &Command, name: &str) {
    if inner(command).next().is_some() {
        heading(text, "COMMANDS");
    }
    for inner in inner(command) {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, ".TP\n\\fB{}\\fR(1)", plain(&format!("{name}-{}", inner.get_name())));
        let _ = writeln!(text, "{}", marked(&about));
    }
}

/// The arguments under their headings: the command's own first.
fn options(text: &mut String, command: &Command) {
    let mut headings: Vec<Option<&str>> = vec![None];
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    for arg in shown() {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for title in headings {
        let mut args = shown().filter(|arg| arg.get_help_heading() == title).peekable();
        if args.peek().is_some() {
            heading(text, &title.unwrap_or("Options").to_uppercase());
        }
        for arg in args {
            option(text, arg);
        }
    }
}

fn option(text: &mut String, arg: &Arg) {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map(|names| names.iter().map(|name| format!("\\fI{}\\fR", plain(name))).collect::<Vec<_>>().join(" "));
    let short = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR"));
    let long = arg.get_long().map(|long| format!("\\fB{}\\fR", plain(&format!("--{long}"))));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let names = names.join(", ");
    let _ = writeln!(text, ".TP\n{}", [names, value.unwrap_or_default()].join(" ").trim());
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let is_flag = !arg.get_action().takes_values();
    let mut parts = help.split("\n\n");
    let _ = writeln!(text, "{}", marked(parts.next().unwrap_or_default()));
    for part in parts {
        let _ = writeln!(text, ".IP\n{}", marked(part));
    }
    if !possible.is_empty() && !is_flag {
        let _ = writeln!(text, ".IP\nOne of: {}.", plain(&possible.join(", ")));
    }
}

fn end(text: &mut String, path: &[&str]) {
    heading(text, "EXIT STATUS");
    for (code, meaning) in EXIT_STATUS {
        let _ = writeln!(text, ".TP\n\\fB{code}\\fR\n{meaning}");
    }
    heading(text, "SEE ALSO");
    let above = match path.split_last() {
        Some((_, above)) => [&["git-dispatch"], above].concat().join("-"),
        None => "git".to_owned(),
    };
    let _ = writeln!(
        text,
        "\\fB{}\\fR(1); \\fBgit dispatch explain\\fR tells what an error code means.",
        plain(&above)
    );
}

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, ".SH \"{}\"", plain(title));
}

fn paragraphs(text: &mut String, said: &str) {
    for (at, part) in said.split("\n\n").enumerate() {
        let _ = writeln!(text, "{}{}", if at > 0 { ".PP\n" } else { "" }, marked(part));
    }
}

/// Text with what stands between backticks in bold.
fn marked(said: &str) -> String {
    let mut text = String::new();
    for (at, part) in said.split('`').enumerate() {
        match at % 2 {
            0 => text.push_str(&plain(part)),
            _ => text.push_str(&format!("\\fB{}\\fR", plain(part))),
        }
    }
    guarded(&text)
}

/// Text as it is. A hyphen is a minus: options must be found and copied.
fn plain(said: &str) -> String {
    guarded(&said.replace('\\', "\\e").replace('-', "\\-"))
}

/// A line that begins with a dot or a quote would be a request.
fn guarded(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_request() {
        assert_eq!(plain(".so /etc/passwd\n'x \\fB --x"), "\\&.so /etc/passwd\n\\&'x \\efB \\-\\-x");
        assert_eq!(marked("a `--b` c"), "a \\fB\\-\\-b\\fR c");
        assert_eq!(marked(".a"), "\\&.a");
    }

    #[test]
    fn each_command_has_a_page_with_its_options() {
        let mut command = crate::cli::command();
        command.build();
        let pages = all(&command);
        let page = |name: &str| pages.iter().find(|page| page.name == name).unwrap().text.clone();
        assert!(page("git-dispatch").contains("\\fBgit\\-dispatch\\-run\\fR(1)"));
        let list = page("git-dispatch-list");
        for part in [
            "git\\-dispatch\\-list \\- ",
            "\\fB\\-\\-state\\fR \\fIS\\fR",
            ".SH \"OPTIONS OF EVERY COMMAND\"",
            ".SH \"EXAMPLES\"",
        ] {
            assert!(list.contains(part), "{part} is not in\n{list}");
        }
        assert!(page("git-dispatch-bundle-create").contains("\\fB\\-\\-for\\fR \\fINODE\\fR"));
        assert!(
            pages.iter().all(|page| !page.name.contains("start-agent") && !page.name.contains("complete-words"))
        );
    }
}
