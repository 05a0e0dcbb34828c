//! The payloads of the four forges, field by field.
//!
//! Owns where each forge puts what, and the refusal of what has another form. GitHub, Gitea and Forgejo send
//! `{"action", "issue", "sender"}`; GitLab sends `{"object_kind": "issue", "object_attributes", "user", "labels"}`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Did, IssueEvent};
use crate::task::text::{escaped, excerpt};

/// The largest payload, in bytes; forges send less.
pub const MAX_BYTES: usize = 32 << 20;

/// The longest address that is kept, in bytes.
const MAX_URL: usize = 500;

/// Says why a payload is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum IssueError {
    /// The payload is larger than a forge sends any.
    #[error("the issue event has more than the {} bytes allowed", MAX_BYTES)]
    #[diagnostic(code(dispatch::issue::too_large), help("give the event as the forge delivers it"))]
    TooLarge,
    /// The payload is not JSON.
    #[error("the issue event is not JSON: {}", escaped(.why))]
    #[diagnostic(
        code(dispatch::issue::not_json),
        help("give the file that the forge writes: $GITHUB_EVENT_PATH, or $TRIGGER_PAYLOAD on GitLab")
    )]
    NotJson {
        /// What is wrong with it, and where.
        why: String,
    },
    /// It is of something else.
    #[error("this is no event of an issue")]
    #[diagnostic(
        code(dispatch::issue::not_an_issue),
        help("an event of GitHub, Gitea or Forgejo has `issue`, one of GitLab `object_kind` \"issue\"")
    )]
    NotAnIssue,
    /// Something that every forge sends is not there.
    #[error("the issue event has no `{path}`")]
    #[diagnostic(code(dispatch::issue::missing), help("give the event as the forge delivers it"))]
    Missing {
        /// Where it should be.
        path: &'static str,
    },
    /// Something has another form than every forge sends.
    #[error("`{path}` of the issue event is {}, and not {wanted}", escaped(.found))]
    #[diagnostic(code(dispatch::issue::wrong_type), help("give the event as the forge delivers it"))]
    WrongType {
        /// Where it is.
        path: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
}

type Result<T> = std::result::Result<T, IssueError>;

