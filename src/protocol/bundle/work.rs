//! Work for a node that never sees the hub: tasks are reserved for it, and packed with all that it needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::{Begun, Made, Packing, Refused, repository};
use crate::config::Dur;
use crate::git::ObjectId;
use crate::git::bundle::check_free;
use crate::hub::bundle::{Item, Kind, Stamp};
use crate::hub::snapshot::{Snapshot, Task, chain_of, target_of};
use crate::hub::{Edit, Layout};
use crate::protocol::claim::all_yes;
use crate::protocol::error::{Error, Result};
use crate::protocol::repair::mended;
use crate::protocol::session::Session;
use crate::protocol::{assign, pick, seal, trust};
use crate::task::name::NameKind;
use crate::task::order::{self, Candidate, Offer};
use crate::task::scope::Scopes;
use crate::task::spec::Mode;
use crate::task::{Hold, Name, Phase, State, TaskName};

/// How long a reservation holds unless said otherwise.
pub const HOLD: Dur = Dur::from_secs(72 * 60 * 60);

/// How often reservations that did not get through are tried again.
const TRIES: u32 = 5;

/// What is wanted of a bundle for a node.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node.
    pub node: Name,
    /// How many tasks are to be reserved for it in all, those included that are already; none: whatever it may run.
    pub count: Option<usize>,
    /// The tasks wanted; empty: whatever is next.
    pub tasks: Vec<TaskName>,
    /// How long the reservations hold.
    pub hold: Dur,
    /// Pack everything, as if nothing were known of the other side.
    pub whole: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Reserves tasks for a node and packs them, with what is still reserved for it, into a file.
pub fn create(session: &Session, path: &Path, options: &Options) -> Result<Made> {
    super::refuse_away(session, Refused::NotHere { what: "reserved" })?;
    check_free(path)?;
    session.sync()?;
    if session.hub.repo.is_shallow() {
        return Err(Error::Shallow);
    }
    let snapshot = session.snapshot()?;
    let mut chosen = choose(session, &snapshot, options)?;
    if options.dry_run {
        let mut made = Made::nothing(Kind::Work, &options.node);
        made.tasks =
            reserved(&snapshot, &options.node).map(|task| (task.name().clone(), Phase::Assigned)).collect();
        made.tasks.extend(chosen.iter().map(|task| (task.clone(), Phase::Assigned)));
        made.reserved = chosen;
        return Ok(made);
    }
    let edits = reservations(session, &snapshot, &chosen, options)?;
    // The hub takes about as long to take them in as it takes to pack them.
    let begun = begin(session, &snapshot, path, options, &edits)?;
    if edits.is_empty() || are_won(session, &snapshot, &edits)? {
        return finish(begun, options, chosen);
    }
    drop(begun);
    let mut own: HashSet<ObjectId> = edits.iter().filter_map(|edit| edit.new).collect();
    own.extend(reserve_again(session, &chosen, options)?);
    let snapshot = session.snapshot()?;
    // Somebody else may have been faster, for the same node.
    let is_own = |task: &Task| task.claim().is_some_and(|claim| own.contains(&claim.id));
    chosen.retain(|task| snapshot.get(task).is_some_and(is_own));
    finish(begin(session, &snapshot, path, options, &[])?, options, chosen)
}

/// The tasks that are reserved for a node.
fn reserved<'a>(snapshot: &'a Snapshot, node: &'a Name) -> impl Iterator<Item = &'a Task> + 'a {
    snapshot.tasks.iter().filter(move |task| {
        task.claim_in(Phase::Assigned).is_some_and(|claim| {
            claim.record.hold == Some(Hold::Offline) && claim.record.node.as_deref() == Some(node.as_str())
        })
    })
}

