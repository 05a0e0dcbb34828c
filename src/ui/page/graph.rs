//! What depends on what: tasks in layers from left to right, with their states and the chain that takes longest.

use std::collections::{BTreeSet, HashMap};

use super::html::Html;
use super::link_to;
use crate::protocol::chronicle::{Chronicle, Entry};
use crate::task::text::{excerpt, lasting};

/// Up to so many tasks have a box with their name; more are dots.
const NAMED: usize = 160;

/// Up to this width it is made to fit the page.
const FITS: f64 = 1700.0;

/// How tasks are drawn.
#[derive(Debug, Clone, Copy)]
struct Look {
    width: f64,
    height: f64,
    across: f64,
    down: f64,
    /// A layer with more than so many goes on in the next column.
    rows: usize,
    named: bool,
}

const BOXES: Look = Look { width: 132.0, height: 24.0, across: 190.0, down: 32.0, rows: 40, named: true };
const DOTS: Look = Look { width: 9.0, height: 9.0, across: 46.0, down: 13.0, rows: 60, named: false };

pub(super) fn write(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<section id=\"graph\" aria-labelledby=\"h-graph\"><h2 id=\"h-graph\">Dependencies</h2>");
    let tasks = &chronicle.tasks;
    let linked = linked(tasks);
    if linked.is_empty() {
        page.raw("<p class=\"none\">No task depends on another.</p></section>");
        return;
    }
    path(page, chronicle);
    let alone = tasks.len() - linked.len();
    let look = if linked.len() <= NAMED { BOXES } else { DOTS };
    let places = places(tasks, &linked, look);
    let right = places.values().map(|(x, _)| *x).fold(0.0, f64::max) + look.width + 10.0;
    let bottom = places.values().map(|(_, y)| *y).fold(0.0, f64::max) + look.height + 10.0;
    // What is a little too wide is drawn smaller; what is much too wide is scrolled.
    page.raw("<div class=\"wide\"><svg class=\"graph")
        .raw(if right < FITS { " fits" } else { "" })
        .raw("\" viewBox=\"0 0 ")
        .num(right)
        .raw(" ")
        .num(bottom)
        .raw("\" width=\"");
    page.num(right)
        .raw("\" height=\"")
        .num(bottom)
        .raw("\" role=\"img\" aria-label=\"Dependencies of ")
        .int(linked.len());
    page.raw(" tasks\">");
    let on_path = steps(chronicle);
    for at in &linked {
        let task = &tasks[*at];
        for from in &task.depends_on {
            edge(
                page,
                &places,
                (*from, *at),
                look,
                if on_path.contains(&(*from, *at)) { "edge way" } else { "edge" },
            );
        }
        if let Some(of) = task.repairs {
            edge(page, &places, (of, *at), look, "edge mend");
        }
    }
    let way: BTreeSet<usize> = chronicle.path.iter().flat_map(|(path, _)| path.iter().copied()).collect();
    for at in &linked {
        node(page, &places, *at, &tasks[*at], look, way.contains(at));
    }
    page.raw("</svg></div>");
    if alone > 0 {
        page.raw("<p class=\"hint\">").int(alone).raw(" tasks neither depend on others nor are depended on.</p>");
    }
    page.raw("</section>");
}

/// The chain that takes longest, in words.
fn path(page: &mut Html, chronicle: &Chronicle) {
    let Some((path, seconds)) = &chronicle.path else { return };
    page.raw("<p class=\"hint\">The chain that takes longest, however many nodes there are: <b>")
        .text(&lasting(*seconds));
    page.raw("</b>, ");
    for (nth, at) in path.iter().take(12).enumerate() {
        if nth > 0 {
            page.raw(" › ");
        }
        link_to(page, *at, &chronicle.tasks[*at]);
    }
    if path.len() > 12 {
        page.raw(" and ").int(path.len() - 12).raw(" more");
    }
    page.raw(".</p>");
}

fn steps(chronicle: &Chronicle) -> BTreeSet<(usize, usize)> {
    chronicle.path.iter().flat_map(|(path, _)| path.windows(2).map(|pair| (pair[0], pair[1]))).collect()
}

/// The tasks that have to do with others.
fn linked(tasks: &[Entry]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (at, task) in tasks.iter().enumerate() {
        for other in task.depends_on.iter().chain(&task.repairs) {
            found.extend([at, *other]);
        }
    }
    found
}