/// Reads a payload.
pub fn parse(bytes: &[u8]) -> Result<IssueEvent> {
    if bytes.len() > MAX_BYTES {
        return Err(IssueError::TooLarge);
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let payload: Value =
        serde_json::from_slice(bytes).map_err(|error| IssueError::NotJson { why: error.to_string() })?;
    if payload.get("object_kind").and_then(Value::as_str) == Some("issue") {
        return gitlab(&payload);
    }
    if payload.get("object_kind").is_none() && payload.get("issue").is_some() {
        return like_github(&payload);
    }
    Err(IssueError::NotAnIssue)
}

fn like_github(payload: &Value) -> Result<IssueEvent> {
    let action = required(text(payload, "/action", "action")?, "action")?;
    if !payload["issue"].is_object() {
        return Err(wrong("issue", "an object", &payload["issue"]));
    }
    let state = text(payload, "/issue/state", "issue.state")?;
    Ok(IssueEvent {
        did: match action.as_str() {
            "opened" | "edited" | "labeled" | "unlabeled" | "label_updated" | "label_cleared" => Did::Changed,
            "reopened" => Did::Reopened,
            "closed" | "deleted" => Did::Closed,
            _ => Did::Other(action),
        },
        number: number(payload, "/issue/number", "issue.number")?,
        title: required(text(payload, "/issue/title", "issue.title")?, "issue.title")?,
        body: text(payload, "/issue/body", "issue.body")?.unwrap_or_default(),
        labels: labels(payload, "/issue/labels", "issue.labels", "name")?,
        author: text(payload, "/issue/user/login", "issue.user.login")?,
        sender: text(payload, "/sender/login", "sender.login")?,
        is_closed: state.as_deref() == Some("closed"),
        is_confidential: false,
        is_pull_request: payload.pointer("/issue/pull_request").is_some_and(|value| !value.is_null()),
        url: text(payload, "/issue/html_url", "issue.html_url")?.filter(|url| is_url(url)),
        updated_at: text(payload, "/issue/updated_at", "issue.updated_at")?.as_deref().and_then(time),
    })
}

fn gitlab(payload: &Value) -> Result<IssueEvent> {
    if !payload["object_attributes"].is_object() {
        return Err(match payload.get("object_attributes") {
            Some(value) => wrong("object_attributes", "an object", value),
            None => IssueError::Missing { path: "object_attributes" },
        });
    }
    let path = "object_attributes.action";
    let action = required(text(payload, "/object_attributes/action", path)?, path)?;
    let state = text(payload, "/object_attributes/state", "object_attributes.state")?;
    let sender = text(payload, "/user/username", "user.username")?;
    // The event names its author by number alone: the login is known where the author did this.
    let did_it = payload.pointer("/user/id").filter(|id| id.is_u64());
    let is_author = did_it.is_some() && did_it == payload.pointer("/object_attributes/author_id");
    let is_confidential = payload.pointer("/object_attributes/confidential").is_some_and(|value| *value != false);
    let title = text(payload, "/object_attributes/title", "object_attributes.title")?;
    // Labels stand at the top in all versions, and in the attributes too in newer ones.
    let labels = labels(payload, "/labels", "labels", "title")?;
    Ok(IssueEvent {
        did: match action.as_str() {
            "open" | "update" => Did::Changed,
            "reopen" => Did::Reopened,
            "close" => Did::Closed,
            _ => Did::Other(action),
        },
        number: number(payload, "/object_attributes/iid", "object_attributes.iid")?,
        title: required(title, "object_attributes.title")?,
        body: text(payload, "/object_attributes/description", "object_attributes.description")?.unwrap_or_default(),
        labels,
        author: sender.clone().filter(|_| is_author),
        sender,
        is_closed: state.as_deref() == Some("closed"),
        is_confidential,
        is_pull_request: false,
        url: text(payload, "/object_attributes/url", "object_attributes.url")?.filter(|url| is_url(url)),
        updated_at: text(payload, "/object_attributes/updated_at", "object_attributes.updated_at")?
            .as_deref()
            .and_then(time),
    })
}

/// A time; GitLab has written it in two ways. What is none counts as not told.
fn time(text: &str) -> Option<Timestamp> {
    let older = || {
        let civil: DateTime = text.strip_suffix(" UTC")?.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse().ok().or_else(older)
}

/// A text; null counts as not given.
fn text(payload: &Value, at: &str, path: &'static str) -> Result<Option<String>> {
    match payload.pointer(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(path, "a text", other)),
    }
}

fn required(text: Option<String>, path: &'static str) -> Result<String> {
    text.ok_or(IssueError::Missing { path })
}

fn number(payload: &Value, at: &str, path: &'static str) -> Result<u64> {
    match payload.pointer(at) {
        None | Some(Value::Null) => Err(IssueError::Missing { path }),
        Some(value) => {
            value.as_u64().filter(|number| *number > 0).ok_or_else(|| wrong(path, "a whole number from 1", value))
        }
    }
}

/// The names of labels; forges send them as objects.
fn labels(payload: &Value, at: &str, path: &'static str, key: &str) -> Result<Vec<String>> {
    let labels = match payload.pointer(at) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(labels)) => labels,
        Some(other) => return Err(wrong(path, "a list", other)),
    };
    let name = |label: &Value| match label.get(key) {
        Some(Value::String(name)) => Ok(name.clone()),
        _ => Err(wrong(path, "a list of labels with their names", label)),
    };
    labels.iter().map(name).collect()
}

