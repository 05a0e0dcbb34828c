//! `git dispatch list`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::snapshot::{Standing, Task};
use crate::protocol::why::Lookout;
use crate::task::State;
use crate::ui::json;
use crate::ui::table::{Cell, Table};

/// See the queue: each task, where it stands, and on which node.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only tasks in this state; may be given several times
    #[arg(long, value_name = "S", value_parser = parse_state)]
    state: Vec<State>,
    /// Only tasks of this project
    #[arg(long, value_name = "P")]
    project: Option<String>,
    /// Only tasks of this node
    #[arg(long, value_name = "N")]
    node: Option<String>,
    /// Only tasks with this label
    #[arg(long, value_name = "L")]
    label: Option<String>,
    /// Say of each task why it is not running
    #[arg(long)]
    why: bool,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

fn parse_state(text: &str) -> Result<State, String> {
    text.parse().map_err(|_| {
        let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        let near = crate::config::near::nearest(text, states.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("not a state{hint} (one of {})", states.join(", "))
    })
}

/// Lists.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    for (place, why) in &snapshot.unreadable {
        context.ui.warn(&format!("{} {why}; it is passed over", crate::task::text::escaped(place)));
    }
    let lookout = Lookout::new(&session, &snapshot)?;
    let tasks: Vec<&Task> = snapshot.tasks.iter().filter(|task| is_wanted(task, args)).collect();
    if context.ui.json {
        let tasks: Vec<_> = tasks
            .iter()
            .map(|task| {
                let mut document = json::task(&session, task);
                if args.why {
                    document["waits_for"] = lookout
                        .waits_for(task)
                        .iter()
                        .map(|reason| json!({"kind": reason.kind, "what": reason.what}))
                        .collect();
                }
                document
            })
            .collect();
        context.ui.document(&json!({"synced_at": session.synced_at()?, "tasks": tasks}));
        return Ok(Exit::Done);
    }
    let mut table = Table::default();
    for task in tasks {
        let state = task.state();
        let blocked = lookout.blocked(task);
        let mut row = vec![
            Cell::text(&task.name().to_string()),
            match blocked {
                Some(_) => Cell::painted("blocked", |text| context.ui.out.warning(text)),
                None => Cell::painted(state.as_str(), |text| context.ui.out.state(state, text)),
            },
            Cell::text(&node_of(task).unwrap_or_else(|| "-".to_owned())),
        ];
        if args.why {
            let why: Vec<String> = lookout.waits_for(task).iter().map(ToString::to_string).collect();
            row.push(Cell::text(&if why.is_empty() { "-".to_owned() } else { why.join("; ") }));
        } else {
            let title = &task.spec.record.title;
            row.push(Cell::text(&blocked.map_or(title.clone(), |blocked| format!("{title} ({blocked})"))));
        }
        table.push(row);
    }
    if table.is_empty() {
        context.ui.note("no tasks");
    }
    context.ui.print(&table.render(context.ui.width));
    Ok(Exit::Done)
}

fn is_wanted(task: &Task, args: &Args) -> bool {
    (args.state.is_empty() || args.state.contains(&task.state()))
        && args.project.as_ref().is_none_or(|project| task.name().project.as_str() == project)
        && args.node.as_ref().is_none_or(|node| node_of(task).as_ref() == Some(node))
        && args.label.as_ref().is_none_or(|label| task.spec.record.labels.contains(label))
}

fn node_of(task: &Task) -> Option<String> {
    match &task.standing {
        Standing::Claimed(claim) if task.state() != State::Pending => claim.record.node.clone(),
        Standing::Sealed { seal, .. } => seal.node.clone(),
        _ => None,
    }
}
