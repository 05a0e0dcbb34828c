//! The machine, event by event: what a node does next, told without a hub, a clock or a thread.

use super::*;
use crate::node::liveness::Beat;

const POLL: Duration = Duration::from_secs(10);
const POLL_MAX: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        slots: 3,
        max: None,
        watch: true,
        poll: POLL,
        poll_max: POLL_MAX,
        heartbeat: Duration::from_secs(60),
        max_beats_per_minute: 30,
    }
}

fn task(number: usize) -> TaskName {
    TaskName::parse(&format!("p/S{number:02}")).unwrap()
}

fn claim(number: usize) -> ObjectId {
    ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap()
}

fn at(second: u64) -> Moment {
    Duration::from_secs(second)
}

/// A view in which so many tasks are ready and these claims are tips.
fn seen(ready: usize, tips: &[usize]) -> View {
    View {
        ready: (1..=ready).map(task).collect(),
        tips: tips.iter().copied().map(claim).collect(),
        fleet: 1,
        jitter: 0.5,
        ..View::default()
    }
}

fn won(numbers: &[usize]) -> Event {
    let won = numbers.iter().map(|number| (task(*number), claim(*number))).collect();
    Event::Claimed { won, set_aside: Vec::new(), refused: false }
}

fn refused() -> Event {
    Event::Claimed { won: Vec::new(), set_aside: Vec::new(), refused: true }
}

/// A node that holds these claims, at second 1.
fn holding(settings: Settings, numbers: &[usize]) -> Machine {
    let (mut machine, _) = Machine::new(settings);
    machine.step(at(0), Event::Synced(seen(numbers.len(), &[])));
    machine.step(at(0), won(numbers));
    machine.step(at(1), Event::Synced(seen(0, numbers)));
    machine
}

/// Lets the attempt in a slot end; says what follows.
fn end(machine: &mut Machine, now: Moment, slot: usize, well: bool, took: u64) -> Vec<Effect> {
    assert!(machine.step(now, Event::Ended { slot }).contains(&Effect::Settle { slot }));
    machine.step(now, Event::Settled { slot, well, took: at(took) })
}

fn claimed(effects: &[Effect]) -> Option<usize> {
    effects.iter().find_map(|effect| match effect {
        Effect::Claim { tasks, .. } => Some(tasks.len()),
        _ => None,
    })
}

#[test]
fn all_free_slots_are_claimed_for_in_one_effect() {
    let (mut machine, effects) = Machine::new(settings());
    assert_eq!(effects, [Effect::Sync]);
    let effects = machine.step(at(0), Event::Synced(seen(9, &[])));
    assert!(
        effects.contains(&Effect::Claim { tasks: vec![task(1), task(2), task(3)], over: vec![] }),
        "{effects:?}"
    );
    let effects = machine.step(at(0), won(&[1, 3]));
    let started =
        [(1, 1), (2, 3)].map(|(slot, number)| Effect::Start { slot, task: task(number), claim: claim(number) });
    assert!(started.iter().all(|start| effects.contains(start)), "{effects:?}");
    let effects = machine.step(at(0), Event::Looked(seen(9, &[1, 3])));
    assert_eq!(
        effects,
        [Effect::Claim { tasks: vec![task(2)], over: vec![] }],
        "what it holds is not claimed again"
    );
}

#[test]
fn max_bounds_what_is_begun_and_then_it_leaves() {
    let mut machine = holding(Settings { max: Some(1), ..settings() }, &[1]);
    assert_eq!(claimed(&machine.step(at(2), Event::Synced(seen(9, &[1])))), None);
    end(&mut machine, at(3), 1, true, 60);
    assert!(machine.step(at(4), Event::Synced(seen(9, &[]))).contains(&Effect::Leave));
}

#[test]
fn the_first_signal_drains_and_the_second_stops() {
    let mut machine = holding(settings(), &[1, 2]);
    let effects = machine.step(at(2), Event::Signal(1));
    assert_eq!(effects, [Effect::Tell(Said::Draining), Effect::Beat]);
    assert_eq!(machine.state(), "draining");
    assert_eq!(claimed(&machine.step(at(3), Event::Synced(seen(9, &[1, 2])))), None, "it takes no more");
    assert_eq!(machine.step(at(4), Event::Signal(2)), [Effect::Stop { slot: 1 }, Effect::Stop { slot: 2 }]);
    assert_eq!(machine.step(at(4), Event::Signal(3)), [], "a slot is stopped once");
    assert_eq!(end(&mut machine, at(5), 1, true, 60), [Effect::Look]);
    assert_eq!(machine.step(at(5), Event::Looked(seen(9, &[]))), [], "the other slot is still to end");
    end(&mut machine, at(6), 2, true, 60);
    assert_eq!(machine.step(at(6), Event::Looked(seen(9, &[]))), [Effect::Leave]);
    assert_eq!((machine.state(), machine.step(at(7), Event::Time)), ("stopped", Vec::new()));
}

