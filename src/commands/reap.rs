//! `git dispatch reap`

use serde_json::json;

use super::{Context, Outcome};
use crate::config::Dur;
use crate::exit::Exit;
use crate::node::reap::{Options, reap};
use crate::protocol::notify::Notifying;
use crate::ui::progress::Progress;

/// Take the claims of lost nodes back.
///
/// Waits to see for itself that a node is lost, as long as that node's own heartbeat says, unless forced. `--older-than D
/// --force` gives up on everything that runs longer than D, in one push: what still works on it is fenced off.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only claims of this node
    #[arg(long, value_name = "N")]
    node: Option<String>,
    /// Only claims that are older than this
    #[arg(long, value_name = "D")]
    older_than: Option<Dur>,
    /// Do not wait: take them back whether their node lives or not
    #[arg(long)]
    force: bool,
}

/// Reaps.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Notifying::start(&session, Progress::start(&context.ui, "listening for signs of life"));
    let options = Options { node: args.node.clone(), older_than: args.older_than.map(Dur::get), force: args.force };
    let reaped = reap(&session, &options, &context.signals.first, &progress)?;
    drop(progress);
    if context.ui.json {
        context.ui.document(&json!({ "reaped": reaped }));
    } else if reaped.is_empty() {
        context.ui.note("nothing to take back");
    } else {
        for task in &reaped {
            context.ui.print(&format!("took back {task}\n"));
        }
    }
    Ok(Exit::Done)
}
