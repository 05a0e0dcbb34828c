//! Throughput over time, and what was estimated against what it took.

use super::axis::Axis;
use super::html::Html;
use super::{said, span};
use crate::protocol::chronicle::{Chronicle, Entry};

/// In how many pieces of time attempts are counted.
const PIECES: usize = 40;
const LEFT: f64 = 44.0;
const WIDTH: f64 = 520.0;
const TOP: f64 = 14.0;
const HEIGHT: f64 = 200.0;

pub(super) fn throughput(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<section id=\"throughput\" aria-labelledby=\"h-throughput\"><h2 id=\"h-throughput\">Throughput</h2>");
    let Some(span) = span(chronicle) else {
        page.raw("<p class=\"none\">Nothing was begun yet.</p></section>");
        return;
    };
    let axis = Axis::new(span, LEFT, WIDTH);
    let mut counts = [(0usize, 0usize); PIECES];
    for attempt in chronicle.tasks.iter().flat_map(|task| &task.attempts) {
        let Some(ended) = attempt.ended else { continue };
        let count = &mut counts[axis.bucket(ended, PIECES)];
        if attempt.outcome == "completed" { count.0 += 1 } else { count.1 += 1 }
    }
    let most = counts.iter().map(|(good, bad)| good + bad).max().unwrap_or(0).max(1);
    let good: usize = counts.iter().map(|(good, _)| good).sum();
    page.raw("<p class=\"hint\">Attempts that ended, each column ").text(&said(axis.bucket_seconds(PIECES)));
    page.raw("; the line is the sum of those that completed, ").int(good).raw(" in all.</p>");
    ground(page, "Attempts that ended, over time");
    for part in [most / 2, most] {
        let y = TOP + HEIGHT * (1.0 - part as f64 / most as f64);
        if part > 0 {
            level(page, y, &part.to_string());
        }
    }
    for (x, name) in axis.marks(6) {
        page.raw("<text class=\"tick\" text-anchor=\"middle\" y=\"232\" x=\"")
            .num(x)
            .raw("\">")
            .text(&name)
            .raw("</text>");
    }
    let step = WIDTH / PIECES as f64;
    let tall = |count: usize| HEIGHT * count as f64 / most as f64;
    for (at, (good, bad)) in counts.iter().enumerate().filter(|(_, (good, bad))| good + bad > 0) {
        let x = LEFT + step * at as f64;
        for (count, below, class) in [(*good, 0.0, "o-completed"), (*bad, tall(*good), "o-failed")] {
            if count > 0 {
                page.raw("<rect class=\"")
                    .raw(class)
                    .raw("\" rx=\"1\" x=\"")
                    .num(x + 1.0)
                    .raw("\" width=\"")
                    .num(step - 2.0);
                page.raw("\" y=\"").num(TOP + HEIGHT - below - tall(count)).raw("\" height=\"").num(tall(count));
                page.raw("\"><title>")
                    .text(&axis.bucket_begins(at, PIECES).strftime("%m-%d %H:%M").to_string())
                    .raw(": ");
                page.int(*good).raw(" completed, ").int(*bad).raw(" not</title></rect>");
            }
        }
    }
    sum(page, &counts);
    page.raw("</svg></section>");
}

/// What completed up to each moment, as a line that ends at the top.
fn sum(page: &mut Html, counts: &[(usize, usize)]) {
    let all: usize = counts.iter().map(|(good, _)| good).sum();
    page.raw("<polyline class=\"sum\" points=\"");
    let mut sum = 0;
    for (at, (count, _)) in counts.iter().enumerate() {
        sum += count;
        page.num(LEFT + WIDTH / PIECES as f64 * (at as f64 + 1.0)).raw(",");
        page.num(TOP + HEIGHT * (1.0 - sum as f64 / all.max(1) as f64)).raw(" ");
    }
    page.raw("\"/>");
}

