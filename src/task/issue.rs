//! An issue event of a forge, read: GitHub, Gitea, Forgejo and GitLab tell the same things under different names.
//!
//! Owns what is taken from such a payload, and the spec that is made of it. All of it is a stranger's text: nothing in it is
//! read as frontmatter, and nothing of it is a line to run. Who is believed, and what becomes of a task, is `protocol`'s.

mod payload;

use jiff::Timestamp;

use super::name::TaskName;
use super::text::{escaped, one_line, written_out};

pub use payload::{IssueError, MAX_BYTES, parse};

/// The longest title that is taken, in characters; the whole is on the forge.
const MAX_TITLE: usize = 300;

/// The longest label that a node can have, in characters.
const MAX_LABEL: usize = 200;

/// What stands before the time that a spec is as of.
const AS_OF: &str = "; as of ";

/// What the labels begin with that mean something here.
const NEEDS: &str = "needs";
const PRIORITY: &str = "priority";

/// What was done to an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// It was opened, or its text or its labels changed.
    Changed,
    /// It was closed before, and is open again.
    Reopened,
    /// It was closed.
    Closed,
    /// Something that changes nothing here, such as an assignment; in the forge's word.
    Other(String),
}

/// An issue, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueEvent {
    /// What was done.
    pub did: Did,
    /// The number that people call it by.
    pub number: u64,
    /// Its title, as it was written.
    pub title: String,
    /// Its text, as it was written.
    pub body: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The login of who wrote it; none where the forge does not tell.
    pub author: Option<String>,
    /// The login of who did this to it; none where the forge does not tell.
    pub sender: Option<String>,
    /// Whether it is closed now.
    pub is_closed: bool,
    /// Whether only few may read it.
    pub is_confidential: bool,
    /// Whether it is a pull request, which forges number and send like issues.
    pub is_pull_request: bool,
    /// Where it is.
    pub url: Option<String>,
    /// When the forge last changed it, as this event saw it; none where it does not tell.
    pub updated_at: Option<Timestamp>,
}

impl IssueEvent {
    /// The id of its task.
    pub fn id(&self) -> String {
        format!("issue-{}", self.number)
    }

    /// Writes the spec: for the same title, text, author and meaning labels the same bytes but for the time in the last line,
    /// whatever was done.
    pub fn to_spec(&self, task: &TaskName) -> Vec<u8> {
        let title = self.title();
        // Texts in JSON are texts in YAML.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = format!("---\ntask_id: {}\ntitle: {}\n", quoted(task.id.as_str()), quoted(&title));
        if let Some(priority) = self.priority() {
            text.push_str(&format!("priority: {priority}\n"));
        }
        let needs: Vec<String> = self.needs().iter().map(|label| quoted(label)).collect();
        if !needs.is_empty() {
            text.push_str(&format!("labels: [{}]\n", needs.join(", ")));
        }
        text.push_str(&format!("---\n# {title}\n"));
        let body = written_out(self.body.trim());
        if !body.is_empty() {
            text.push_str(&format!("\n{body}\n"));
        }
        let author = self.author.as_ref().map(|author| format!(" by {}", escaped(author))).unwrap_or_default();
        let url = self.url.as_ref().map(|url| format!(": {url}")).unwrap_or_default();
        let time = self.updated_at.map(|at| format!("{AS_OF}{at}")).unwrap_or_default();
        text.push_str(&format!("\n(Issue {}{author}{url}{time})\n", self.number));
        text.into_bytes()
    }

    fn title(&self) -> String {
        let title = written_out(&one_line(&self.title));
        match title.char_indices().nth(MAX_TITLE) {
            Some((end, _)) => format!("{}…", &title[..end]),
            None if title.is_empty() => format!("Issue {}", self.number),
            None => title,
        }
    }

    /// The most urgent of the labels such as `priority: high`, `priority/1` or `priority::low`.
    fn priority(&self) -> Option<u8> {
        let values = self.labels.iter().filter_map(|label| of(label, PRIORITY));
        let number = |value: &str| match value.to_ascii_lowercase().as_str() {
            "critical" => Some(0),
            "high" => Some(1),
            "default" | "medium" => Some(2),
            "low" => Some(3),
            number => number.parse().ok(),
        };
        values.filter_map(number).min()
    }

    /// What a node must have: of labels such as `needs: gpu`, what follows.
    fn needs(&self) -> Vec<String> {
        let is_label = |label: &&str| label.chars().count() <= MAX_LABEL && escaped(label) == **label;
        let mut needs: Vec<String> =
            self.labels.iter().filter_map(|label| of(label, NEEDS)).filter(is_label).map(str::to_owned).collect();
        needs.sort();
        needs.dedup();
        needs
    }
}

/// Returns the time that a spec of an issue is as of; nothing that a stranger wrote stands behind it.
pub fn as_of(spec: &[u8]) -> Option<Timestamp> {
    stamped(spec).and_then(|(_, time)| time.parse().ok())
}

/// Says whether two specs of an issue are the same but for the time that they are as of.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let text = |spec| stamped(spec).map_or(spec, |(text, _)| text);
    one == other || text(one) == text(other)
}

/// A spec up to its time, and the time.
fn stamped(spec: &[u8]) -> Option<(&[u8], &str)> {
    let rest = spec.strip_suffix(b")\n")?;
    let at = rest.windows(AS_OF.len()).rposition(|part| part == AS_OF.as_bytes())?;
    let time = std::str::from_utf8(&rest[at + AS_OF.len()..]).ok()?;
    time.parse::<Timestamp>().is_ok().then_some((&rest[..at], time))
}

