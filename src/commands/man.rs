//! `git dispatch man`

mod page;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::git::Error as GitError;
use crate::protocol::Error;
use crate::task::text::escaped;
use page::Page;

/// Print a manual page, or write all of them into a folder.
///
/// Once they are where `man` looks, `git dispatch --help` and `git help dispatch` open them: git keeps `git dispatch --help` for
/// itself. `man -l` shows a page that is not installed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose page is printed; without, the page of all
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write all pages below this folder of manual pages, into its `man1`
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
}

/// Prints or writes.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut command = crate::cli::command();
    command.build();
    let pages = page::all(&command);
    if let Some(dir) = &args.dir {
        let written = write(&context.ambient.cwd.join(dir).join("man1"), &pages)?;
        if context.ui.json {
            context.ui.document(&json!({ "written": written }));
        } else {
            let folder = escaped(&dir.join("man1").to_string_lossy());
            context.ui.print(&format!("{} pages in {folder}\n", written.len()));
        }
        return Ok(Exit::Done);
    }
    let name = [&["git-dispatch".to_owned()], args.command.as_slice()].concat().join("-");
    let Some(page) = pages.iter().find(|page| page.name == name) else {
        let known = pages.iter().filter_map(|page| page.name.strip_prefix("git-dispatch-"));
        let near = crate::config::near::nearest(&args.command.join("-"), known);
        return Err(NoPage::of(&args.command.join(" "), near).into());
    };
    if context.ui.json {
        context.ui.document(&json!({"name": page.name, "text": page.text}));
    } else {
        context.ui.print(&page.text);
    }
    Ok(Exit::Done)
}

/// There is no such command.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no command `{given}`")]
#[diagnostic(code(dispatch::man::unknown))]
struct NoPage {
    given: String,
    #[help]
    help: String,
}

impl NoPage {
    fn of(given: &str, near: Option<&str>) -> Self {
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`git dispatch -h` lists the commands".to_owned(),
        };
        Self { given: crate::task::text::escaped(given), help }
    }
}

fn write(folder: &Path, pages: &[Page]) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(folder).map_err(|error| GitError::file(folder, error))?;
    let mut written = Vec::new();
    for page in pages {
        let path = folder.join(format!("{}.1", page.name));
        std::fs::write(&path, &page.text).map_err(|error| GitError::file(&path, error))?;
        written.push(path);
    }
    Ok(written)
}
