//! What to try once the day is over, as commands to paste.

use std::path::Path;

use super::seed;
use crate::ambient::Ambient;
use crate::commands::Context;

/// A task of one's own, for the kept project.
const OWN: &str = r"printf '%s\n' '---' 'run: echo Closed >> docs/greeting.txt' '---' '# Close the shop' > specs/8.md
    git dispatch enqueue specs/8.md && git dispatch run && git dispatch collect";

/// Tells what to try in the folder that was kept.
pub(super) fn in_folder(context: &Context, folder: &str) {
    let mut lines = vec![("the folder is yours now; delete it when you are done", go_to(folder))];
    if let Some(export) = missing_path(&context.ambient) {
        lines.push(("so that git finds `git dispatch`", export));
    }
    let merge = format!("git -C ../hub.git log -1 -p --first-parent --format=%s main -- {}", seed::CONTESTED);
    lines.extend([
        ("where everything stands", "git dispatch list".to_owned()),
        ("what a task printed while it ran", format!("git dispatch logs {}", seed::CONFLICTING)),
        ("how the conflict was resolved", merge),
        ("a task of your own", OWN.to_owned()),
    ]);
    let faint = |text: &str| context.ui.out.faint(&format!("# {text}"));
    let lines = lines.iter().map(|(text, command)| format!("  {}\n    {command}\n", faint(text)));
    tell(context, &lines.collect::<String>());
}

/// Tells what to try when the folder is gone.
pub(super) fn elsewhere(context: &Context) {
    tell(
        context,
        "  The folder is deleted now. To keep it the next time, and look around in it:\n    \
         git dispatch demo --keep\n  Or begin in a repository of yours:\n    \
         git dispatch enqueue specs/*.md && git dispatch run && git dispatch collect\n",
    );
}

fn tell(context: &Context, text: &str) {
    let title = context.ui.out.strong("── What to try next");
    context.ui.print(&format!("\n{title}\n\n{text}"));
}

fn go_to(folder: &str) -> String {
    format!("cd {}", quoted(&format!("{folder}/north")))
}

/// Returns the command after which git finds this program, where it does not: it may have been started by its path, or
/// by cargo.
fn missing_path(ambient: &Ambient) -> Option<String> {
    let found = |folder: &Path| folder.join("git-dispatch").is_file();
    let path = ambient.var("PATH").unwrap_or_default();
    if std::env::split_paths(path).any(|folder| found(&folder)) {
        return None;
    }
    let folder = std::env::current_exe().ok()?.parent().filter(|folder| found(folder))?.to_owned();
    Some(format!("export PATH={}:\"$PATH\"", quoted(&folder.to_string_lossy())))
}

/// Quotes a word for a POSIX shell where it needs that.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:,@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_for_the_shell_only_where_they_must_be() {
        assert_eq!(quoted("/tmp/a-b_c.1"), "/tmp/a-b_c.1");
        assert_eq!(quoted("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