#[test]
fn an_idle_node_leaves_at_the_first_signal() {
    let mut machine = holding(settings(), &[]);
    assert_eq!(machine.step(at(2), Event::Signal(1)), [Effect::Leave]);
}

#[test]
fn a_paused_node_finishes_what_it_has_and_claims_nothing() {
    let mut machine = holding(settings(), &[1]);
    let paused = View { paused: true, ..seen(9, &[1]) };
    let effects = machine.step(at(2), Event::Synced(paused.clone()));
    assert_eq!(effects, [Effect::Tell(Said::Paused), Effect::Beat], "said, and shown to the fleet");
    assert_eq!(machine.state(), "paused");
    assert_eq!(machine.step(at(3), Event::Synced(paused)), [], "said once");
    let effects = machine.step(at(4), Event::Synced(seen(9, &[1])));
    assert_eq!(effects[..2], [Effect::Tell(Said::Resumed), Effect::Beat]);
    assert_eq!(claimed(&effects), Some(2));
}

#[test]
fn polls_back_off_while_idle_within_their_bounds() {
    let (mut machine, _) = Machine::new(settings());
    let (mut now, mut pauses) = (at(0), Vec::new());
    for round in 0..40u32 {
        let jitter = f64::from(round % 2) * 0.999;
        machine.step(now, Event::Synced(View { jitter, ..seen(0, &[]) }));
        let due = (0..).map(|tenth| now + Duration::from_millis(100) * tenth);
        let next = due.into_iter().find(|now| machine.step(*now, Event::Time).contains(&Effect::Sync)).unwrap();
        pauses.push((next - now).as_secs_f64());
        now = next;
    }
    assert!(pauses[0] < 20.0 && pauses.iter().all(|pause| (7.5..=75.1).contains(pause)), "{pauses:?}");
    assert!(pauses[30..].iter().all(|pause| *pause >= 44.9), "it does not back off: {pauses:?}");
    machine.step(now, Event::Synced(seen(1, &[])));
    machine.step(now, won(&[1]));
    machine.step(now, Event::Synced(seen(0, &[1])));
    assert!(machine.due() <= now + POLL.mul_f64(1.25), "with something to watch over, it looks often");
}

#[test]
fn beats_slow_down_as_the_fleet_grows() {
    let beats = |fleet: usize| {
        let (mut machine, _) = Machine::new(settings());
        machine.step(at(0), Event::Synced(View { fleet, ..seen(0, &[]) }));
        (0..3600)
            .map(at)
            .filter(|now| {
                let effects = machine.step(*now, Event::Time);
                if effects.contains(&Effect::Sync) {
                    machine.step(*now, Event::Synced(View { fleet, ..seen(0, &[]) }));
                }
                effects.contains(&Effect::Beat)
            })
            .count()
    };
    assert_eq!((beats(1), beats(30)), (59, 59));
    assert!((19..=21).contains(&beats(90)), "ninety nodes share thirty beats a minute: {}", beats(90));
    assert!(beats(1000) * 1000 <= 31 * 60, "all together stay under the bound");
}

#[test]
fn a_fleet_that_shrinks_is_not_kept_waiting_for_a_beat() {
    let (mut machine, _) = Machine::new(settings());
    machine.step(at(0), Event::Synced(View { fleet: 1000, ..seen(0, &[]) }));
    machine.step(at(60), Event::Time);
    let long = machine.beat_interval();
    assert!(long > Duration::from_secs(1800), "{long:?}");
    machine.step(at(61), Event::Synced(seen(0, &[])));
    // Others now read the short interval in whatever beat rides on a push, and judge the silence by it.
    let short = machine.beat_interval();
    assert_eq!(short, Duration::from_secs(60));
    assert!(machine.step(at(61) + short, Event::Time).contains(&Effect::Beat));
}

#[test]
fn a_slot_whose_claim_is_no_longer_the_tip_is_stopped_once() {
    let mut machine = holding(settings(), &[1, 2]);
    assert_eq!(machine.step(at(2), Event::Synced(seen(0, &[2]))), [Effect::Stop { slot: 1 }]);
    assert_eq!(machine.step(at(3), Event::Synced(seen(0, &[2]))), []);
    assert_eq!(machine.claims().len(), 2, "it is held until its executor has ended");
    assert_eq!(machine.step(at(3), Event::Looked(seen(0, &[]))), [], "only what the hub says stops work");
}

