//! What a screen says: whether the agent waits for input, and whether it has taken what was pasted. Pure.

/// The lines that a pane shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Screen {
    lines: Vec<String>,
}

/// Whether the agent has taken what was pasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// It may have, or only shows a hint below its input.
    Perhaps,
    No,
}

impl Screen {
    /// Takes a screen as tmux captures it; empty lines at its end do not count.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Self { lines }
    }

    /// Finds the last line that shows the prompt, and how many lines with something on them stand below.
    fn prompt(&self, pattern: &str) -> Option<(&str, usize)> {
        let at = self.lines.iter().rposition(|line| line.contains(pattern))?;
        let below = self.lines[at + 1..].iter().filter(|line| !line.trim().is_empty()).count();
        Some((&self.lines[at], below))
    }

    /// Says whether the prompt stands there.
    pub(super) fn waits(&self, pattern: &str) -> bool {
        self.prompt(pattern).is_some()
    }

    /// Compares with the screen from before Enter was pressed.
    pub(super) fn taken(&self, before: &Self, pattern: &str) -> Taken {
        if self == before {
            return Taken::No;
        }
        match (before.prompt(pattern), self.prompt(pattern)) {
            // The pasted text had pushed the prompt out of sight: any change is an answer.
            (None, _) | (_, None) => Taken::Yes,
            (Some((old, _)), Some((new, _))) if old != new => Taken::Yes,
            (Some((old, was)), Some((_, is))) if is > was => {
                if old.contains("[Pasted text") {
                    Taken::Perhaps
                } else {
                    Taken::Yes
                }
            }
            _ => Taken::No,
        }
    }
}

/// Makes a prompt fit to be pasted: nothing in it may end the paste early, or press a key.
pub(super) fn pasteable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(before: &str, after: &str) -> Taken {
        Screen::parse(after).taken(&Screen::parse(before), "❯")
    }

    #[test]
    fn an_enter_that_was_swallowed_is_seen() {
        assert_eq!(taken("❯ do it\n\n", "❯ do it\n"), Taken::No);
        assert_eq!(taken("❯ [Pasted text #1]", "❯ [Pasted text #1]\n  hint: press Enter"), Taken::Perhaps);
        assert_eq!(taken("❯ do it\n? for help", "❯ do it"), Taken::No, "a hint that goes is no answer");
    }

    #[test]
    fn an_enter_that_was_taken_is_seen() {
        assert_eq!(taken("❯ do it", "❯ do it\nworking"), Taken::Yes);
        assert_eq!(taken("❯ [Pasted text #1]", "❯ [Pasted text #1]\n* Thinking\n❯"), Taken::Yes);
        assert_eq!(taken("❯ do it", "working"), Taken::Yes);
        assert_eq!(taken("the end of a long text", "the end of a long text\nworking"), Taken::Yes);
    }

    #[test]
    fn nothing_in_a_prompt_ends_the_paste_or_presses_a_key() {
        assert_eq!(pasteable("a\r\nb\u{1b}[201~\rrm -rf\u{3}\tc\u{9b}\n\n"), "a\nb[201~rm -rf\tc");
    }

    #[test]
    fn the_prompt_is_looked_for_on_every_line() {
        assert!(Screen::parse("x\n ❯ \n---\n\n\n").waits("❯") && !Screen::parse("x\n").waits("❯"));
    }
}
