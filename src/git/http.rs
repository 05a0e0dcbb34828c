//! What a web server answered, read from git's own trace of the headers (`GIT_TRACE_CURL`): numbers and fields of HTTP, not
//! what git says of them.
//!
//! Owns the reading. What is sent is never kept: such lines hold what proves who we are.

use std::time::Duration;

use jiff::Timestamp;

/// The longest wait that a server is granted: an odd answer must not silence a node for good.
const LONGEST: Duration = Duration::from_secs(3600);

/// Variables that make git tell of the headers it gets, on standard error, without the bodies and with secrets left out.
pub(super) const TELLING: [(&str, &str); 3] =
    [("GIT_TRACE_CURL", "2"), ("GIT_TRACE_CURL_NO_DATA", "1"), ("GIT_TRACE_REDACT", "1")];

/// What the server answered last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// The status; `None` where no server answered.
    pub(super) status: Option<u16>,
    /// How long it asks to be left alone.
    pub(super) wait: Option<Duration>,
}

/// The fields of one answer that say how long to wait, in whichever order they come.
#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    seconds: Option<Duration>,
    until: Option<Timestamp>,
    /// The server's own clock: two clocks are not compared.
    now: Option<Timestamp>,
}

impl Fields {
    /// Takes in `Retry-After: 30`, `Retry-After: Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110, 10.2.3) or `Date: …`.
    fn read(&mut self, header: &str) {
        let Some((name, value)) = header.split_once(':') else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("date") {
            self.now = moment(value);
        } else if name.eq_ignore_ascii_case("retry-after") {
            self.seconds = value.parse().ok().map(Duration::from_secs);
            self.until = moment(value);
        }
    }

    fn wait(&self) -> Option<Duration> {
        let until = |(until, now): (Timestamp, Timestamp)| until.duration_since(now).try_into().unwrap_or_default();
        let asked = self.seconds.or_else(|| self.until.zip(self.now).map(until))?;
        Some(asked.min(LONGEST))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

impl Answered {
    /// Says whether it does not let us in.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.status, Some(401 | 403 | 407))
    }

    /// Says whether it would be asked later: too many requests, or out of order for a stated time.
    pub(super) fn is_later(&self) -> bool {
        self.status == Some(429) || self.status == Some(503) && self.wait.is_some()
    }
}

/// Parts standard error into what was said for people and what the server answered last.
pub(super) fn part(stderr: &str) -> (String, Answered) {
    let (mut said, mut answered, mut fields) = (String::new(), Answered::default(), Fields::default());
    for line in stderr.lines() {
        let Some(traced) = traced(line) else {
            said.push_str(line);
            said.push('\n');
            continue;
        };
        let Some(header) = traced.strip_prefix("<= Recv header: ") else { continue };
        if let Some(status) = status(header) {
            answered = Answered { status: Some(status), wait: None };
            fields = Fields::default();
        } else {
            fields.read(header);
            answered.wait = fields.wait();
        }
    }
    (said, answered)
}

/// The text of a line of the trace: `16:12:06.099323 http.c:872              <= Recv header: …`. What a server says for people
/// stands behind `remote: `, so it cannot pass for one.
fn traced(line: &str) -> Option<&str> {
    let (time, rest) = line.split_once(' ')?;
    let is_time = time.len() == 15 && time.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    let (place, text) = rest.split_once(' ')?;
    let number = place.strip_prefix("http.c:")?;
    (is_time && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.trim_start())
}

/// `HTTP/1.1 429 Too Many Requests`; an intermediate `100 Continue`, or the `200` with which a proxy opens a tunnel, is
/// followed by the next.
fn status(header: &str) -> Option<u16> {
    let (version, rest) = header.split_once(' ')?;
    version.starts_with("HTTP/").then(|| rest.split(' ').next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
        16:12:06.098576 http.c:872              => Send header: GET /x/info/refs HTTP/1.1\n\
        16:12:06.098577 http.c:872              => Send header: Private-Token: secret\n\
        16:12:06.455060 http.c:872              <= Recv header: HTTP/1.0 401 Unauthorized\n\
        16:12:06.455070 http.c:872              <= Recv header: Retry-After: 9\n\
        16:12:06.099323 http.c:872              <= Recv header: HTTP/2 429\n\
        16:12:06.099332 http.c:872              <= Recv header: retry-after: 7\n\
        16:12:06.099337 http.c:872              <= Recv header:\n\
        remote: 16:12:06.099323 http.c:872 <= Recv header: HTTP/1.1 401 x\n\
        fatal: unable to access 'http://127.0.0.1/x/': The requested URL returned error: 429\n";

    #[test]
    fn the_last_answer_counts_and_nothing_of_the_trace_is_kept() {
        let (said, answered) = part(TRACE);
        assert_eq!(answered, Answered { status: Some(429), wait: Some(Duration::from_secs(7)) });
        assert!(answered.is_later() && !answered.is_denied());
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(!said.contains("secret") && said.contains("error: 429"));
    }

    #[test]
    fn what_people_say_is_no_answer() {
        for text in [
            "remote: HTTP/1.1 401 no\n",
            "HTTP/1.1 401 no\n",
            "12:00:00.000000 run.c:1 <= Recv header: HTTP/1.1 401 x\n",
        ] {
            assert_eq!(part(text), (text.to_owned(), Answered::default()));
        }
    }

    #[test]
    fn seconds_are_waited_for_or_until_a_date_by_the_servers_clock_and_an_hour_at_most() {
        let wait = |headers: &[&str]| {
            let mut fields = Fields::default();
            headers.iter().for_each(|header| fields.read(header));
            fields.wait()
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((wait(&["Retry-After: 30"]), wait(&["Retry-After: 99999999"])), (seconds(30), Some(LONGEST)));
        let (until, date) = ("retry-after: Wed, 21 Oct 2015 07:28:30 GMT", "date: Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!((wait(&[until, date]), wait(&[date, until])), (seconds(30), seconds(30)));
        let later = "Date: Wed, 21 Oct 2015 09:28:00 GMT";
        assert_eq!(
            (wait(&[until, later]), wait(&["Retry-After: Thu, 21 Oct 2055 07:28:30 GMT", date])),
            (seconds(0), Some(LONGEST))
        );
        // Without the server's clock a date says nothing.
        for headers in [&[until][..], &["Retry-After: -1"], &["Retry-After: soon", date], &["X: 1"], &[date]] {
            assert_eq!(wait(headers), None, "{headers:?}");
        }
        assert!(!Answered { status: Some(503), wait: None }.is_later());
    }
}
