//! The times of an output's lines: how they stand beside it in the log notes, and how they are shown.

use jiff::Timestamp;

use crate::exec::capture::Mark;

/// A line of an output, counted from 0: it and those after it came at that time. Without a time, nobody knows when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTime {
    /// The line.
    pub line: usize,
    /// The time, to the second.
    pub at: Option<Timestamp>,
}

/// Takes over what a capture tells of its lines.
pub fn of_capture(times: &[(usize, i64)]) -> Vec<LineTime> {
    times.iter().map(|(line, second)| LineTime { line: *line, at: Timestamp::from_second(*second).ok() }).collect()
}

/// Writes times for a log note: a line each, line and second of Unix time.
pub fn written(times: &[(usize, i64)]) -> String {
    times.iter().map(|(line, second)| format!("{line} {second}\n")).collect()
}

/// Reads what `written` wrote; lines that are none are left out.
pub fn read(text: &[u8]) -> Vec<LineTime> {
    let pair = |line: &str| {
        let (line, second) = line.split_once(' ')?;
        Some((line.parse().ok()?, second.parse().ok()?))
    };
    of_capture(&String::from_utf8_lossy(text).lines().filter_map(pair).collect::<Vec<_>>())
}

/// Turns the times of an output's lines into marks on its bytes, where its first stands at byte `from`.
pub fn marks(text: &[u8], times: &[LineTime], from: u64) -> Vec<Mark> {
    let mut starts = Vec::with_capacity(times.len());
    let mut at = from;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        starts.push(at);
        at += line.len() as u64;
    }
    let mark = |time: &LineTime| Some(Mark { from: *starts.get(time.line)?, second: time.at?.as_second() });
    times.iter().filter_map(mark).collect()
}

/// Writes its time before each line of an output, whose first stands at byte `from`.
pub fn stamped(text: &[u8], from: u64, marks: &[Mark]) -> Vec<u8> {
    let mut stamped = Vec::with_capacity(text.len() + text.len() / 2);
    let mut at = from;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let before = marks.partition_point(|mark| mark.from <= at);
        let second = before.checked_sub(1).map(|last| marks[last].second);
        stamp(&mut stamped, second.and_then(|second| Timestamp::from_second(second).ok()), line);
        at += line.len() as u64;
    }
    stamped
}

/// The same for an output with the times of its lines.
pub fn stamped_lines(text: &[u8], times: &[LineTime]) -> Vec<u8> {
    let mut stamped = Vec::with_capacity(text.len() + text.len() / 2);
    let mut times = times.iter().peekable();
    let mut at = None;
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        while let Some(time) = times.next_if(|time| time.line <= number) {
            at = time.at;
        }
        stamp(&mut stamped, at, line);
    }
    stamped
}

/// Writes the time, or as much room where it is not known: so lines stand under each other.
fn stamp(into: &mut Vec<u8>, at: Option<Timestamp>, line: &[u8]) {
    let time = at.map(|at| at.to_string()).unwrap_or_default();
    into.extend_from_slice(format!("{time:20} ").as_bytes());
    into.extend_from_slice(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_and_stand_before_their_lines() {
        let written = written(&[(1, 1_000_000_000), (2, 1_000_000_003)]);
        let mut times = read(written.as_bytes());
        assert_eq!(times, of_capture(&[(1, 1_000_000_000), (2, 1_000_000_003)]));
        assert_eq!(read(b"x\n1\n-1 5\n7 1000000000\nrubbish 7"), of_capture(&[(7, 1_000_000_000)]));
        times.push(LineTime { line: 3, at: None });
        let text = "who knows\none\ntwo\nafter";
        let shown = "                     who knows\n2001-09-09T01:46:40Z one\n2001-09-09T01:46:43Z two\n                     after";
        assert_eq!(String::from_utf8(stamped_lines(text.as_bytes(), &times)).unwrap(), shown);
        times.pop();
        let marks = marks(text.as_bytes(), &times, 100);
        let of_bytes = stamped(&text.as_bytes()[10..17], 110, &marks);
        assert_eq!(String::from_utf8(of_bytes).unwrap(), "2001-09-09T01:46:40Z one\n2001-09-09T01:46:43Z two");
    }
}
