//! `git dispatch outbox`

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Outcome, bundle};
use crate::exit::Exit;
use crate::hub::outbox;
use crate::protocol::{self, Error, finish};
use crate::ui::progress::Progress;
use crate::ui::table::{Cell, Table};

/// See the results that wait in this clone for the hub.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Publish them now
    #[arg(long)]
    flush: bool,
    /// Write them to a file, for `git dispatch collect --bundle` at the hub; they wait here on
    #[arg(long, value_name = "FILE", conflicts_with = "flush")]
    bundle: Option<PathBuf>,
}

/// Shows the outbox.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    if let Some(file) = &args.bundle {
        let made = protocol::bundle::outbox::create(&session, &context.ambient.cwd.join(file))?;
        if context.ui.json {
            context.ui.document(&bundle::document(&made, false));
        } else {
            bundle::tell(&context.ui, &made, file, false);
        }
        return Ok(Exit::Done);
    }
    let mut left = 0;
    if args.flush {
        let progress = Progress::start(&context.ui, "publishing");
        session.sync()?;
        left = finish::flush(&session, &progress)?;
    }
    let (waiting, broken) = outbox::list(&session.state).map_err(Error::from)?;
    if context.ui.json {
        let records: Vec<_> = waiting
            .iter()
            .map(|one| json!({"task": one.task, "claim": one.claim, "node": one.node, "fenced": one.fenced, "refused": one.refused}))
            .collect();
        let broken: Vec<_> = broken.iter().map(|one| json!({"file": one.file, "why": one.why})).collect();
        context.ui.document(&json!({"outbox": records, "broken": broken}));
    } else {
        let mut table = Table::default();
        for one in &waiting {
            let why = match (&one.fenced, &one.refused) {
                (Some(why), _) => format!("fenced off: {why}"),
                (None, Some(why)) => format!("refused: {why}"),
                (None, None) => "waits for the hub".to_owned(),
            };
            table.push(vec![Cell::text(&one.task), Cell::text(&one.node), Cell::text(&why)]);
        }
        for one in &broken {
            table.push(vec![
                Cell::text(&one.file),
                Cell::text("-"),
                Cell::text(&format!("{}; left as it is", one.why)),
            ]);
        }
        if table.is_empty() {
            context.ui.note("nothing waits");
        }
        context.ui.print(&table.render(context.ui.width));
    }
    Ok(if left == 0 { Exit::Done } else { Exit::Failed })
}
