//! Owns process groups by their number: who lives in one, when its leader started, and ending all
//! of it.
//!
//! A number is only as good as the knowledge that it still means the same group. [`super::child`]
//! has that knowledge while it has not reaped the leader, and just after ([`end_rest`]); a later
//! start of the program gets it by comparing [`start_time`].

use std::io;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, kill_process_group, test_kill_process, test_kill_process_group};

use super::cancel::Cancel;
use super::child::Limits;
use super::collect::collect_output;

/// How long a process may take to die of SIGKILL. Only one that hangs in the kernel (a dead network
/// disk) needs it.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Ends every process of a group: SIGTERM, and SIGKILL for what still lives after `grace`. Returns
/// when none is left.
///
/// Nothing there is success. A group that cannot be ended is [`io::ErrorKind::TimedOut`]; 0, 1 and
/// our own group are refused as [`io::ErrorKind::InvalidInput`]. What has left the group (`setsid`)
/// is not reached.
pub fn end_group(pgid: u32, grace: Duration) -> io::Result<()> {
    let group = checked(pgid)?;
    if !alive(group) {
        return Ok(());
    }
    // That a signal cannot be sent (gone meanwhile, another user's) is no answer; whether someone
    // still lives is.
    let _ = kill_process_group(group, Signal::TERM);
    // A stopped process takes a SIGTERM only when it goes on, and would else lose the chance to
    // tidy up.
    let _ = kill_process_group(group, Signal::CONT);
    if gone_within(group, grace) {
        return Ok(());
    }
    let _ = kill_process_group(group, Signal::KILL);
    if gone_within(group, AFTER_KILL) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process group {pgid} cannot be ended")))
}

/// Ends what a leader left in its group, once it was reaped; `grace` as for [`end_group`].
///
/// As long as somebody is in a group, no new process is given its number: where a process has it,
/// the group is a stranger's, and nobody of ours is left.
pub fn end_rest(pgid: u32, grace: Duration) -> io::Result<()> {
    let group = checked(pgid)?;
    let is_empty = test_kill_process_group(group) == Err(Errno::SRCH);
    if is_empty || test_kill_process(group) != Err(Errno::SRCH) {
        return Ok(());
    }
    end_group(pgid, grace)
}

/// Tells whether any process of the group lives. Zombies do not count: in a container whose first
/// process reaps nobody, they stay for ever.
pub fn group_alive(pgid: u32) -> bool {
    checked(pgid).is_ok_and(alive)
}

/// Returns an opaque token of when a process started, the same each time it is asked while that
/// process exists; nothing if there is no such process.
///
/// Kept beside a process id, it tells later whether the id still means the same process, also after
/// a reboot.
pub fn start_time(pid: u32) -> Option<String> {
    if proc_is_here() {
        let ticks = Stat::read(&pid.to_string())?.start;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        return Some(format!("{}:{ticks}", boot.trim()));
    }
    let started = ps(&["-o", "lstart=", "-p", &pid.to_string()])?;
    Some(started.trim().to_owned()).filter(|started| !started.is_empty())
}

/// Lists the process groups, ours apart, in which somebody was started with an environment variable whose whole text
/// (`NAME=value`) begins with `start`. Nothing where the system does not tell, which only Linux does.
pub fn groups_started_with(start: &[u8]) -> Vec<u32> {
    if !proc_is_here() {
        return Vec::new();
    }
    let was_given = |pid: &String| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(start))
    };
    let living = processes().into_iter().flatten().filter(was_given).filter_map(|pid| Stat::read(&pid));
    let mut groups: Vec<u32> = living.filter_map(|stat| u32::try_from(stat.group).ok()).collect();
    groups.retain(|group| checked(*group).is_ok());
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Refuses what `kill(-pgid)` would take for "everybody" or "myself".
fn checked(pgid: u32) -> io::Result<Pid> {
    i32::try_from(pgid)
        .ok()
        .filter(|raw| *raw > 1)
        .and_then(Pid::from_raw)
        .filter(|group| *group != getpgrp())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("not a process group to end: {pgid}")))
}

/// Looks again and again: there is nothing to wait on for processes that are not our children.
fn gone_within(group: Pid, time: Duration) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while alive(group) {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return false;
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(25));
    }
    true
}