/// Chooses what is to be reserved. A task may depend on others that go with it.
fn choose(session: &Session, snapshot: &Snapshot, options: &Options) -> Result<Vec<TaskName>> {
    let mut taken: HashSet<TaskName> = reserved(snapshot, &options.node).map(|task| task.name().clone()).collect();
    let room = match (options.tasks.is_empty(), options.count) {
        (false, _) => usize::MAX,
        (true, count) => count.map_or(usize::MAX, |count| count.saturating_sub(taken.len())),
    };
    let offer = offer(session, snapshot, options, &taken);
    let is_named = |task: &TaskName| options.tasks.contains(task);
    let mut open: Vec<Candidate> = pick::candidates(session, snapshot)
        .into_iter()
        .filter(|task| task.state == State::Pending && !taken.contains(&task.name))
        .filter(|task| if options.tasks.is_empty() { task.mode != Mode::Pull } else { is_named(&task.name) })
        .map(|task| Candidate { by_bundle: false, ..task })
        .collect();
    let mut chosen: Vec<TaskName> = Vec::new();
    while chosen.len() < room {
        let ready: Vec<Candidate> = open.iter().map(|task| with_company(task, &taken)).collect();
        let next: Vec<TaskName> = order::choose(&ready, &offer).iter().map(|task| task.name.clone()).collect();
        let fits = able(session, snapshot, &next, room - chosen.len());
        let (tried, fitting): (HashSet<&TaskName>, HashSet<&TaskName>) =
            (next.iter().collect(), fits.iter().collect());
        open.retain(|task| !tried.contains(&task.name) || is_named(&task.name) && !fitting.contains(&task.name));
        if fits.is_empty() {
            break;
        }
        taken.extend(fits.iter().cloned());
        chosen.extend(fits);
    }
    refuse_left(session, snapshot, options, &taken, &offer)?;
    Ok(chosen)
}

/// The first of these that have something to run and may be begun. Each spec is read: not of more than are wanted.
fn able(session: &Session, snapshot: &Snapshot, names: &[TaskName], wanted: usize) -> Vec<TaskName> {
    let mut able = Vec::new();
    for some in names.chunks(wanted.max(1)) {
        let tasks: Vec<&Task> = some.iter().filter_map(|name| snapshot.get(name)).collect();
        let lacking = pick::lacking_run(session, &tasks);
        let fit = tasks
            .into_iter()
            .filter(|task| !lacking.contains(task.name()) && trust::doubt_of_start(session, task).is_none());
        able.extend(fit.take(wanted - able.len()).map(|task| task.name().clone()));
        if able.len() == wanted {
            break;
        }
    }
    able
}

/// What the node can do, as far as it is known: by its own word where it has been heard of, else by the configuration.
fn offer(session: &Session, snapshot: &Snapshot, options: &Options, taken: &HashSet<TaskName>) -> Offer {
    // Asked for by a person: neither the node's mode nor the task's stands in the way.
    let mut offer = pick::offer(session, snapshot, &options.node, true);
    let records = session.hub.node_records().unwrap_or_default();
    if let Some(seen) = records.into_iter().find(|node| node.name == options.node.as_str()) {
        offer.labels.extend(seen.record.labels);
        offer.executors.extend(seen.record.executors);
    }
    // What is reserved for the node itself, it runs one after the other.
    offer.scopes = Scopes::default();
    let at_work = |task: &&Task| matches!(task.state(), State::Running | State::Assigned);
    for task in snapshot.tasks.iter().filter(at_work).filter(|task| !taken.contains(task.name())) {
        offer.scopes.add(task.name(), &task.spec.record.modifies);
    }
    offer
}

/// The same task as it stands beside others that go with it: what they make is there when its turn comes.
fn with_company(task: &Candidate, taken: &HashSet<TaskName>) -> Candidate {
    let mut task = task.clone();
    for (name, state) in &mut task.depends_on {
        if taken.contains(name) {
            *state = Some(State::Completed);
        }
    }
    task
}

