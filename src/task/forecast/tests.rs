//! Forecasts that can be reckoned by hand, and what holds of all of them.

use proptest::prelude::*;

use super::*;

fn names(count: usize) -> Vec<TaskName> {
    (0..count).map(|at| TaskName::parse(&format!("p/t{at}")).unwrap()).collect()
}

fn work<'a>(name: &'a TaskName, seconds: u64, depends_on: &'a [TaskName]) -> Work<'a> {
    Work { name, seconds, depends_on, labels: &[], executor: "shell", runs: false, on: None }
}

fn crew(slots: usize) -> Crew {
    Crew { slots, labels: BTreeSet::new(), executors: ["shell".to_owned()].into() }
}

#[test]
fn slots_work_side_by_side() {
    let names = names(4);
    let tasks: Vec<Work<'_>> = names.iter().map(|name| work(name, 60, &[])).collect();
    let seconds = |crews: &[Crew]| foresee(&tasks, crews).seconds;
    assert_eq!(seconds(&[crew(1)]), Some(240));
    assert_eq!(seconds(&[crew(2)]), Some(120));
    assert_eq!(seconds(&[crew(1), crew(2)]), Some(120), "three at once, and then the last");
    assert_eq!(foresee(&tasks, &[]), Forecast { seconds: None, counted: 0, left_out: 4 });
}

#[test]
fn what_depends_comes_after_and_what_runs_is_half_done() {
    let names = names(3);
    let (on_0, on_1) = ([names[0].clone()], [names[1].clone()]);
    let mut tasks = vec![work(&names[0], 30, &[]), work(&names[1], 60, &on_0), work(&names[2], 10, &on_1)];
    (tasks[0].runs, tasks[0].on) = (true, Some(0));
    assert_eq!(foresee(&tasks, &[crew(9)]).seconds, Some(100));
    let (chain, seconds) = longest_chain(&tasks).unwrap();
    assert_eq!((chain, seconds), (names.iter().collect(), 100));
}

#[test]
fn what_no_node_can_do_is_left_out_with_what_waits_for_it() {
    let names = names(4);
    let (gpu, on_1) = (["gpu".to_owned()], [names[1].clone()]);
    let mut tasks = vec![work(&names[0], 60, &[]), work(&names[1], 60, &[]), work(&names[2], 60, &on_1)];
    tasks[1].labels = &gpu;
    tasks.push(Work { executor: "agent", ..work(&names[3], 60, &[]) });
    assert_eq!(foresee(&tasks, &[crew(4)]), Forecast { seconds: Some(60), counted: 1, left_out: 3 });
    let mut able = crew(1);
    able.labels.insert("gpu".to_owned());
    assert_eq!(foresee(&tasks, &[crew(4), able]), Forecast { seconds: Some(120), counted: 3, left_out: 1 });
}

#[test]
fn what_is_meant_for_one_node_waits_for_that_one() {
    let names = names(2);
    let mut tasks = vec![work(&names[0], 60, &[]), work(&names[1], 60, &[])];
    for task in &mut tasks {
        task.on = Some(1);
    }
    assert_eq!(foresee(&tasks, &[crew(5), crew(1)]).seconds, Some(120));
}

#[test]
fn the_pace_is_a_median_and_takes_some_runs() {
    let run = |ratio: f64| (Some(100.0), 100.0 * ratio);
    assert_eq!(Pace::of(&[run(2.0), run(2.0)]), Pace { factor: None, runs: 2, usual: None });
    let one_hung = [run(2.0), run(1.5), run(1.8), run(1000.0), run(1.9)];
    assert_eq!(Pace::of(&one_hung), Pace { factor: Some(1.9), runs: 5, usual: None });
    let mixed = Pace::of(&[
        run(1.0),
        run(2.0),
        run(4.0),
        run(3.0),
        (None, 5.0),
        (None, 7.0),
        (None, 60.0),
        (Some(0.0), 9.0),
    ]);
    assert_eq!(mixed, Pace { factor: Some(2.5), runs: 4, usual: Some(7.0) });
    assert_eq!((mixed.seconds(Some(60.0), 1800.0), mixed.seconds(None, 1800.0)), (150.0, 7.0));
    let fresh = Pace::default();
    assert_eq!((fresh.seconds(Some(60.0), 1800.0), fresh.seconds(None, 1800.0)), (60.0, 1800.0));
}

#[test]
fn a_circle_ends_the_chain() {
    let names = names(2);
    let (on_0, on_1) = ([names[0].clone()], [names[1].clone()]);
    let tasks = [work(&names[0], 1, &on_1), work(&names[1], 2, &on_0)];
    assert_eq!(foresee(&tasks, &[crew(1)]).left_out, 2);
    assert!(longest_chain(&tasks).is_some());
}

proptest! {
    #[test]
    fn no_forecast_beats_the_longest_chain_or_the_work_per_slot(
        lengths in proptest::collection::vec((1u64..100, proptest::collection::vec(0usize..40, 0..3)), 1..40),
        slots in 1usize..6,
    ) {
        let names = names(lengths.len());
        let depends_on: Vec<Vec<TaskName>> = lengths
            .iter()
            .enumerate()
            .map(|(at, (_, on))| on.iter().filter(|on| **on < at).map(|on| names[*on].clone()).collect())
            .collect();
        let tasks: Vec<Work<'_>> =
            lengths.iter().enumerate().map(|(at, (seconds, _))| work(&names[at], *seconds, &depends_on[at])).collect();
        let forecast = foresee(&tasks, &[crew(slots)]);
        let total: u64 = lengths.iter().map(|(seconds, _)| seconds).sum();
        let chain = longest_chain(&tasks).unwrap().1;
        let seconds = forecast.seconds.unwrap();
        prop_assert_eq!((forecast.counted, forecast.left_out), (tasks.len(), 0));
        prop_assert!(seconds >= chain && seconds >= total.div_ceil(slots as u64) && seconds <= total);
        // Graham's bound of every schedule that leaves no slot idle without need.
        prop_assert!(seconds <= total.div_ceil(slots as u64) + chain);
    }
}
