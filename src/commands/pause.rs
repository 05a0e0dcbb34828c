//! `git dispatch pause` and `git dispatch resume`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::Error;
use crate::protocol::pause::{Who, set_paused};
use crate::task::Name;
use crate::task::name::NameKind;
use crate::ui::progress::Progress;

/// Let a node take no new work: this one, another, or the whole fleet. What runs is finished.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    /// Who is meant.
    #[command(flatten)]
    who: WhoArgs,
}

/// Let a node, or the whole fleet, take work again.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Who is meant.
    #[command(flatten)]
    who: WhoArgs,
}

/// Who is meant.
#[derive(Debug, clap::Args)]
struct WhoArgs {
    /// Another node
    #[arg(long, value_name = "N", conflicts_with = "all")]
    node: Option<String>,
    /// The whole fleet
    #[arg(long)]
    all: bool,
}

/// Pauses.
pub fn pause(context: &Context, args: &PauseArgs) -> Outcome {
    set(context, &args.who, true)
}

/// Resumes.
pub fn resume(context: &Context, args: &ResumeArgs) -> Outcome {
    set(context, &args.who, false)
}

fn set(context: &Context, args: &WhoArgs, pause: bool) -> Outcome {
    let session = context.open(&Vec::new())?;
    let who = match (&args.node, args.all) {
        (_, true) => Who::All,
        (Some(name), _) => Who::Node(Name::new(NameKind::Node, name).map_err(Error::from)?),
        (None, _) => Who::Node(session.node.clone()),
    };
    let progress = Progress::start(&context.ui, "telling the fleet");
    let changed = set_paused(&session, &who, pause)?;
    drop(progress);
    let state = if pause { "paused" } else { "resumed" };
    let whom = match &who {
        Who::All => "the fleet".to_owned(),
        Who::Node(name) => format!("node {name}"),
    };
    if context.ui.json {
        let control = session.hub.control().map_err(Error::from)?;
        context.ui.document(&json!({"all": control.all, "paused": control.paused, "changed": changed}));
    } else if changed {
        context.ui.print(&format!("{whom} is {state}\n"));
        if !pause && session.hub.control().map_err(Error::from)?.is_paused(session.node.as_str()) {
            context.ui.warn("the whole fleet is still paused: `git dispatch resume --all`");
        }
    } else {
        context.ui.note(&format!("{whom} was {state} before"));
    }
    Ok(Exit::Done)
}
