//! `git dispatch init`

use std::path::PathBuf;

use miette::Diagnostic;
use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::session::CONFIG_FILE;
use crate::protocol::{Error, Session, setup};
use crate::task::Name;
use crate::task::name::NameKind;
use crate::task::text::escaped;

/// Write a commented git-dispatch.toml, name this node, and let `git log` show the status of tasks.
///
/// May be given again at any time: nothing is overwritten.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The remote that is the hub
    #[arg(long, value_name = "R")]
    remote: Option<String>,
    /// The project of specs that name none
    #[arg(long, value_name = "P")]
    project: Option<String>,
}

/// There is nowhere to write the file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("a bare repository has no checkout to write {CONFIG_FILE} into")]
#[diagnostic(
    code(dispatch::config::no_checkout),
    help("run it in a clone, commit the file there and push it; it is read from the target branch here")
)]
struct NoCheckout;

/// Sets up.
pub fn run(context: &Context, args: &Args) -> Outcome {
    if let Some(node) = &args.node {
        Name::new(NameKind::Node, node).map_err(Error::from)?;
    }
    if let Some(project) = &args.project {
        Name::new(NameKind::Project, project).map_err(Error::from)?;
    }
    let mut options = Vec::new();
    if let Some(remote) = &args.remote {
        options.push(("remote", remote.clone().into(), "--remote"));
    }
    let session = context.open(&options)?;
    let file = session.hub.repo.work_tree().ok_or(NoCheckout)?.join(CONFIG_FILE);
    let executors = setup::found(&programs_on_path(&session));
    let is_new = setup::write_file(&file, args.project.as_deref(), &executors)?;
    let node = setup::configure(&session, args.node.as_deref(), args.remote.as_deref())?;
    let project = args.project.as_deref().filter(|_| is_new).unwrap_or(session.project.as_str());
    if context.ui.json {
        let names: Vec<&str> = executors.iter().map(|executor| executor.name).collect();
        context.ui.document(&json!({
            "file": CONFIG_FILE, "written": is_new, "node": node, "project": project, "executors": names,
        }));
        return Ok(Exit::Done);
    }
    if is_new {
        let target = escaped(&session.hub.target);
        context.ui.print(&format!("wrote {CONFIG_FILE}: look through it, then commit it to {target}\n"));
    } else {
        context.ui.print(&format!("{CONFIG_FILE} is there already; nothing of it was changed\n"));
    }
    context.ui.print(&format!("this node is called {node}\n"));
    for executor in &executors {
        context
            .ui
            .print(&format!("found {}; take the # off its lines in {CONFIG_FILE} to use it\n", executor.name));
    }
    if args.project.is_some() && !is_new {
        context.ui.warn(&format!("--project has no effect on a {CONFIG_FILE} that is there already"));
    }
    Ok(Exit::Done)
}

/// The folders of the PATH.
fn programs_on_path(session: &Session) -> Vec<PathBuf> {
    session.ambient.var("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
}
