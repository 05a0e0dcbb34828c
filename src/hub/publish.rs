//! The one door through which shared refs are written (DESIGN.md 3).
//!
//! Owns the judgement of a push: per ref, yes, no or unknown, from git's flag characters and from reading again, never
//! from a message or an exit status. What to do with a "no" is `protocol`'s.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;

use super::ability::{Abilities, Lesson};
use super::error::Result;
use super::{Hub, Place};
use crate::git::porcelain::PushFlag;
use crate::git::refs::RefChange;
use crate::git::remote::Remote;
use crate::git::{Error as GitError, ObjectId};

/// A change of one shared ref: what it must hold, and what it shall hold.
pub type Edit = RefChange;

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The ref holds our value, and it was our push that put it there.
    Yes,
    /// The ref holds something else.
    No {
        /// What it holds.
        now: Option<ObjectId>,
    },
    /// The ref holds the old value still, or nobody knows: our push may yet land.
    Unknown,
}

impl Answer {
    /// Says whether the edit was made.
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// What became of edits that were to be made at once, on what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// All of them were made.
    Made,
    /// None was: something is not as it is known here, or the hub refuses.
    NotMade,
    /// Nobody knows; they may yet land.
    Unheard,
}

/// How often a busy lock in this repository is tried again before the answer is `Unknown`.
const LOCAL_TRIES: u32 = 5;

/// How many refs go into one push, where the push need not be atomic: a thousand results with their branches and notes. What
/// is deleted, and all that goes to a web server, stands on command lines, which are bounded.
const PUSH_SIZE: usize = 2500;

/// So many refs in one push are never too many, as far as servers are known: of fewer, one is what is refused, and claims are
/// not moved forth and back to find that out.
const ALWAYS_TAKEN: usize = 5;

/// From how many refs on the mirror is read as a whole.
const MANY: usize = 64;

impl Hub {
    /// Makes the edits, each for itself, and answers edit by edit. What the push leaves open is settled by reading the
    /// refs again; what a hub refused as a whole is tried in parts: there may be one ref too many, or one of a kind that it
    /// does not take.
    pub fn publish(&self, edits: &[Edit]) -> Result<Vec<Answer>> {
        let (answers, is_heard) = self.publish_heard(edits)?;
        self.answer_all(edits, answers, is_heard)
    }

    fn answer_all(&self, edits: &[Edit], mut answers: Vec<Answer>, is_heard: bool) -> Result<Vec<Answer>> {
        self.settle(edits, &mut answers)?;
        if is_heard {
            self.try_apart(edits, &mut answers)?;
        }
        Ok(answers)
    }

