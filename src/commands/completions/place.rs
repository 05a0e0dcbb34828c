//! Where on a command line the cursor is: pure, from the words before it and the definition of the commands.

use clap::{Arg, Command};

/// What the last word is about to be.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The names of the command, outermost first.
    pub(super) path: Vec<&'a str>,
    /// What may stand here.
    pub(super) kind: Kind<'a>,
    /// What stands in the word before the value: `--state=`.
    pub(super) before: String,
    /// What of the value was typed.
    pub(super) typed: String,
}

/// What may stand somewhere.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// The name of a command, or a value, where the command takes one beside its commands.
    Command(&'a Command),
    /// An option.
    Option(&'a Command),
    /// The value of an argument.
    Value(&'a Arg),
    /// Nothing that is known.
    Nothing,
}

/// Finds the place of the last word; an option that is not known is taken for one without a value.
pub(super) fn of<'a>(root: &'a Command, words: &[String]) -> Place<'a> {
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut line = Line { command: root, path: Vec::new(), taken: 0, only_values: false, owed: None };
    for word in before {
        line.read(word);
    }
    line.end(last)
}

struct Line<'a> {
    command: &'a Command,
    path: Vec<&'a str>,
    /// How many values without a name there were.
    taken: usize,
    /// Whether `--` was read.
    only_values: bool,
    /// The option whose value comes next.
    owed: Option<&'a Arg>,
}

impl<'a> Line<'a> {
    fn read(&mut self, word: &str) {
        if self.owed.take().is_some() {
        } else if self.only_values || word == "-" || !word.starts_with('-') {
            self.value(word);
        } else if word == "--" {
            self.only_values = true;
        } else if let Some(name) = word.strip_prefix("--") {
            self.owed = self.long(name).filter(|arg| takes_value(arg));
        } else {
            self.owed = self.short(word).filter(|(_, rest)| rest.is_empty()).map(|(arg, _)| arg);
        }
    }

    fn value(&mut self, word: &str) {
        let inner = self.command.find_subcommand(word).filter(|_| self.taken == 0 && !self.only_values);
        match inner {
            Some(inner) => {
                self.path.push(inner.get_name());
                self.command = inner;
            }
            None => self.taken += 1,
        }
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_long() == Some(name))
    }

    /// The option with a value in a cluster of short ones, and what of the word is its value.
    fn short<'w>(&self, word: &'w str) -> Option<(&'a Arg, &'w str)> {
        word.char_indices().skip(1).find_map(|(at, letter)| {
            let arg = self.command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
            takes_value(arg).then_some((arg, &word[at + letter.len_utf8()..]))
        })
    }

    fn end(self, last: &str) -> Place<'a> {
        let place = |kind, before: &str, typed: &str| Place {
            path: self.path.clone(),
            kind,
            before: before.to_owned(),
            typed: typed.to_owned(),
        };
        if let Some(arg) = self.owed {
            return place(Kind::Value(arg), "", last);
        }
        if !self.only_values && last.len() > 1 {
            if let Some((name, value)) = last.strip_prefix("--").and_then(|word| word.split_once('=')) {
                let kind = self.long(name).filter(|arg| takes_value(arg)).map_or(Kind::Nothing, Kind::Value);
                return place(kind, &last[..last.len() - value.len()], value);
            }
            if let Some((arg, value)) =
                self.short(last).filter(|_| last.starts_with('-') && !last.starts_with("--"))
            {
                return place(Kind::Value(arg), &last[..last.len() - value.len()], value);
            }
        }
        if !self.only_values && last.starts_with('-') {
            return place(Kind::Option(self.command), "", last);
        }
        if self.taken == 0 && !self.only_values && self.command.has_subcommands() {
            return place(Kind::Command(self.command), "", last);
        }
        let nth = self.command.get_positionals().nth(self.taken);
        let arg = nth.or_else(|| self.command.get_positionals().find(|arg| takes_many(arg)));
        place(arg.map_or(Kind::Nothing, Kind::Value), "", last)
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may stand at the end: the command's path, then the option's or value's name, or `commands` or `options`.
    fn at(line: &str) -> String {
        let mut root = crate::cli::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let place = of(&root, &words);
        let kind = match &place.kind {
            Kind::Command(_) => "commands".to_owned(),
            Kind::Option(_) => "options".to_owned(),
            Kind::Value(arg) => arg.get_id().to_string(),
            Kind::Nothing => "nothing".to_owned(),
        };
        format!("{}:{kind} {}|{}", place.path.join(" "), place.before, place.typed)
    }

    #[test]
    fn the_place_is_found() {
        for (line, expected) in [
            ("", ":commands |"),
            ("li", ":commands |li"),
            ("-", ":options |-"),
            ("--js", ":options |--js"),
            ("-C", ":folders -C|"),
            ("-Cx/", ":folders -C|x/"),
            ("-C dir ", ":commands |"),
            ("-qC dir li", ":commands |li"),
            ("list --state ", "list:state |"),
            ("list --state=pen", "list:state --state=|pen"),
            ("list --why --state pending --node ", "list:node |"),
            ("show ", "show:task |"),
            ("show x ", "show:nothing |"),
            ("retry a b p/c", "retry:tasks |p/c"),
            ("retry -- -x", "retry:tasks |-x"),
            ("bundle ", "bundle:commands |"),
            ("bundle create x ", "bundle create:tasks |"),
            ("bundle create --for ", "bundle create:for_node |"),
            ("no-such x", ":nothing |x"),
            ("show --no-such ", "show:task |"),
            ("list --no-such=x", "list:nothing --no-such=|x"),
            ("help ", "help:commands |"),
            ("color ", ":nothing |"),
            ("--color ", ":color |"),
        ] {
            assert_eq!(at(line), expected, "{line:?}");
        }
    }
}