pub(super) fn estimates(page: &mut Html, chronicle: &Chronicle) {
    page.raw("<section id=\"estimates\" aria-labelledby=\"h-estimates\"><h2 id=\"h-estimates\">Estimates</h2>");
    let measured =
        |(at, task): (usize, &'_ Entry)| Some((at, task.estimate.filter(|all| *all > 0.0)?, task.took?.max(0.1)));
    let points: Vec<(usize, f64, f64)> = chronicle.tasks.iter().enumerate().filter_map(measured).collect();
    if points.is_empty() {
        page.raw("<p class=\"none\">No task with an estimate has been done yet.</p></section>");
        return;
    }
    page.raw("<p class=\"hint\">Across: what was estimated; up: what it took. On the line the two are the same");
    if let Some(factor) = chronicle.pace.factor {
        page.raw("; the dashed line is the median, ").text(&format!("{factor:.2}")).raw(" times the estimate");
    }
    page.raw(".</p>");
    let both = || points.iter().flat_map(|(_, estimate, took)| [*estimate, *took]);
    let low = both().fold(f64::INFINITY, f64::min).log10().floor();
    let high = both().fold(0.1, f64::max).log10().ceil().max(low + 1.0);
    let part = |seconds: f64| ((seconds.log10() - low) / (high - low)).clamp(0.0, 1.0);
    let (x, y) = (|seconds: f64| LEFT + WIDTH * part(seconds), |seconds: f64| TOP + HEIGHT * (1.0 - part(seconds)));
    ground(page, "Estimated time against the time that it took");
    for (seconds, name) in MARKS.iter().filter(|(seconds, _)| (low..=high).contains(&seconds.log10())) {
        level(page, y(*seconds), name);
        page.raw("<text class=\"tick\" text-anchor=\"middle\" y=\"232\" x=\"")
            .num(x(*seconds))
            .raw("\">")
            .raw(name)
            .raw("</text>");
    }
    let (least, most) = (10f64.powf(low), 10f64.powf(high));
    let factors = [(Some(1.0), "same"), (chronicle.pace.factor.filter(|factor| *factor > 0.0), "median")];
    for (factor, class) in factors {
        // A line of one slope leaves the square where one of the two is at its edge.
        let Some(factor) = factor else { continue };
        let (from, to) = (least.max(least / factor), most.min(most / factor));
        if from < to {
            page.raw("<line class=\"")
                .raw(class)
                .raw("\" x1=\"")
                .num(x(from))
                .raw("\" y1=\"")
                .num(y(from * factor));
            page.raw("\" x2=\"").num(x(to)).raw("\" y2=\"").num(y(to * factor)).raw("\"/>");
        }
    }
    for (at, estimate, took) in points {
        let task = &chronicle.tasks[at];
        page.raw("<a href=\"#t-")
            .int(at)
            .raw("\" tabindex=\"-1\" data-t=\"")
            .int(at)
            .raw("\"><circle class=\"point\" r=\"4\" cx=\"");
        page.num(x(estimate)).raw("\" cy=\"").num(y(took)).raw("\"/><title>").text(&task.name).raw("\nestimated ");
        page.text(&said(estimate)).raw(", took ").text(&said(took)).raw("</title></a>");
    }
    page.raw("</svg></section>");
}

const MARKS: &[(f64, &str)] = &[
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3600.0, "1 h"),
    (36_000.0, "10 h"),
    (360_000.0, "4 days"),
];

fn ground(page: &mut Html, label: &'static str) {
    page.raw("<svg class=\"chart\" viewBox=\"0 0 580 240\" role=\"img\" aria-label=\"").raw(label).raw("\">");
    page.raw("<line class=\"axis\" x1=\"44\" x2=\"564\" y1=\"214\" y2=\"214\"/>");
}

fn level(page: &mut Html, y: f64, name: &str) {
    page.raw("<line class=\"grid\" x1=\"44\" x2=\"564\" y1=\"").num(y).raw("\" y2=\"").num(y).raw("\"/>");
    page.raw("<text class=\"tick\" text-anchor=\"end\" x=\"38\" y=\"")
        .num(y + 4.0)
        .raw("\">")
        .text(name)
        .raw("</text>");
}