/// Says what stands in the way of a named task that cannot go.
fn refuse_left(
    session: &Session,
    snapshot: &Snapshot,
    options: &Options,
    taken: &HashSet<TaskName>,
    offer: &Offer,
) -> Result<()> {
    for name in options.tasks.iter().filter(|name| !taken.contains(*name)) {
        let Some(task) = snapshot.get(name) else { continue };
        let state = task.state();
        if state != State::Pending {
            return Err(Error::NotPending { task: name.clone(), state });
        }
        let candidate = Candidate { by_bundle: false, ..pick::candidate(session, snapshot, task) };
        let why = match order::obstacle(&with_company(&candidate, taken), offer) {
            _ if candidate.lacks_run => order::Obstacle::NothingToRun.to_string(),
            Some(obstacle) => obstacle.to_string(),
            None => {
                let overlaps = || "overlaps with another one named, which goes first".to_owned();
                trust::doubt_of_start(session, task).unwrap_or_else(overlaps)
            }
        };
        return Err(Error::NotClaimable { task: name.clone(), why });
    }
    Ok(())
}

/// Writes the claims by which those of the tasks that are still pending are reserved; no ref is moved.
fn reservations(
    session: &Session,
    snapshot: &Snapshot,
    chosen: &[TaskName],
    options: &Options,
) -> Result<Vec<Edit>> {
    let hold = SignedDuration::try_from(*options.hold).unwrap_or(SignedDuration::MAX);
    let until = session.ambient.now().checked_add(hold).unwrap_or(Timestamp::MAX);
    let open = chosen.iter().filter_map(|name| snapshot.get(name)).filter(|task| task.state() == State::Pending);
    let quick = session.in_memory();
    let edits = open.map(|task| assign::reservation(&quick, task, &options.node, until)).collect::<Result<_>>()?;
    quick.hub.repo.keep()?;
    Ok(edits)
}

/// Wins reservations, each by compare-and-swap, and says whether all of them are ours and hold.
fn are_won(session: &Session, snapshot: &Snapshot, edits: &[Edit]) -> Result<bool> {
    // A task that was sealed meanwhile has no claim ref either: ours would be void. The seals are far less to ask than
    // everything.
    let seals = session.hub.layout.sealed();
    let (answers, found) = session.hub.publish_and_look(edits, std::slice::from_ref(&seals))?;
    Ok(all_yes(&answers) && found.get(&seals).copied() == snapshot.sealed_tip)
}

/// Wins what is left after a try that did not win all; what somebody else was faster with is left to them. Returns the claims
/// that were tried.
fn reserve_again(session: &Session, chosen: &[TaskName], options: &Options) -> Result<HashSet<ObjectId>> {
    let mut own = HashSet::new();
    for turn in 2.. {
        session.sync()?;
        let after = session.snapshot()?;
        let void = seal::leftover_edits(session, chosen.iter().filter_map(|name| after.get(name)))?;
        session.hub.publish(&void)?;
        let snapshot = session.snapshot()?;
        let edits = reservations(session, &snapshot, chosen, options)?;
        let Some(first) = edits.first() else { break };
        if turn > TRIES {
            return Err(session.hub.refused(first.name.clone()).into());
        }
        own.extend(edits.iter().filter_map(|edit| edit.new));
        if are_won(session, &snapshot, &edits)? {
            break;
        }
    }
    Ok(own)
}

/// A file that is being written, and the tasks in it whose reservation is over.
type Underway = (Begun, Vec<TaskName>);

