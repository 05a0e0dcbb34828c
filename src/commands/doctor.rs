//! `git dispatch doctor`

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::executor::slot::SlotRecord;
use crate::exit::Exit;
use crate::hub::{Abilities, Place};
use crate::node::recover;
use crate::protocol::doctor::{self, Findings, Level};
use crate::protocol::republish::{self, Republished};
use crate::protocol::{Result, Session};
use crate::task::text::escaped;
use crate::ui::progress::Progress;
use crate::ui::table::{Cell, Table};

/// Look what is wrong with this clone, its remote and what is recorded there; mend what can be, and say how to mend the rest.
///
/// Exits with 1 if something is broken. What a crash left is cleaned up. With --probe, tries on scratch refs what the remote
/// can do, and remembers it; with --republish, gives a remote that was emptied or wound back what this clone still has.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Try what the remote can do, on scratch refs, and remember it
    #[arg(long)]
    probe: bool,
    /// Give a remote that lost its memory what this clone has
    #[arg(long)]
    republish: bool,
}

/// Looks, and mends.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let mut found = Findings::default();
    let mut given = None;
    if session.hub.is_embedded() && (args.republish || args.probe) {
        context.ui.note("this repository is its own hub: there is no remote to try, or to give anything back to");
    }
    if args.republish {
        let progress = Progress::start(&context.ui, "giving back");
        given = Some(republish::republish(&session)?);
        drop(progress);
    }
    if args.probe {
        let progress = Progress::start(&context.ui, "trying");
        doctor::probe(&session)?;
        drop(progress);
    }
    let is_there = doctor::examine(&session, &mut found)?;
    if is_there {
        slots(context, &session, &mut found)?;
    }
    if let Some(apart) = given.as_ref().map(|given| &given.apart).filter(|apart| !apart.is_empty()) {
        let error = republish::apart(apart);
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
        found.broken("remote", error.to_string(), help);
    }
    if context.ui.json {
        context.ui.document(&document(&session, &found, given.as_ref()));
    } else {
        tell(context, &session, &found, given.as_ref());
    }
    Ok(if found.is_sound() { Exit::Done } else { Exit::Failed })
}

/// Recovers what a killed `run` of this clone left, unless one is at work.
fn slots(context: &Context, session: &Session, found: &mut Findings) -> Result<()> {
    let Some(_lock) = session.state.try_lock()? else { return Ok(()) };
    let before = SlotRecord::list(&session.work_dir()).len();
    if before == 0 {
        return Ok(());
    }
    recover::recover(session, &Progress::start(&context.ui, "recovering"))?;
    let after = SlotRecord::list(&session.work_dir()).len();
    if after < before {
        let noun = if before - after == 1 { "slot" } else { "slots" };
        let what =
            format!("a run was killed here: {} {noun} cleaned up, what was under way given back", before - after);
        found.mended("leftovers", what);
    }
    Ok(())
}

fn tell(context: &Context, session: &Session, found: &Findings, given: Option<&Republished>) {
    let (ui, theme) = (&context.ui, &context.ui.out);
    if let Some(given) = given.filter(|_| !session.hub.is_embedded()) {
        let noun = if given.given.len() == 1 { "ref" } else { "refs" };
        ui.print(&format!("gave {} {noun} back to {}\n", given.given.len(), escaped(&session.hub.url())));
        if !given.resealed.is_empty() {
            ui.print(&format!("made {} seals again from merge commits\n", given.resealed.len()));
        }
    }
    let abilities = session.hub.abilities();
    if session.hub.words.probed_at().is_some() && !session.hub.is_embedded() {
        let mut table = Table::default();
        for (what, can) in rows(&abilities) {
            let cell = match can.as_str() {
                "no" => Cell::painted(&can, |text| theme.warning(text)),
                _ => Cell::text(&can),
            };
            table.push(vec![Cell::text(what), cell]);
        }
        ui.print(&format!("{}\n", table.render(ui.width)));
    }
    for finding in &found.all {
        let word = finding.level.as_str();
        let painted = match finding.level {
            Level::Fine => theme.good(word),
            Level::Broken => theme.bad(word),
            Level::Note | Level::Mended => theme.warning(word),
        };
        let gap = " ".repeat(8 - word.len());
        ui.print(&format!("{painted}{gap}{}: {}\n", finding.about, escaped(&finding.message)));
        if let Some(help) = &finding.help {
            ui.print(&format!("        {}\n", escaped(help)));
        }
    }
}

fn rows(abilities: &Abilities) -> Vec<(&'static str, String)> {
    let word = |can: Option<bool>| match can {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    let mut rows: Vec<(&'static str, String)> = [
        ("takes our refs", abilities.prefix),
        ("compare-and-swap", abilities.swap),
        ("atomic pushes", abilities.atomic),
        ("deletes our refs", abilities.deletes),
        ("replaces refs", abilities.rewinds),
        ("takes notes", abilities.notes),
        ("takes task branches", abilities.branches),
        ("deletes task branches", abilities.branch_deletes),
    ]
    .map(|(what, can)| (what, word(can).to_owned()))
    .to_vec();
    rows.push(("refs in one push", abilities.refs_per_push.map_or("any".to_owned(), |most| most.to_string())));
    rows
}

fn document(session: &Session, found: &Findings, given: Option<&Republished>) -> Value {
    let findings: Vec<Value> = found
        .all
        .iter()
        .map(|one| json!({"level": one.level.as_str(), "about": one.about, "message": one.message, "help": one.help}))
        .collect();
    let abilities = session.hub.abilities();
    let remote = match &session.hub.place {
        Place::Embedded => Value::Null,
        Place::Remote(remote) => json!({
            "name": remote.name, "url": remote.url, "probed_at": session.hub.words.probed_at(),
            "abilities": {
                "prefix": abilities.prefix, "swap": abilities.swap, "atomic": abilities.atomic,
                "deletes": abilities.deletes, "rewinds": abilities.rewinds, "notes": abilities.notes,
                "branches": abilities.branches, "branch_deletes": abilities.branch_deletes,
                "refs_per_push": abilities.refs_per_push,
            },
        }),
    };
    let republished = given.map(|given| {
        let tasks: Vec<String> = given.resealed.iter().map(ToString::to_string).collect();
        json!({"given": given.given, "resealed": tasks, "apart": given.apart})
    });
    json!({"ok": found.is_sound(), "remote": remote, "findings": findings, "republished": republished})
}