fn alive(group: Pid) -> bool {
    // The cheap question first. Its "yes" may mean zombies only; macOS says EPERM for those.
    if test_kill_process_group(group) == Err(Errno::SRCH) {
        return false;
    }
    let group = group.as_raw_nonzero().get();
    if proc_is_here() { proc_lists(group) } else { ps_lists(group) }
}

/// Linux has /proc; the answer for the process that asks is the proof.
fn proc_is_here() -> bool {
    cfg!(target_os = "linux") && Stat::read("self").is_some()
}

/// The processes that /proc lists, or nothing where it cannot be read.
fn processes() -> Option<impl Iterator<Item = String>> {
    let names = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Some(names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())))
}

fn proc_lists(group: i32) -> bool {
    let Some(mut living) = processes().map(|names| names.filter_map(|name| Stat::read(&name))) else {
        return true;
    };
    living.any(|stat| stat.group == group && !stat.zombie)
}

/// When `ps` does not answer, someone is taken to live: waiting in vain is better than a folder
/// used twice.
fn ps_lists(group: i32) -> bool {
    let Some(list) = ps(&["-A", "-o", "pgid=", "-o", "stat="]) else {
        return true;
    };
    list.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .any(|(id, stat)| id.parse() == Ok(group) && !stat.trim_start().starts_with('Z'))
}

fn ps(args: &[&str]) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "neither git nor an executor: it asks when a process began")]
    let mut command = Command::new("ps");
    command.args(args).env("LC_ALL", "C").env("TZ", "UTC");
    let limits = Limits::within(Duration::from_secs(10));
    let (_, stdout, _) = collect_output(&mut command, None, &limits, &Cancel::new()).ok()?;
    String::from_utf8(stdout).ok()
}

/// What we ask of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    group: i32,
    zombie: bool,
    start: u64,
}

impl Stat {
    fn read(pid: &str) -> Option<Stat> {
        Stat::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &[u8]) -> Option<Stat> {
        // The second field is the program's name in parentheses, and may hold spaces, parentheses
        // and any byte.
        let name_ends = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&line[name_ends + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Counted from field 3, the state.
        let field = |number: usize| fields.get(number - 3).copied();
        let threads: u64 = field(20)?.parse().ok()?;
        Some(Stat {
            group: field(5)?.parse().ok()?,
            // A process whose main thread has ended while others go on also says Z.
            zombie: matches!(field(3)?, "Z" | "X" | "x") && threads <= 1,
            start: field(22)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start what they need")]
mod tests {
    use super::super::child::spawn;
    use super::*;

    #[test]
    fn reads_a_stat_line_with_a_nasty_name() {
        let line = b"77 (a) Z (\xff b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 987654 1 2 3";
        assert_eq!(Stat::parse(line), Some(Stat { group: 42, zombie: false, start: 987_654 }));
        let dead = b"77 (sh) Z 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert!(Stat::parse(dead).is_some_and(|stat| stat.zombie));
        assert_eq!(Stat::parse(b"77 (sh) S 1"), None);
    }

    #[test]
    fn never_signals_everybody_or_itself() {
        let own = u32::try_from(getpgrp().as_raw_nonzero().get()).unwrap();
        for pgid in [0, 1, own, u32::MAX] {
            let refused = end_group(pgid, Duration::ZERO).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{pgid}");
            assert!(!group_alive(pgid));
        }
    }

    #[test]
    fn a_start_time_stays_the_same_and_ends_with_the_process() {
        let child = spawn(Command::new("sleep").arg("600")).unwrap();
        let id = child.id();
        let token = start_time(id).unwrap();
        assert_eq!(start_time(id), Some(token));
        assert!(group_alive(id) && ps_lists(id.try_into().unwrap()));
        end_group(id, Duration::from_secs(20)).unwrap();
        assert!(!group_alive(id) && !ps_lists(id.try_into().unwrap()));
        drop(child);
        assert_eq!(start_time(id), None);
        assert!(end_group(id, Duration::ZERO).is_ok());
    }

    #[test]
    fn ps_tells_start_times_where_there_is_no_proc() {
        let own = std::process::id().to_string();
        let told = ps(&["-o", "lstart=", "-p", &own]).unwrap();
        assert!(told.trim().len() > 10, "{told:?}");
    }
}