#[test]
fn a_node_on_which_everything_fails_rests_and_tries_one() {
    let mut machine = holding(settings(), &[1, 2, 3]);
    for slot in 1..=2 {
        end(&mut machine, at(2), slot, false, 1);
    }
    let effects = end(&mut machine, at(2), 3, false, 1);
    assert!(effects.contains(&Effect::Tell(Said::Broken)), "{effects:?}");
    assert_eq!(claimed(&machine.step(at(3), Event::Synced(seen(9, &[])))), None, "it rests");
    assert_eq!(claimed(&machine.step(at(22), Event::Synced(seen(9, &[])))), Some(1), "it tries one");
    machine.step(at(22), won(&[1]));
    assert_eq!(claimed(&machine.step(at(23), Event::Synced(seen(9, &[1])))), None, "one, and no more");
    let effects = end(&mut machine, at(24), 1, false, 1);
    assert!(!effects.contains(&Effect::Tell(Said::Broken)), "said once");
    assert_eq!(claimed(&machine.step(at(24 + 39), Event::Synced(seen(9, &[])))), None, "it rests longer");
    assert_eq!(claimed(&machine.step(at(24 + 40), Event::Synced(seen(9, &[])))), Some(1));
    machine.step(at(64), won(&[1]));
    end(&mut machine, at(70), 1, true, 6);
    assert_eq!(claimed(&machine.step(at(71), Event::Synced(seen(9, &[])))), Some(3), "it is whole again");
}

#[test]
fn failures_that_took_their_time_are_the_tasks_own() {
    let mut machine = holding(settings(), &[1, 2, 3]);
    for slot in 1..=3 {
        end(&mut machine, at(60), slot, false, 30);
    }
    assert_eq!(claimed(&machine.step(at(61), Event::Synced(seen(9, &[])))), Some(3));
}

#[test]
fn a_run_leaves_only_after_a_fresh_look() {
    let mut machine = holding(Settings { watch: false, ..settings() }, &[1]);
    end(&mut machine, at(5), 1, true, 4);
    let effects = machine.step(at(5), Event::Looked(seen(0, &[])));
    assert_eq!(effects, [Effect::Sync], "somebody may have enqueued meanwhile");
    assert_eq!(
        claimed(&machine.step(at(31), Event::Synced(View { ready: vec![task(2)], ..seen(0, &[]) }))),
        Some(1)
    );
    machine.step(at(31), won(&[2]));
    machine.step(at(32), Event::Synced(seen(0, &[2])));
    end(&mut machine, at(40), 1, true, 8);
    assert_eq!(machine.step(at(41), Event::Synced(seen(0, &[]))), [Effect::Leave]);
}

#[test]
fn a_run_tries_a_task_once_and_a_node_that_stays_goes_by_its_state() {
    for (watch, expected) in [(false, None), (true, Some(1))] {
        let mut machine = holding(Settings { watch, ..settings() }, &[1]);
        end(&mut machine, at(30), 1, false, 29);
        assert_eq!(claimed(&machine.step(at(31), Event::Synced(seen(1, &[])))), expected, "watch: {watch}");
    }
}

#[test]
fn hints_wake_it_at_once_and_never_in_swarms() {
    let mut machine = holding(settings(), &[]);
    let mut syncs = 0;
    for tenth in 0..100u32 {
        let now = at(5) + Duration::from_millis(100) * tenth;
        let effects = machine.step(now, Event::Hint);
        if effects.contains(&Effect::Sync) {
            assert!(syncs > 0 || tenth == 0, "the first hint is heard at once");
            syncs += 1;
            machine.step(now, Event::Synced(seen(0, &[])));
        }
    }
    assert!((5..=11).contains(&syncs), "a hundred hints in ten seconds made {syncs} syncs");
}

