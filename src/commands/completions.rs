//! `git dispatch completions`, and the hidden command that its scripts ask.
//!
//! Owns nothing of a shell but four short scripts: each hands the words of the command line to `complete-words`, which
//! knows the commands from their own definition, and tasks and nodes from the mirror. No network is used, and a repository
//! in which this program was never used is left without a trace.

mod place;
mod values;

use std::ffi::OsString;

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::task::text::{excerpt, one_line};

/// How much of a description is shown, in characters.
const DESCRIPTION: usize = 60;

/// Print what completes our command line in a shell: commands, options, and the tasks and nodes that this clone knows.
///
/// In bash and zsh (with the completions of git itself), and in fish, `git dispatch <TAB>` works as well as `git-dispatch
/// <TAB>`. The first lines of the script say where it goes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shell {
    const fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completions/bash.sh"),
            Self::Zsh => include_str!("completions/zsh.zsh"),
            Self::Fish => include_str!("completions/fish.fish"),
            Self::Powershell => include_str!("completions/powershell.ps1"),
        }
    }
}

/// Prints a script.
pub fn run(context: &Context, args: &Args) -> Outcome {
    if context.ui.json {
        let shell = format!("{:?}", args.shell).to_lowercase();
        context.ui.document(&json!({"shell": shell, "script": args.shell.script()}));
    } else {
        context.ui.print(args.shell.script());
    }
    Ok(Exit::Done)
}

/// Say what may stand at the end of a command line: for the scripts of `completions`.
#[derive(Debug, clap::Args)]
pub struct WordsArgs {
    /// Another word begins, which some shells cannot say by an empty one
    #[arg(long)]
    new: bool,
    /// The words behind the program's name, up to the cursor
    #[arg(last = true, value_name = "WORD", allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// A value that may stand there, and what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Value {
    text: String,
    about: String,
}

impl Value {
    fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self { text: text.into(), about: about.into() }
    }

    /// Says whether the text can be put on a command line as it is, in any shell: nobody is asked to run what somebody
    /// else wrote into a label.
    fn is_plain(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,%".contains(c);
        !self.text.is_empty() && self.text.chars().all(plain)
    }
}

/// Prints what fits, a line each: the whole word, a tab, what it is. `:files` and `:folders` ask the shell for its own.
pub fn words(context: &Context, args: &WordsArgs) -> Outcome {
    let mut words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if args.new || words.is_empty() {
        words.push(String::new());
    }
    let mut command = crate::cli::command();
    command.build();
    let place = place::of(&command, &words);
    let mut text = String::new();
    match values::of(context, &command, &place, &words) {
        values::Offer::Files => text.push_str(":files\n"),
        values::Offer::Folders => text.push_str(":folders\n"),
        values::Offer::Values(values) => {
            for value in values.iter().filter(|value| value.is_plain() && value.text.starts_with(&place.typed)) {
                let about = excerpt(&one_line(&value.about), DESCRIPTION);
                text.push_str(&format!("{}{}\t{about}\n", place.before, value.text));
            }
        }
    }
    context.ui.print(&text);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PowerShell is not at hand everywhere: what can be said of its script without it.
    #[test]
    fn the_script_for_powershell_is_whole() {
        let script = Shell::Powershell.script();
        let (mut open, mut quote) = (Vec::new(), None);
        for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut characters = line.chars();
            while let Some(c) = characters.next() {
                match (quote, c) {
                    // What a backtick stands before is itself.
                    (Some('"') | None, '`') => drop(characters.next()),
                    (Some(by), c) if by == c => quote = None,
                    (Some(_), _) => {}
                    (None, '\'' | '"') => quote = Some(c),
                    (None, '(' | '{' | '[') => open.push(c),
                    (None, ')' | '}' | ']') => {
                        let pair = (open.pop(), c);
                        assert!(matches!(pair, (Some('('), ')') | (Some('{'), '}') | (Some('['), ']')), "{line}");
                    }
                    _ => {}
                }
            }
            assert!(quote.is_none(), "a quote is not closed: {line}");
        }
        assert!(open.is_empty(), "{open:?}");
        // It asks as the others do, and its options are there.
        assert!(script.contains("Register-ArgumentCompleter -Native -CommandName 'git-dispatch'"));
        assert!(script.contains("git-dispatch complete-words @new -- @words 2>$null"));
        let command = crate::cli::command();
        let words = command.find_subcommand("complete-words").unwrap();
        assert!(script.contains("@('--new')") && words.get_arguments().any(|one| one.get_long() == Some("new")));
        for variable in ["wordToComplete", "commandAst", "cursorPosition"] {
            assert!(script.matches(&format!("${variable}")).count() >= 2, "${variable} is not used");
        }
    }

    #[test]
    fn what_a_shell_would_read_is_not_offered() {
        for text in ["$(touch x)", "`x`", "a b", "a;b", "a'b", "é", "", "a\tb", "~x", "a*", "#x"] {
            assert!(!Value::new(text, "").is_plain(), "{text}");
        }
        assert!(["p/S01", "agent:code", "--state", "main"].iter().all(|text| Value::new(*text, "").is_plain()));
    }
}
