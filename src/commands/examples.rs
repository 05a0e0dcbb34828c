//! The examples of the help texts and manual pages: one file, of which `tests/cli/examples.rs` runs each line.

/// All examples: a heading for each command, then lines as they are given to a shell.
const EXAMPLES: &str = include_str!("examples.md");

/// Returns the lines of a command's examples.
pub fn of(path: &[&str]) -> Option<Vec<&'static str>> {
    let name = path.join(" ");
    all().find(|(command, _)| *command == name).map(|(_, lines)| lines)
}

/// Returns all examples, by command, in order.
pub fn all() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    EXAMPLES.split("\n## ").skip(1).map(|part| {
        let mut lines = part.lines();
        let command = lines.next().unwrap_or_default().trim();
        (command, lines.filter_map(|line| line.strip_prefix("    ")).collect())
    })
}

/// Adds the examples to the long help of a command and of those within it.
pub fn added(command: clap::Command) -> clap::Command {
    let names: Vec<String> = all().map(|(name, _)| name.to_owned()).collect();
    names.iter().fold(command, |command, name| with(command, &name.split(' ').collect::<Vec<_>>(), 0))
}

fn with(command: clap::Command, path: &[&str], at: usize) -> clap::Command {
    match path.get(at) {
        None => {
            let lines = of(path).unwrap_or_default();
            let text: String = lines.iter().map(|line| format!("\n  {line}")).collect();
            command.after_long_help(format!("Examples:{text}"))
        }
        Some(name) => command.mut_subcommand(*name, |inner| with(inner, path, at + 1)),
    }
}
