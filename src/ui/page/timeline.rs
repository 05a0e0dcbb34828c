//! Who did what when: a lane for each slot of each node, a bar for each attempt, and above them how much waited.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::axis::Axis;
use super::html::Html;
use super::{minute, said, span};
use crate::protocol::chronicle::{Chronicle, Entry};
use crate::task::State;
use crate::task::attempt::Attempt;
use crate::task::text::excerpt;

const LEFT: f64 = 130.0;
const WIDTH: f64 = 1050.0;
const LANE: f64 = 18.0;
/// The height of what shows the waiting, with its gap.
const WAITING: f64 = 64.0;
const TOP: f64 = 24.0;
/// In how many pieces the waiting is looked at.
const PIECES: usize = 240;

/// What outcomes are called, in the order of the legend.
const OUTCOMES: &[&str] = &["completed", "failed", "lost", "released", "cancelled", "running"];

struct Bar<'a> {
    at: usize,
    task: &'a Entry,
    attempt: &'a Attempt,
    end: Timestamp,
}

pub(super) fn write(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<section id=\"timeline\" aria-labelledby=\"h-timeline\"><h2 id=\"h-timeline\">Timeline</h2>");
    let Some((from, to)) = span(chronicle) else {
        page.raw("<p class=\"none\">Nothing was begun yet.</p></section>");
        return;
    };
    let axis = Axis::new((from, to), LEFT, WIDTH);
    let nodes = lanes(chronicle);
    let count: usize = nodes.values().map(Vec::len).sum();
    page.raw("<p class=\"hint\">A bar is an attempt, a lane a slot of its node; the thin line before a bar is ");
    page.raw("time that its task waited. The table below tells the same in words.</p>");
    legend(page, chronicle);
    let height = TOP + WAITING + count as f64 * LANE + nodes.len() as f64 * 8.0 + 8.0;
    page.raw("<div class=\"wide\"><svg class=\"timeline\" viewBox=\"0 0 1200 ").num(height);
    page.raw("\" role=\"img\" aria-label=\"Attempts over time, ").int(count).raw(" lanes on ").int(nodes.len());
    page.raw(" nodes\">");
    for (x, name) in axis.marks(9) {
        page.raw("<line class=\"grid\" y1=\"18\" x1=\"").num(x).raw("\" x2=\"").num(x).raw("\" y2=\"").num(height);
        // The last one would stand out of the picture.
        let middle = x.min(LEFT + WIDTH - 8.0);
        page.raw("\"/><text class=\"tick\" y=\"12\" text-anchor=\"middle\" x=\"")
            .num(middle)
            .raw("\">")
            .text(&name)
            .raw("</text>");
    }
    waiting(page, chronicle, &axis);
    let mut y = TOP + WAITING;
    for (name, lanes) in &nodes {
        node(page, &axis, name, lanes, (y, from));
        y += lanes.len() as f64 * LANE + 8.0;
    }
    page.raw("</svg></div></section>");
}

/// One node's lanes; `y` is the top of the first, `from` when the picture begins.
fn node(page: &mut Html, axis: &Axis, name: &str, lanes: &[Lane<'_>], (mut y, from): (f64, Timestamp)) {
    page.raw("<text class=\"node\" x=\"0\" y=\"").num(y + 13.0).raw("\">").text(&excerpt(name, 16)).raw("<title>");
    page.text(name).raw("</title></text>");
    for lane in lanes {
        if let Some(slot) = lane.slot.filter(|_| lanes.len() > 1) {
            page.raw("<text class=\"tick\" text-anchor=\"end\" x=\"122\" y=\"").num(y + 12.5).raw("\">");
            page.int(slot as usize).raw("<title>slot ").int(slot as usize).raw("</title></text>");
        }
        page.raw("<line class=\"lane\" x1=\"130\" x2=\"1180\" y1=\"").num(y + LANE / 2.0).raw("\" y2=\"");
        page.num(y + LANE / 2.0).raw("\"/>");
        let mut free = from;
        for bar in &lane.bars {
            write_bar(page, axis, bar, y, free);
            free = bar.end;
        }
        y += LANE;
    }
}

fn legend(page: &mut Html, chronicle: &Chronicle) {
    let is_there = |outcome: &&&str| {
        chronicle.tasks.iter().flat_map(|task| &task.attempts).any(|attempt| attempt.outcome == **outcome)
    };
    page.raw("<ul class=\"legend\">");
    for outcome in OUTCOMES.iter().filter(is_there) {
        page.raw("<li><i class=\"dot o-").text(outcome).raw("\"></i>").text(outcome).raw("</li>");
    }
    page.raw("<li><i class=\"dot w\"></i>waiting</li></ul>");
}

/// What one slot of a node did: its number, as far as it is told.
#[derive(Default)]
struct Lane<'a> {
    slot: Option<u32>,
    bars: Vec<Bar<'a>>,
}

