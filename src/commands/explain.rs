//! `git dispatch explain`

use miette::Diagnostic;
use serde_json::json;

use super::{Context, Outcome};
use crate::config::near::nearest;
use crate::exit::Exit;
use crate::task::text::escaped;

/// All codes, each once: a heading, what it means, what to do.
const CODES: &str = include_str!("explain/codes.md");

/// What an error code means, and what to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, such as `dispatch::spec::unclosed`, or its end; without, all are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// There is no such code.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no error code `{}`", escaped(.code))]
#[diagnostic(code(dispatch::explain::unknown))]
struct Unknown {
    code: String,
    #[help]
    help: String,
}

/// A documented code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The code.
    pub code: String,
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub way_out: String,
}

/// Lists the documented codes.
pub fn codes() -> Vec<Explained> {
    CODES
        .split("\n## ")
        .skip(1)
        .filter_map(|part| {
            let mut lines = part.trim().lines();
            Some(Explained {
                code: lines.next()?.trim().to_owned(),
                meaning: lines.next()?.trim().to_owned(),
                way_out: lines.collect::<Vec<_>>().join("\n").trim().to_owned(),
            })
        })
        .collect()
}

/// Explains.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let all = codes();
    let Some(given) = &args.code else {
        if context.ui.json {
            context.ui.document(&json!({"codes": all.iter().map(|one| &one.code).collect::<Vec<_>>()}));
        } else {
            context.ui.print(&all.iter().map(|one| format!("{}\n", one.code)).collect::<String>());
        }
        return Ok(Exit::Done);
    };
    let is_meant = |one: &&Explained| one.code == *given || one.code.ends_with(&format!("::{given}"));
    let Some(one) = all.iter().find(is_meant) else {
        let help = match nearest(given, all.iter().map(|one| one.code.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`git dispatch explain` lists all codes".to_owned(),
        };
        return Err(Unknown { code: given.clone(), help }.into());
    };
    if context.ui.json {
        context.ui.document(&json!({"code": one.code, "meaning": one.meaning, "help": one.way_out}));
    } else {
        let code = context.ui.out.strong(&one.code);
        context.ui.print(&format!("{code}\n\n{}\n\n{}\n", one.meaning, one.way_out));
    }
    Ok(Exit::Done)
}