#[test]
fn a_hub_that_refuses_every_claim_is_not_hammered() {
    let (mut machine, mut work) = Machine::new(settings());
    let (mut now, mut claims, mut syncs) = (at(0), 0, 0);
    while now < at(600) {
        for effect in std::mem::take(&mut work) {
            let event = match effect {
                Effect::Sync => Event::Synced(seen(3, &[])),
                Effect::Look => Event::Looked(seen(3, &[])),
                Effect::Claim { .. } => refused(),
                _ => continue,
            };
            claims += u32::from(event == refused());
            syncs += u32::from(effect == Effect::Sync);
            assert!(claims + syncs < 100, "{claims} claims and {syncs} syncs by {now:?}");
            work.extend(machine.step(now, event));
        }
        if work.is_empty() {
            now = machine.due().max(now + Duration::from_millis(1));
            work = machine.step(now, Event::Time);
        }
    }
    assert!((8..=40).contains(&claims), "it gives up, or hammers: {claims} claims");
}

#[test]
fn an_outage_is_said_once_and_so_is_its_end() {
    let mut machine = holding(settings(), &[1]);
    assert_eq!(machine.step(at(20), Event::Deaf(Pause::default())), [Effect::Tell(Said::HubAway)]);
    for _ in 0..10 {
        let now = machine.due();
        let effects = machine.step(now, Event::Time);
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Sync | Effect::Beat)), "{effects:?}");
        if effects.contains(&Effect::Sync) {
            assert_eq!(machine.step(now, Event::Deaf(Pause::default())), []);
        }
    }
    let effects = machine.step(at(500), Event::Synced(seen(0, &[1])));
    assert_eq!(effects[0], Effect::Tell(Said::HubBack));
    assert_eq!(machine.claims(), [claim(1)], "what runs goes on");
}

/// Whoever is asked to wait does: no look, no claim and, for a beat's time, no beat; not even where something hints at it.
#[test]
fn a_hub_that_asks_to_be_left_alone_is() {
    let mut machine = holding(settings(), &[1]);
    machine.step(at(20), Event::Deaf(Pause { at_least: at(300), jitter: 0.0 }));
    for second in [21, 60, 79] {
        assert_eq!(machine.step(at(second), Event::Hint), [], "at {second} s");
        assert_eq!(machine.step(at(second), Event::Looked(seen(3, &[1]))), [], "at {second} s");
    }
    // The others must not take it for lost.
    assert_eq!(machine.step(at(81), Event::Time), [Effect::Beat]);
    assert!(!machine.step(at(319), Event::Time).contains(&Effect::Sync));
    assert!(machine.step(at(321), Event::Time).contains(&Effect::Sync));
}

#[test]
fn a_fleet_that_lost_its_hub_does_not_come_back_all_at_once() {
    let next = |jitter| {
        let mut machine = holding(Settings { heartbeat: at(3600), ..settings() }, &[1]);
        machine.step(at(20), Event::Deaf(Pause { at_least: Duration::ZERO, jitter }));
        machine.due()
    };
    assert!(next(0.0) < next(0.5) && next(0.5) < next(1.0), "{:?} {:?} {:?}", next(0.0), next(0.5), next(1.0));
    assert!(next(0.0) > at(20) + POLL && next(1.0) < at(20) + POLL * 2);
}

/// A view in which another node, whose beat stands at `mark`, holds a claim.
fn neighbour(mark: &str) -> View {
    let beat = Beat { mark: mark.to_owned(), patience: at(300) };
    View {
        beats: vec![("node n".to_owned(), beat)],
        watched: vec![(task(7), claim(7), "node n".to_owned())],
        ..seen(0, &[])
    }
}

fn is_taken_back(effects: &[Effect]) -> bool {
    effects.contains(&Effect::Reclaim(vec![(task(7), claim(7))]))
}

#[test]
fn a_silent_neighbour_is_taken_back_from_after_its_time() {
    let (mut machine, _) = Machine::new(settings());
    let looks =
        [0, 100, 299, 300].map(|second| is_taken_back(&machine.step(at(second), Event::Synced(neighbour("1")))));
    assert_eq!(looks, [false, false, false, true]);
    assert!(!is_taken_back(&machine.step(at(301), Event::Synced(neighbour("2")))), "it moved");
}

/// The same neighbour, whose task could run here.
fn able_neighbour(mark: &str) -> View {
    View { ready: vec![task(7)], ..neighbour(mark) }
}