impl Lane<'_> {
    fn is_free(&self, bar: &Bar<'_>) -> bool {
        self.bars.iter().all(|other| other.end <= bar.attempt.begun || bar.end <= other.attempt.begun)
    }
}

/// The lanes of each node: one for each slot that is told of. What is not told of a slot stands where there is room.
fn lanes(chronicle: &Chronicle) -> BTreeMap<&str, Vec<Lane<'_>>> {
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for (at, task) in chronicle.tasks.iter().enumerate() {
        for attempt in &task.attempts {
            bars.push(Bar { at, task, attempt, end: attempt.ended.unwrap_or(chronicle.at) });
        }
    }
    // Those whose slot is known first: the others stand beside them.
    bars.sort_by_key(|bar| (bar.attempt.slot.is_none(), bar.attempt.slot, bar.attempt.begun, bar.at));
    let mut nodes: BTreeMap<&str, Vec<Lane<'_>>> = BTreeMap::new();
    for bar in bars {
        let lanes = nodes.entry(bar.attempt.node.as_str()).or_default();
        let fits = |lane: &&mut Lane<'_>| match bar.attempt.slot {
            Some(slot) => lane.slot == Some(slot),
            None => lane.is_free(&bar),
        };
        match lanes.iter_mut().find(fits) {
            Some(lane) => lane.bars.push(bar),
            None => lanes.push(Lane { slot: bar.attempt.slot, bars: vec![bar] }),
        }
    }
    for lane in nodes.values_mut().flatten() {
        lane.bars.sort_by_key(|bar| (bar.attempt.begun, bar.at));
    }
    nodes
}

fn write_bar(page: &mut Html, axis: &Axis, bar: &Bar<'_>, y: f64, free: Timestamp) {
    let (left, right) = (axis.at(bar.attempt.begun), axis.at(bar.end));
    // Of the first attempt, from when it could have begun; never over the bar before.
    let ready = bar.task.ready_at.filter(|_| bar.attempt.number == 1).map(|ready| axis.at(ready.max(free)));
    if let Some(ready) = ready.filter(|ready| left - ready > 0.5) {
        page.raw("<line class=\"w\" x1=\"")
            .num(ready)
            .raw("\" x2=\"")
            .num(left)
            .raw("\" y1=\"")
            .num(y + LANE / 2.0);
        page.raw("\" y2=\"").num(y + LANE / 2.0).raw("\"/>");
    }
    page.raw("<a href=\"#t-")
        .int(bar.at)
        .raw("\" tabindex=\"-1\" data-t=\"")
        .int(bar.at)
        .raw("\"><rect class=\"bar o-");
    page.text(&bar.attempt.outcome).raw("\" rx=\"2\" height=\"14\" x=\"").num(left).raw("\" y=\"").num(y + 2.0);
    page.raw("\" width=\"").num((right - left).max(1.5)).raw("\"/><title>").text(&bar.task.name);
    page.raw(": ").text(&excerpt(&bar.task.title, 80)).raw("\nattempt ").int(bar.attempt.number as usize).raw(", ");
    page.text(&bar.attempt.outcome);
    if let Some(reason) = bar.attempt.reason {
        page.raw(" (").text(&reason.to_string()).raw(")");
    }
    let seconds = bar.end.duration_since(bar.attempt.begun).as_secs_f64();
    page.raw("\n").text(&minute(bar.attempt.begun)).raw(", ").text(&said(seconds)).raw("</title></a>");
}

/// How many tasks could have begun and had not, over time.
fn waiting(page: &mut Html, chronicle: &Chronicle, axis: &Axis) {
    let mut counts = vec![0usize; PIECES];
    for task in &chronicle.tasks {
        let Some(ready) = task.ready_at else { continue };
        let until = match (task.attempts.first(), task.state) {
            (Some(first), _) => first.begun,
            (None, Some(State::Pending | State::Assigned)) => chronicle.at,
            _ => continue,
        };
        if until > ready {
            let (from, to) = (axis.bucket(ready, PIECES), axis.bucket(until, PIECES));
            counts[from..to.max(from + 1).min(PIECES)].iter_mut().for_each(|count| *count += 1);
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    page.raw("<text class=\"node\" x=\"0\" y=\"54\">waiting</text><text class=\"tick\" x=\"0\" y=\"68\">at most ")
        .int(most);
    page.raw("</text><path class=\"waiting\" d=\"M130 76");
    let height = |count: usize| 76.0 - 48.0 * count as f64 / most.max(1) as f64;
    for (at, count) in counts.iter().enumerate() {
        let x = LEFT + WIDTH * at as f64 / PIECES as f64;
        page.raw(" L").num(x).raw(" ").num(height(*count)).raw(" L").num(x + WIDTH / PIECES as f64).raw(" ");
        page.num(height(*count));
    }
    page.raw(" L1180 76 Z\"/>");
}