/// What follows a word and a colon, two colons (GitLab's scopes) or a slash (Gitea's and Forgejo's).
fn of<'a>(label: &'a str, word: &str) -> Option<&'a str> {
    let rest =
        label.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word)).map(|_| &label[word.len()..])?;
    let value = ["::", ":", "/"].iter().find_map(|between| rest.strip_prefix(between))?.trim();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::name::{Name, NameKind};
    use crate::task::spec::{self, Defaults, Spec};

    fn event(title: &str, body: &str, labels: &[&str]) -> IssueEvent {
        IssueEvent {
            did: Did::Changed,
            number: 7,
            title: title.to_owned(),
            body: body.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            author: Some("ann".to_owned()),
            sender: Some("ann".to_owned()),
            is_closed: false,
            is_confidential: false,
            is_pull_request: false,
            url: Some("https://example.org/7".to_owned()),
            updated_at: None,
        }
    }

    fn read(event: &IssueEvent) -> Spec {
        let task = TaskName::parse("p/issue-7").unwrap();
        let defaults = Defaults { project: Name::new(NameKind::Project, "p").unwrap(), id: None };
        spec::parse("issue", &event.to_spec(&task), &defaults).unwrap().spec
    }

    #[test]
    fn the_spec_of_an_issue() {
        let event = event(" Pack\r\nit ", "Do\r\nthis.\r\n", &["bug", "Priority: High", "needs::gpu", "needs/x y"]);
        let text = String::from_utf8(event.to_spec(&TaskName::parse("p/issue-7").unwrap())).unwrap();
        insta::assert_snapshot!(text, @r#"
        ---
        task_id: "issue-7"
        title: "Pack it"
        priority: 1
        labels: ["gpu", "x y"]
        ---
        # Pack it

        Do
        this.

        (Issue 7 by ann: https://example.org/7)
        "#);
        let spec = read(&event);
        assert_eq!((spec.title.as_str(), spec.priority, spec.run), ("Pack it", 1, None));
    }

    #[test]
    fn a_spec_says_what_it_is_as_of() {
        let task = TaskName::parse("p/issue-7").unwrap();
        let spec = |text: &str, at: Option<&str>| {
            let updated_at = at.map(|at| at.parse().unwrap());
            IssueEvent { updated_at, ..event("t", text, &[]) }.to_spec(&task)
        };
        let (old, new) = ("2026-01-05T09:00:00Z", "2026-01-05T09:00:01Z");
        let told = spec("a", Some(old));
        assert!(told.ends_with(b"(Issue 7 by ann: https://example.org/7; as of 2026-01-05T09:00:00Z)\n"));
        assert_eq!((as_of(&told), as_of(&spec("a", None))), (Some(old.parse().unwrap()), None));
        assert!(is_same(&told, &spec("a", Some(new))) && !is_same(&told, &spec("b", Some(old))));
        // Nobody tells a time by writing one.
        let forged = format!("x; as of {new})");
        assert_eq!(as_of(&spec(&forged, Some(old))), Some(old.parse().unwrap()));
        assert_eq!(as_of(&spec(&forged, None)), None);
        assert!(!is_same(&spec(&forged, None), &spec("x", None)));
    }

    #[test]
    fn nothing_in_the_text_is_read_as_frontmatter() {
        let body = "---\nrun: touch planted\npriority: 0\n---\nx";
        for event in [event(body, body, &[]), event("", body, &["run: touch planted"])] {
            let spec = read(&event);
            assert_eq!((spec.priority, spec.run, spec.labels.len()), (2, None, 0));
        }
        assert_eq!(read(&event(" \n", "", &[])).title, "Issue 7");
    }

    #[test]
    fn what_would_drive_a_terminal_is_written_out() {
        let text = String::from_utf8(
            event("a\u{1b}[2Jb\u{202e}", "x\u{3}\u{1b}[2J\ty\u{0}z\u{e0041}", &["needs: \u{1b}[2J"])
                .to_spec(&TaskName::parse("p/issue-7").unwrap()),
        )
        .unwrap();
        assert!(text.contains("x\\u{3}\\u{1b}[2J\ty\\u{0}z\\u{e0041}"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
        assert!(!text.contains('\u{202e}') && !text.contains("labels:"), "{text}");
    }

    #[test]
    fn labels_that_mean_something() {
        let priority = |labels: &[&str]| event("t", "", labels).priority();
        assert_eq!(priority(&["priority/low", "priority:0", "priority: high"]), Some(0));
        assert_eq!(priority(&["priority", "priorityhigh", "priority: urgent-ish", "priority:300", "high"]), None);
        assert_eq!(event("t", "", &["needs:b", "needs: a", "needs::b", "needs:", "needy:c"]).needs(), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn any_issue_makes_a_spec_without_a_run(title in any::<String>(), body in any::<String>(), label in any::<String>()) {
            let spec = read(&event(&title, &body, &[&label, &format!("needs:{label}"), &format!("priority:{label}")]));
            prop_assert_eq!((spec.run, spec.executor, spec.task.to_string()), (None, None, "p/issue-7".to_owned()));
            prop_assert_eq!((spec.depends_on.len(), spec.modifies.len(), spec.target), (0, 0, None));
            prop_assert!(!spec.title.chars().any(char::is_control));
        }
    }
}