#[test]
fn what_is_lost_is_taken_over_where_there_is_room_and_given_back_where_there_is_none() {
    let (mut machine, _) = Machine::new(settings());
    for second in [0, 100, 299] {
        let effects = machine.step(at(second), Event::Synced(able_neighbour("1")));
        assert_eq!(
            (claimed(&effects), is_taken_back(&effects)),
            (None, false),
            "its node lives, as far as is known"
        );
    }
    assert_eq!(claimed(&machine.step(at(299), Event::Looked(able_neighbour("1")))), None);
    let effects = machine.step(at(300), Event::Synced(able_neighbour("1")));
    assert!(effects.contains(&Effect::Claim { tasks: vec![task(7)], over: vec![claim(7)] }), "{effects:?}");
    assert!(!is_taken_back(&effects), "{effects:?}");
    // Nothing to build on: at the next look it is given back, and not tried again.
    machine.step(at(300), Event::Claimed { won: vec![], set_aside: vec![task(7)], refused: false });
    let effects = machine.step(at(310), Event::Synced(able_neighbour("1")));
    assert!(claimed(&effects).is_none() && is_taken_back(&effects), "{effects:?}");

    let mut full = holding(settings(), &[1, 2, 3]);
    let seen = || Event::Synced(View { tips: [1, 2, 3].map(claim).into(), ..able_neighbour("1") });
    for second in [10, 110] {
        full.step(at(second), seen());
    }
    assert!(is_taken_back(&full.step(at(310), seen())), "somebody else may have room");
}

#[test]
fn a_run_that_finds_nothing_gives_back_what_is_over_before_it_leaves() {
    let (mut machine, _) = Machine::new(Settings { watch: false, ..settings() });
    let view = View { expired: vec![(task(7), claim(7))], ..seen(0, &[]) };
    let effects = machine.step(at(0), Event::Synced(view));
    assert_eq!(effects, [Effect::Reclaim(vec![(task(7), claim(7))]), Effect::Leave]);
}

#[test]
fn nobody_is_lost_through_an_outage() {
    let (mut machine, _) = Machine::new(settings());
    for second in [0, 100, 200] {
        machine.step(at(second), Event::Synced(neighbour("1")));
    }
    machine.step(at(250), Event::Deaf(Pause::default()));
    for second in [4000, 4100, 4299] {
        assert!(!is_taken_back(&machine.step(at(second), Event::Synced(neighbour("1")))));
    }
    assert!(is_taken_back(&machine.step(at(4300), Event::Synced(neighbour("1")))));
}

#[test]
fn nobody_is_lost_while_our_own_beats_do_not_get_through() {
    let (mut machine, _) = Machine::new(settings());
    for second in [0, 100, 200] {
        machine.step(at(second), Event::Synced(neighbour("1")));
    }
    // The hub answers fetches and takes no pushes: the neighbour's beats do not get through either.
    machine.step(at(250), Event::Mute);
    assert!(!is_taken_back(&machine.step(at(300), Event::Synced(neighbour("1")))));
    assert!(!is_taken_back(&machine.step(at(599), Event::Synced(neighbour("1")))));
    assert!(is_taken_back(&machine.step(at(600), Event::Synced(neighbour("1")))));
}

#[test]
fn a_run_does_not_leave_over_a_claim_that_is_about_to_be_tried() {
    let (mut machine, _) = Machine::new(Settings { watch: false, ..settings() });
    machine.step(at(0), Event::Synced(seen(2, &[])));
    machine.step(at(0), won(&[1]));
    // A slot ends when a poll is due: the sync is planned, and the look that follows the end plans a claim.
    machine.step(at(9), Event::Ended { slot: 1 });
    let effects = machine.step(machine.due(), Event::Settled { slot: 1, well: true, took: at(9) });
    assert_eq!(effects, [Effect::Look, Effect::Sync]);
    let ready = View { ready: vec![task(2)], ..seen(0, &[]) };
    assert_eq!(machine.step(at(13), Event::Looked(ready)), [Effect::Claim { tasks: vec![task(2)], over: vec![] }]);
    let effects = machine.step(at(13), Event::Deaf(Pause::default()));
    assert!(!effects.contains(&Effect::Leave), "what it wins would be held by nobody: {effects:?}");
    let effects = machine.step(at(13), won(&[2]));
    assert!(effects.contains(&Effect::Start { slot: 1, task: task(2), claim: claim(2) }), "{effects:?}");
}

#[test]
fn no_more_is_claimed_than_there_are_places_for() {
    let (mut machine, _) = Machine::new(settings());
    let places = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut view = seen(4, &[]);
    // The first has none, the second and third share one, the fourth needs none.
    view.room = [(task(1), places(&[])), (task(2), places(&["a"])), (task(3), places(&["a"]))].into();
    assert_eq!(claimed(&machine.step(at(0), Event::Synced(view.clone()))), Some(2));
    let mut machine = Machine::new(settings()).0;
    view.room.insert(task(3), places(&["a", "b"]));
    assert_eq!(claimed(&machine.step(at(0), Event::Synced(view))), Some(3));
}