    /// Makes edits in parts that were refused as a whole.
    pub fn publish_apart(&self, edits: &[Edit]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Unknown; edits.len()];
        self.try_apart(edits, &mut answers)?;
        Ok(answers)
    }

    /// Makes all the edits or none of them, where the hub can. Where it cannot, they are made in three pushes, each edit for
    /// itself: those before the one that `decides` (its place in the list); that one, once all of them are made; and then
    /// the rest. What is left of such a row that broke off is the caller's to mend, and the next one's after a crash.
    pub fn publish_atomically(&self, edits: &[Edit], decides: usize) -> Result<Vec<Answer>> {
        let Place::Remote(remote) = &self.place else {
            return self.change_locally(edits);
        };
        if edits.is_empty() {
            return Ok(Vec::new());
        }
        let abilities = self.abilities();
        let is_too_much = abilities.refs_per_push.is_some_and(|most| edits.len() > most);
        if abilities.atomic == Some(false) || is_too_much {
            return self.publish_in_order(edits, decides);
        }
        let heard = self.push(remote, edits, true)?;
        let is_silent = heard.is_none();
        let mut answers = heard.unwrap_or_else(|| vec![Answer::Unknown; edits.len()]);
        self.settle(edits, &mut answers)?;
        let has_moved = answers.iter().any(|answer| *answer != Answer::Unknown);
        if is_silent && !has_moved && self.repo.is_without_atomic(remote, &edits[0], self.deadline)? {
            self.words.learn(Lesson::NoAtomic);
            return self.publish_in_order(edits, decides);
        }
        if !is_silent && !has_moved && edits.len() > ALWAYS_TAKEN && !self.words.has_taken(edits.len()) {
            // Refused as a whole, and they may only be too many. If that was not it, it is not tried again.
            let answers = self.publish_in_order(edits, decides)?;
            if !answers[decides].is_yes() {
                self.words.took(edits.len());
            }
            return Ok(answers);
        }
        Ok(answers)
    }

    /// Makes the edits in one atomic push without a look at the hub before, and only where the refs `still` stand there as they
    /// are known here: git compares them with what the hub lists as this very push begins, and sends nothing where one of them
    /// differs. So nothing is written to a hub that forgot what it had. What was not made is for a sync to settle.
    pub fn publish_at_once(&self, edits: &[Edit], still: &[String]) -> Result<AtOnce> {
        let Place::Remote(remote) = &self.place else { return Ok(AtOnce::NotMade) };
        let abilities = self.abilities();
        let is_possible = abilities.atomic != Some(false)
            && edits.len() <= size_of_push(&abilities)
            && edits.iter().all(|edit| self.is_possible(edit, &abilities));
        if edits.is_empty() || !is_possible {
            return Ok(AtOnce::NotMade);
        }
        // What is pushed onto itself moves nothing, and is refused where something else is there.
        let is_moved = |name: &String| edits.iter().any(|edit| edit.name == *name);
        let known = still.iter().filter(|name| !is_moved(name)).filter_map(|name| Some((name, self.known(name)?)));
        let unmoved: Vec<Edit> = known.map(|(name, id)| Edit::new(name, Some(id), Some(id))).collect();
        let Some(answers) = self.push_unmirrored(remote, edits, &unmoved, true)? else {
            if self.repo.is_without_atomic(remote, &edits[0], self.deadline)? {
                self.words.learn(Lesson::NoAtomic);
                return Ok(AtOnce::NotMade);
            }
            return Ok(AtOnce::Unheard);
        };
        self.move_mirror(edits, &answers);
        Ok(if answers.iter().all(Answer::is_yes) { AtOnce::Made } else { AtOnce::NotMade })
    }

    /// Makes the edits as [`Hub::publish`] does, and then looks at what `names` hold on the hub: where one push makes them all,
    /// while the mirror follows.
    pub fn publish_and_look(
        &self,
        edits: &[Edit],
        names: &[String],
    ) -> Result<(Vec<Answer>, HashMap<String, ObjectId>)> {
        let abilities = self.abilities();
        let is_one =
            edits.len() <= size_of_push(&abilities) && edits.iter().all(|edit| self.is_possible(edit, &abilities));
        let remote = match &self.place {
            Place::Remote(remote) if is_one => remote,
            _ => return Ok((self.publish(edits)?, self.look(names)?)),
        };
        let heard = self.push_unmirrored(remote, edits, &[], false)?;
        let is_heard = heard.is_some();
        let answers = heard.unwrap_or_else(|| vec![Answer::Unknown; edits.len()]);
        if answers.iter().all(Answer::is_yes) {
            let apart = self.clone();
            let found = thread::scope(|scope| {
                let look = scope.spawn(move || apart.look(names));
                self.move_mirror(edits, &answers);
                look.join().unwrap_or_else(|panic| resume_unwind(panic))
            })?;
            return Ok((answers, found));
        }
        self.move_mirror(edits, &answers);
        Ok((self.answer_all(edits, answers, is_heard)?, self.look(names)?))
    }

    fn publish_in_order(&self, edits: &[Edit], decides: usize) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(edits.len());
        for part in [&edits[..decides], &edits[decides..=decides], &edits[decides + 1..]] {
            if !answers.iter().all(Answer::is_yes) {
                break;
            }
            answers.extend(self.publish(part)?);
        }
        answers.resize(edits.len(), Answer::Unknown);
        Ok(answers)
    }

    /// Makes the edits as [`Hub::publish`] does, faster where there are many and nothing is in their way: a server takes a
    /// batch as one transaction, and else rewrites its packed refs for each deletion.
    pub fn publish_many(&self, edits: &[Edit]) -> Result<Vec<Answer>> {
        let abilities = self.abilities();
        let possible: Vec<usize> =
            (0..edits.len()).filter(|at| self.is_possible(&edits[*at], &abilities)).collect();
        let size = size_of_push(&abilities);
        let mut answers = vec![Answer::Unknown; edits.len()];
        // A few more than that are no push of their own.
        let spare = if abilities.refs_per_push.is_some() { 0 } else { size / 10 };
        let parts = possible.len().div_ceil(size + spare).max(1);
        for places in possible.chunks(possible.len().div_ceil(parts).max(1)) {
            let part: Vec<Edit> = places.iter().map(|at| edits[*at].clone()).collect();
            let is_worth_it = part.len() > 1 && abilities.atomic != Some(false);
            let together = if is_worth_it { self.publish_atomically(&part, part.len() - 1)? } else { Vec::new() };
            let got = match !together.is_empty() && together.iter().all(Answer::is_yes) {
                true => together,
                false => self.publish(&part)?,
            };
            places.iter().zip(got).for_each(|(at, answer)| answers[*at] = answer);
        }
        Ok(answers)
    }

    /// Makes the edits, each for itself; what the push leaves open is `Unknown`, for a sync that follows to settle.
    pub fn publish_unsettled(&self, edits: &[Edit]) -> Result<Vec<Answer>> {
        Ok(self.publish_heard(edits)?.0)
    }

    /// Does the same, and says whether the hub answered every push of it. What it is known not to do is not tried.
    pub fn publish_heard(&self, edits: &[Edit]) -> Result<(Vec<Answer>, bool)> {
        let (mut answers, mut is_heard) = (vec![Answer::Unknown; edits.len()], true);
        match &self.place {
            Place::Remote(remote) => {
                let abilities = self.abilities();
                let possible: Vec<usize> =
                    (0..edits.len()).filter(|at| self.is_possible(&edits[*at], &abilities)).collect();
                for places in possible.chunks(size_of_push(&abilities)) {
                    let part: Vec<Edit> = places.iter().map(|at| edits[*at].clone()).collect();
                    match self.push(remote, &part, false)? {
                        Some(got) => places.iter().zip(got).for_each(|(at, answer)| answers[*at] = answer),
                        None => is_heard = false,
                    }
                }
            }
            Place::Embedded => {
                for (at, edit) in edits.iter().enumerate() {
                    match self.change_locally(std::slice::from_ref(edit)) {
                        Ok(answer) => answers[at] = answer[0],
                        // What was made before it must be told.
                        Err(_) if answers.iter().any(Answer::is_yes) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok((answers, is_heard))
    }

    /// Says whether the hub is not known to refuse such an edit whatever it holds.
    fn is_possible(&self, edit: &Edit, abilities: &Abilities) -> bool {
        let is_branch = edit.name.starts_with("refs/heads/") && !self.layout.is_ours(&edit.name);
        let allowed = if is_branch { abilities.branch_deletes } else { abilities.deletes };
        edit.new.is_some() || allowed != Some(false)
    }

    /// Tries in parts what was refused as a whole, and takes in what a refusal teaches.
    fn try_apart(&self, edits: &[Edit], answers: &mut [Answer]) -> Result<()> {
        if self.is_embedded() {
            return Ok(());
        }
        let abilities = self.abilities();
        let (kept, gone): (Vec<usize>, Vec<usize>) = (0..edits.len())
            .filter(|at| self.is_possible(&edits[*at], &abilities))
            .partition(|at| edits[*at].new.is_some());
        let all = [&kept[..], &gone[..]].concat();
        if all.len() < 2 || all.iter().any(|at| answers[*at] != Answer::Unknown) {
            self.wonder(edits, &all, answers);
            return Ok(());
        }
        match kept.is_empty() || gone.is_empty() {
            true => self.halve(edits, &all, answers).map(drop),
            false => {
                // A kind that is refused must not take the other with it.
                let is_taken = self.push_part(edits, &kept, answers)? && self.push_part(edits, &gone, answers)?;
                if is_taken && !self.words.has_taken(all.len()) {
                    self.words.saw(Lesson::AtMost(kept.len().max(gone.len())));
                }
                Ok(())
            }
        }
    }

    /// Pushes a part of the edits; says whether all of it was taken.
    fn push_part(&self, edits: &[Edit], places: &[usize], answers: &mut [Answer]) -> Result<bool> {
        let part: Vec<Edit> = places.iter().map(|at| edits[*at].clone()).collect();
        let (mut got, is_heard) = self.publish_heard(&part)?;
        self.settle(&part, &mut got)?;
        places.iter().zip(&got).for_each(|(at, answer)| answers[*at] = *answer);
        if is_heard && places.len() > 1 && got.iter().all(|answer| *answer == Answer::Unknown) {
            return self.halve(edits, places, answers);
        }
        self.wonder(edits, places, answers);
        Ok(got.iter().all(Answer::is_yes))
    }

    fn halve(&self, edits: &[Edit], places: &[usize], answers: &mut [Answer]) -> Result<bool> {
        let (mut rest, mut is_taken) = (places, true);
        // Where nothing can be deleted, each half would be refused down to the last one.
        while let [first, others @ ..] = rest
            && edits[*first].new.is_none()
        {
            rest = others;
            if self.push_part(edits, &[*first], answers)? {
                break;
            }
            is_taken = false;
            if !self.is_possible(&edits[*first], &self.abilities()) {
                return Ok(false);
            }
        }
        let (one, other) = rest.split_at(rest.len() / 2);
        for part in [one, other].into_iter().filter(|part| !part.is_empty()) {
            is_taken &= self.push_part(edits, part, answers)?;
        }
        if is_taken && !self.words.has_taken(places.len()) {
            self.words.saw(Lesson::AtMost(other.len()));
        }
        Ok(is_taken)
    }

    /// Takes in what a hub that answered left as it was.
    fn wonder(&self, edits: &[Edit], places: &[usize], answers: &[Answer]) {
        for at in places.iter().filter(|at| answers[**at] == Answer::Unknown) {
            let edit = &edits[*at];
            match (edit.old, edit.new) {
                (_, None) if edit.name.starts_with("refs/heads/") && !self.layout.is_ours(&edit.name) => {
                    self.words.saw(Lesson::NoBranchDeletes);
                }
                (_, None) => self.words.saw(Lesson::NoDeletes),
                (Some(old), Some(new)) if !self.repo.is_ancestor(old, new) => self.words.saw(Lesson::NoRewinds),
                _ => {}
            }
        }
    }

    /// Pushes once; `None` where the hub answers, and said nothing of any ref.
    pub(super) fn push(&self, remote: &Remote, edits: &[Edit], atomic: bool) -> Result<Option<Vec<Answer>>> {
        let answers = self.push_unmirrored(remote, edits, &[], atomic)?;
        answers.iter().for_each(|answers| self.move_mirror(edits, answers));
        Ok(answers)
    }

    /// Pushes once, beside refs that are not to be moved; the mirror stays where it is.
    fn push_unmirrored(
        &self,
        remote: &Remote,
        edits: &[Edit],
        unmoved: &[Edit],
        atomic: bool,
    ) -> Result<Option<Vec<Answer>>> {
        if edits.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let all = [edits, unmoved].concat();
        let pushed = match self.repo.push(remote, &all, atomic, self.deadline) {
            Ok(pushed) => pushed,
            // It may have got through before it went silent: reading again tells.
            Err(error) if error.is_unreachable() => {
                // One who may read may still not be let in to write: that is how it says no.
                if matches!(error, GitError::Denied { .. }) {
                    self.words.heard(error.to_string());
                }
                return match self.repo.ls_remote(remote, &[self.layout.queue()], self.deadline) {
                    Ok(_) => Ok(None),
                    Err(_) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(words) = pushed.refusal {
            self.words.heard(words);
        }
        let flags: HashMap<&str, PushFlag> =
            pushed.lines.iter().map(|line| (line.to.as_str(), line.flag)).collect();
        let answers: Vec<Answer> = edits
            .iter()
            .map(|edit| match flags.get(edit.name.as_str()) {
                // `=`: the ref held the value already. That is ours only because no two of our commits are alike.
                Some(PushFlag::Rejected) | None => Answer::Unknown,
                Some(_) => Answer::Yes,
            })
            .collect();
        if answers.iter().all(Answer::is_yes) {
            self.words.took(answers.len());
        }
        Ok(Some(answers))
    }

    /// Reads again what is open.
    pub(super) fn settle(&self, edits: &[Edit], answers: &mut [Answer]) -> Result<()> {
        let open: Vec<usize> = (0..edits.len()).filter(|at| answers[*at] == Answer::Unknown).collect();
        let Place::Remote(remote) = &self.place else {
            return Ok(());
        };
        if open.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = open.iter().map(|at| edits[*at].name.clone()).collect();
        // Unreachable now: everything stays unknown, which is the truth.
        let Ok(found) = self.repo.ls_remote(remote, &names, self.deadline) else {
            return Ok(());
        };
        let found: HashMap<String, ObjectId> = found.into_iter().collect();
        for at in open {
            let now = found.get(&edits[at].name).copied();
            answers[at] = judge(&edits[at], now);
        }
        self.move_mirror(edits, answers);
        Ok(())
    }

    fn change_locally(&self, edits: &[Edit]) -> Result<Vec<Answer>> {
        for _ in 0..LOCAL_TRIES {
            match self.repo.change_refs(edits, "git dispatch") {
                Ok(()) => return Ok(vec![Answer::Yes; edits.len()]),
                Err(error @ GitError::Locked { .. }) => return Err(error.into()),
                Err(_) => {}
            }
            let answers: Vec<Answer> =
                edits.iter().map(|edit| judge(edit, self.repo.ref_value(&edit.name))).collect();
            // An expectation that does not hold will not hold a moment later; a busy lock will be free.
            if answers.iter().any(|answer| *answer != Answer::Unknown) {
                return Ok(answers);
            }
        }
        Ok(vec![Answer::Unknown; edits.len()])
    }

    /// Lets the mirror know at once what is known to be on the hub, so that what is read next is not older than what
    /// was just written. It is a cache: where moving it fails, the next sync mends it.
    fn move_mirror(&self, edits: &[Edit], answers: &[Answer]) {
        let made = edits.iter().zip(answers).filter(|(_, answer)| answer.is_yes());
        // Of many it is less work to read all of them.
        let mirror = (edits.len() >= MANY).then(|| self.read_mirror().ok()).flatten();
        let changes: Vec<RefChange> = made
            .filter_map(|(edit, _)| {
                let name = self.local_name(&edit.name);
                let now = match &mirror {
                    Some(mirror) if self.layout.is_mirrored(&name) => mirror.get(&name).copied(),
                    _ => self.repo.ref_value(&name),
                };
                // Task branches are not mirrored, targets are.
                let is_mirrored = name == edit.name || now.is_some();
                (is_mirrored && now != edit.new).then(|| RefChange::new(name, now, edit.new))
            })
            .collect();
        let _ = self.repo.change_own_refs(&changes, "git dispatch: published");
    }
}

/// How many refs go into one push to a hub that can do so much.
fn size_of_push(abilities: &Abilities) -> usize {
    abilities.refs_per_push.unwrap_or(PUSH_SIZE).clamp(1, PUSH_SIZE)
}

/// Judges an edit by what its ref holds now.
fn judge(edit: &Edit, now: Option<ObjectId>) -> Answer {
    if now == edit.new {
        Answer::Yes
    } else if now == edit.old {
        Answer::Unknown
    } else {
        Answer::No { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_that_holds_the_old_value_is_unknown_and_never_a_no() {
        let (old, new, other) = ([b'1'; 40], [b'2'; 40], [b'3'; 40]);
        let id = |hex: &[u8]| ObjectId::from_hex(hex).ok();
        let edit = Edit::new("refs/x", id(&old), id(&new));
        assert_eq!(judge(&edit, id(&new)), Answer::Yes);
        assert_eq!(judge(&edit, id(&old)), Answer::Unknown);
        assert_eq!(judge(&edit, id(&other)), Answer::No { now: id(&other) });
        assert_eq!(judge(&edit, None), Answer::No { now: None });
    }
}