/// Finds the layer of each task: one behind the last of those that it follows.
fn layers(tasks: &[Entry], linked: &BTreeSet<usize>) -> HashMap<usize, usize> {
    let mut layer: HashMap<usize, usize> = linked.iter().map(|at| (*at, 0)).collect();
    // Most tasks stand behind what they depend on already; tasks on a circle, which enqueue refuses, stop it at the bound.
    for _ in 0..linked.len().min(500) {
        let mut moved = false;
        for at in linked {
            let task = &tasks[*at];
            let before = task.depends_on.iter().chain(&task.repairs).filter_map(|other| layer.get(other));
            let wanted = before.max().map_or(0, |layer| layer + 1);
            if wanted > layer[at] && wanted <= linked.len() {
                layer.insert(*at, wanted);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    layer
}

/// Where each task stands: within its layer beside what it depends on.
fn places(tasks: &[Entry], linked: &BTreeSet<usize>, look: Look) -> HashMap<usize, (f64, f64)> {
    let layer = layers(tasks, linked);
    let mut by_layer: Vec<Vec<usize>> = vec![Vec::new(); layer.values().max().map_or(0, |last| last + 1)];
    for at in linked {
        by_layer[layer[at]].push(*at);
    }
    let mut places: HashMap<usize, (f64, f64)> = HashMap::new();
    let mut x = 6.0;
    for members in &mut by_layer {
        let middle = |at: &usize| {
            let before: Vec<f64> = tasks[*at]
                .depends_on
                .iter()
                .chain(&tasks[*at].repairs)
                .filter_map(|other| places.get(other).map(|(_, y)| *y))
                .collect();
            let sum: f64 = before.iter().sum();
            if before.is_empty() { *at as f64 } else { sum / before.len() as f64 }
        };
        let mut order: Vec<(f64, usize)> = members.iter().map(|at| (middle(at), *at)).collect();
        order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        for (nth, (_, at)) in order.iter().enumerate() {
            let column = nth / look.rows;
            let narrow = look.width + if look.named { 14.0 } else { 6.0 };
            places.insert(*at, (x + column as f64 * narrow, 6.0 + (nth % look.rows) as f64 * look.down));
        }
        let columns = members.len().div_ceil(look.rows).max(1);
        x += look.across + (columns - 1) as f64 * (look.width + 14.0);
    }
    places
}

fn edge(
    page: &mut Html,
    places: &HashMap<usize, (f64, f64)>,
    (from, to): (usize, usize),
    look: Look,
    class: &'static str,
) {
    let (Some((x1, y1)), Some((x2, y2))) = (places.get(&from), places.get(&to)) else { return };
    let (x1, y1, y2) = (x1 + look.width, y1 + look.height / 2.0, y2 + look.height / 2.0);
    let bend = ((x2 - x1) / 2.0).abs().max(12.0);
    page.raw("<path class=\"")
        .raw(class)
        .raw("\" d=\"M")
        .num(x1)
        .raw(" ")
        .num(y1)
        .raw(" C")
        .num(x1 + bend)
        .raw(" ");
    page.num(y1).raw(" ").num(x2 - bend).raw(" ").num(y2).raw(" ").num(*x2).raw(" ").num(y2).raw("\"/>");
}

fn node(page: &mut Html, places: &HashMap<usize, (f64, f64)>, at: usize, task: &Entry, look: Look, on_way: bool) {
    let Some((x, y)) = places.get(&at).copied() else { return };
    let state = task.state.map_or("unknown", |state| state.as_str());
    page.raw("<a href=\"#t-").int(at).raw("\" tabindex=\"-1\" data-t=\"").int(at).raw("\" class=\"node-of");
    page.raw(if on_way { " way" } else { "" }).raw("\"><rect rx=\"4\" class=\"s-").text(state);
    page.raw("\" x=\"").num(x).raw("\" y=\"").num(y).raw("\" width=\"").num(look.width).raw("\" height=\"");
    page.num(look.height).raw("\"/>");
    if look.named {
        page.raw("<text x=\"").num(x + 8.0).raw("\" y=\"").num(y + 16.0).raw("\">");
        let id = task.name.split_once('/').map_or(task.name.as_str(), |(_, id)| id);
        page.text(&excerpt(id, 18)).raw("</text>");
    }
    page.raw("<title>").text(&task.name).raw(": ").text(&excerpt(&task.title, 80)).raw("\n").text(state);
    if let Some(blocked) = &task.blocked {
        page.raw(", blocked by ").text(blocked);
    }
    page.raw("</title></a>");
}