/// Begins to write what is reserved for the node, as if `edits` were made; `None` where there is nothing new.
fn begin(
    session: &Session,
    snapshot: &Snapshot,
    path: &Path,
    options: &Options,
    edits: &[Edit],
) -> Result<Option<Underway>> {
    let node = &options.node;
    let Some(repository) = repository(snapshot) else { return Ok(None) };
    let acknowledged = session.hub.pinned_manifest(&Layout::imported(node))?;
    let known = match &acknowledged {
        Some(manifest) if !options.whole => manifest.acknowledged(),
        _ => HashSet::new(),
    };
    let before = reserved(snapshot, node).filter_map(|task| Some((task.name().clone(), task.claim()?.id)));
    let now = edits.iter().filter_map(|edit| Some((session.hub.layout.task_of_claim(&edit.name)?, edit.new?)));
    let tasks: BTreeMap<TaskName, (Phase, ObjectId)> =
        before.chain(now).map(|(task, claim)| (task, (Phase::Assigned, claim))).collect();
    let refs = refs(session, snapshot, node, &tasks)?;
    let is_new = refs.values().any(|id| !known.contains(id));
    let has_company = acknowledged.is_some() || options.whole;
    if !is_new || tasks.is_empty() && !has_company {
        return Ok(None);
    }
    let now = session.ambient.now();
    let is_over = |task: &&Task| task.claim().and_then(|claim| claim.record.until).is_some_and(|until| until < now);
    let expired = reserved(snapshot, node).filter(is_over).map(|task| task.name().clone()).collect();
    // What came from there, so that it need not come again.
    let has: BTreeSet<String> =
        acknowledged.map(|manifest| manifest.refs.into_values().collect()).unwrap_or_default();
    let stamp = Stamp { kind: Kind::Work, node: node.clone(), repository };
    let begun = super::begin(session, Packing { stamp, tasks, refs, known, has }, path)?;
    Ok(Some((begun, expired)))
}

fn finish(begun: Option<Underway>, options: &Options, reserved: Vec<TaskName>) -> Result<Made> {
    let Some((begun, expired)) = begun else { return Ok(Made::nothing(Kind::Work, &options.node)) };
    Ok(Made { reserved, expired, ..begun.finish()? })
}

/// The refs that the node needs: the targets, the queue, seals and notes, its claims and what they build on, and what
/// became of its own earlier work.
fn refs(
    session: &Session,
    snapshot: &Snapshot,
    node: &Name,
    tasks: &BTreeMap<TaskName, (Phase, ObjectId)>,
) -> Result<BTreeMap<Item, ObjectId>> {
    let hub = &session.hub;
    let mut refs = BTreeMap::new();
    let mut targets = BTreeSet::from([hub.target.clone()]);
    let mut needed: BTreeSet<&TaskName> = tasks.keys().collect();
    for task in tasks.keys().filter_map(|name| snapshot.get(name)) {
        targets.insert(target_of(hub, &task.spec.record));
        needed.extend(&task.spec.record.depends_on);
        // A repair counts only while what it mends is seen to wait for it.
        needed.extend(mended(snapshot, &task.spec.record).into_iter().map(|(original, _)| original.name()));
    }
    for target in targets {
        match hub.target_tip(&target) {
            Some(tip) => drop(refs.insert(Item::Target(target), tip)),
            None if target == hub.target => return Err(Error::NoCommits { branch: target }),
            None => {}
        }
    }
    refs.extend(snapshot.queue_tip.map(|tip| (Item::Queue, tip)));
    refs.extend(snapshot.sealed_tip.map(|tip| (Item::Sealed, tip)));
    for (name, tip) in hub.repo.refs_with_prefix(&hub.layout.statuses())? {
        let writer = name.strip_prefix(&hub.layout.statuses()).unwrap_or_default();
        refs.extend(Name::new(NameKind::Node, writer).ok().map(|writer| (Item::Status(writer), tip)));
    }
    for task in &snapshot.tasks {
        let Some(claim) = task.claim() else { continue };
        if needed.contains(task.name()) || takes_part(session, claim.id, node) {
            refs.insert(Item::Claim(task.name().clone()), claim.id);
        }
    }
    refs.extend(tasks.iter().map(|(task, (_, claim))| (Item::Claim(task.clone()), *claim)));
    refs.extend(super::attempts(session, node)?);
    Ok(refs)
}

/// Says whether the node had the task at any time.
fn takes_part(session: &Session, tip: ObjectId, node: &Name) -> bool {
    chain_of(&session.hub.repo, tip).iter().any(|claim| claim.record.node.as_deref() == Some(node.as_str()))
}