fn wrong(path: &'static str, wanted: &'static str, found: &Value) -> IssueError {
    let found = match found {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "a yes or no".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{}`", excerpt(text, 40)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    IssueError::WrongType { path, wanted, found }
}

/// Says whether an address can stand in a text as it is.
fn is_url(url: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '`' | '(' | ')' | '[' | ']' | '\\');
    url.len() <= MAX_URL && (url.starts_with("https://") || url.starts_with("http://")) && url.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn github() -> Value {
        json!({"action": "opened", "issue": {"number": 7, "title": "t", "body": "b", "user": {"login": "ann"},
            "labels": [{"name": "x"}], "state": "open"}, "sender": {"login": "bob"}})
    }

    fn of_gitlab() -> Value {
        json!({"object_kind": "issue", "user": {"id": 1, "username": "ann"}, "labels": [{"title": "x"}],
            "object_attributes": {"iid": 7, "title": "t", "description": "b", "action": "open", "state": "opened",
                "author_id": 1}})
    }

    fn read(payload: &Value) -> Result<IssueEvent> {
        parse(payload.to_string().as_bytes())
    }

    #[test]
    fn both_shapes_say_the_same() {
        let event = read(&of_gitlab()).unwrap();
        assert_eq!(event, IssueEvent { sender: Some("ann".into()), ..read(&github()).unwrap() });
        assert_eq!((event.number, event.did, event.author), (7, Did::Changed, Some("ann".into())));
    }

    #[test]
    fn on_gitlab_the_author_is_known_only_where_the_author_did_it() {
        let mut payload = of_gitlab();
        payload["user"]["id"] = json!(2);
        let event = read(&payload).unwrap();
        assert_eq!((event.author, event.sender), (None, Some("ann".into())));
        payload["user"]["id"] = Value::Null;
        payload["object_attributes"]["author_id"] = Value::Null;
        assert_eq!(read(&payload).unwrap().author, None);
    }

    #[test]
    fn what_is_missing_or_of_another_form_is_named() {
        let refused = |change: &dyn Fn(&mut Value), payload: fn() -> Value| {
            let mut payload = payload();
            change(&mut payload);
            read(&payload).unwrap_err().to_string()
        };
        let of_github = |change: &dyn Fn(&mut Value)| refused(change, github);
        let without = |payload: &mut Value, key: &str| drop(payload["issue"].as_object_mut().unwrap().remove(key));
        assert_eq!(of_github(&|p| without(p, "number")), "the issue event has no `issue.number`");
        assert_eq!(of_github(&|p| without(p, "title")), "the issue event has no `issue.title`");
        assert_eq!(of_github(&|p| p["action"] = Value::Null), "the issue event has no `action`");
        for (change, told) in [
            (json!("7\u{1b}"), "the text `7\\u{1b}`"),
            (json!(-7), "the number -7"),
            (json!(0), "the number 0"),
            (json!(1.5), "the number 1.5"),
            (json!([7]), "a list"),
        ] {
            let told = format!("`issue.number` of the issue event is {told}, and not a whole number from 1");
            assert_eq!(of_github(&|p| p["issue"]["number"] = change.clone()), told);
        }
        assert!(
            of_github(&|p| p["issue"]["body"] = json!({})).contains("`issue.body` of the issue event is an object")
        );
        assert!(of_github(&|p| p["issue"]["labels"] = json!(["x"])).contains("`issue.labels`"));
        assert!(of_github(&|p| p["issue"]["user"]["login"] = json!(1)).contains("`issue.user.login`"));
        assert!(of_github(&|p| p["issue"] = json!(1)).contains("not an object"));
        assert!(refused(&|p| p["object_attributes"] = json!([]), of_gitlab).contains("not an object"));
        assert!(
            refused(&|p| p["object_attributes"]["iid"] = Value::Null, of_gitlab)
                .contains("no `object_attributes.iid`")
        );
        assert_eq!(read(&json!({"object_kind": "note"})), Err(IssueError::NotAnIssue));
        assert_eq!(read(&json!([])), Err(IssueError::NotAnIssue));
        assert!(matches!(parse(b"{\"issue\": "), Err(IssueError::NotJson { .. })));
        assert!(
            matches!(parse("[".repeat(1 << 20).as_bytes()), Err(IssueError::NotJson { .. })),
            "nested too deeply"
        );
    }

    #[test]
    fn what_need_not_be_there() {
        let mut payload = github();
        payload["issue"]["body"] = Value::Null;
        payload["issue"]["user"] = Value::Null;
        payload["issue"]["labels"] = Value::Null;
        payload["sender"] = Value::Null;
        payload["issue"]["html_url"] = json!("javascript:alert(1)");
        for untold in [Value::Null, json!(""), json!("yesterday"), json!("2026-13-05 09:00:00 UTC")] {
            payload["issue"]["updated_at"] = untold;
            assert_eq!(read(&payload).unwrap().updated_at, None);
        }
        for told in ["2026-01-05 09:05:00 UTC", "2026-01-05T09:05:00Z", "2026-01-05T10:05:00.000+01:00"] {
            payload["issue"]["updated_at"] = json!(told);
            assert_eq!(read(&payload).unwrap().updated_at.unwrap().to_string(), "2026-01-05T09:05:00Z");
        }
        let event = read(&payload).unwrap();
        assert_eq!((event.body.as_str(), event.author, event.sender, event.url), ("", None, None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in ".*") {
            let _ = parse(&bytes);
            let _ = parse(format!("{{\"action\": \"opened\", \"issue\": {text}}}").as_bytes());
        }
    }
}
