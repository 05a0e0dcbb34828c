//! `git dispatch list`

use miette::Diagnostic;
use serde_json::json;

use super::{Context, Outcome};
use crate::config::near::nearest;
use crate::exit::Exit;
use crate::hub::Place;
use crate::hub::snapshot::{Standing, Task};
use crate::protocol::Session;
use crate::protocol::why::Lookout;
use crate::task::State;
use crate::ui::forge::Forge;
use crate::ui::format::{self, Format, Look};
use crate::ui::json;
use crate::ui::table::{Cell, Table};

/// See the queue: each task, where it stands, and on which node.
///
/// --format writes a line a task, in the language of `git for-each-ref`: %(FIELD) for each key of the JSON document, and
/// %(why) for what a task waits for; %(spec:short) and %(result:short=8); %(enqueued_at:relative) or :unix;
/// %(duration_seconds:lasting); %(align:20), %(align:8,right) and %(align:9,middle) up to %(end); %(color:bold red) and
/// %(color:reset), on a terminal or with --color always; %(if)…%(then)…%(else)…%(end), with %(if:equals=TEXT) and
/// %(if:notequals=TEXT); %% for a percent sign, %0a for the character of that number.
///
/// On a terminal, tasks are links to their commit or branch, where the remote is on a forge that is known.
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
    /// Write each task so, as `git for-each-ref` does; --help tells the fields
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// The format cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("--format: {wrong}")]
#[diagnostic(code(dispatch::usage::format))]
struct BadFormat {
    wrong: String,
    #[help]
    help: String,
}

fn parse_state(text: &str) -> Result<State, String> {
    text.parse().map_err(|_| {
        let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        let near = nearest(text, states.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("not a state{hint} (one of {})", states.join(", "))
    })
}

/// Lists.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let format = args.format.as_deref().map(read_format).transpose()?;
    if format.is_some() && context.ui.json {
        let (wrong, help) = ("it writes lines, and --json a document".to_owned(), "give one of them".to_owned());
        return Err(BadFormat { wrong, help }.into());
    }
    let (session, snapshot) = context.open_to_read(args.offline)?;
    for (place, why) in &snapshot.unreadable {
        context.ui.warn(&format!("{} {why}; it is passed over", crate::task::text::escaped(place)));
    }
    let tasks: Vec<&Task> = snapshot.tasks.iter().filter(|task| is_wanted(task, args)).collect();
    if context.ui.json && !args.why {
        context.ui.task_list(&session, &tasks)?;
        return Ok(Exit::Done);
    }
    let lookout = Lookout::new(&session, &snapshot)?;
    if context.ui.json {
        let explained = |task: &&Task| {
            let mut document = json::task(&session, task);
            let reasons = lookout.waits_for(task);
            document["waits_for"] =
                reasons.iter().map(|reason| json!({"kind": reason.kind, "what": reason.what})).collect();
            document
        };
        let tasks: Vec<_> = tasks.iter().map(explained).collect();
        context.ui.document(&json!({"synced_at": session.synced_at()?, "tasks": tasks}));
        return Ok(Exit::Done);
    }
    if let Some(format) = &format {
        context.ui.print(&lines(context, &session, &lookout, &tasks, format));
        return Ok(Exit::Done);
    }
    let table = table(context, &session, &lookout, &tasks, args.why);
    if table.is_empty() {
        context.ui.note("no tasks");
    }
    context.ui.print(&table.render(context.ui.width));
    Ok(Exit::Done)
}

fn table(context: &Context, session: &Session, lookout: &Lookout<'_>, tasks: &[&Task], why: bool) -> Table {
    let forge = forge(context, session);
    let mut table = Table::default();
    for task in tasks {
        let task = &task.apart();
        let state = task.state();
        let blocked = lookout.blocked(task);
        let page = forge.as_ref().and_then(|forge| page(forge, task));
        let mut row = vec![
            Cell::text(&task.name().to_string()).linked(page.as_deref()),
            match blocked {
                Some(_) => Cell::painted("blocked", |text| context.ui.out.warning(text)),
                None => Cell::painted(state.as_str(), |text| context.ui.out.state(state, text)),
            },
            Cell::text(&node_of(task).unwrap_or_else(|| "-".to_owned())),
        ];
        if why {
            let why: Vec<String> = lookout.waits_for(task).iter().map(ToString::to_string).collect();
            row.push(Cell::text(&if why.is_empty() { "-".to_owned() } else { why.join("; ") }));
        } else {
            let title = &task.spec.record.title;
            row.push(Cell::text(&blocked.map_or(title.clone(), |blocked| format!("{title} ({blocked})"))));
        }
        table.push(row);
    }
    table
}

fn read_format(text: &str) -> Result<Format, BadFormat> {
    let fields = [json::TASK_KEYS, &["why"]].concat();
    format::parse(text, &fields).map_err(|wrong| {
        let near = match &wrong {
            format::Wrong::Field(name) => nearest(name, fields.iter().copied()),
            _ => None,
        };
        let help = match near {
            Some(near) => format!("did you mean `%({near})`?"),
            None => "`git dispatch list --help` tells what a format may hold".to_owned(),
        };
        BadFormat { wrong: wrong.to_string(), help }
    })
}

/// A line a task.
fn lines(context: &Context, session: &Session, lookout: &Lookout<'_>, tasks: &[&Task], format: &Format) -> String {
    let look = Look { coloured: context.ui.out.is_coloured(), now: session.ambient.now() };
    let asks_why = format.names("why");
    let line = |task: &&Task| {
        let mut document = json::task(session, task);
        if asks_why {
            let why: Vec<String> = lookout.waits_for(task).iter().map(ToString::to_string).collect();
            document["why"] = json!(why.join("; "));
        }
        format!("{}\n", format.line(&document, look))
    };
    tasks.iter().map(line).collect()
}

/// The forge that tasks are linked to, where links are wanted and it is known.
fn forge(context: &Context, session: &Session) -> Option<Forge> {
    match &session.hub.place {
        Place::Remote(remote) if context.ui.links => Forge::of(&remote.url),
        _ => None,
    }
}

/// The page of what came of a task: its merge, else its branch.
fn page(forge: &Forge, task: &Task) -> Option<String> {
    match &task.standing {
        Standing::Sealed { seal, .. } => seal.merge_commit.as_ref().map(|id| forge.commit(id)),
        Standing::Claimed(claim) if claim.result.is_some() => {
            claim.record.branch.as_ref().map(|branch| forge.branch(branch))
        }
        _ => None,
    }
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
