//! Files that are not what they should be: each is refused by name, with exit 2, and no ref is written.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{enqueue_lines, refs, refused, text};

use super::{Gap, queue};

/// A hub with results under way, and work on top of what is known.
fn under_way() -> Gap {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.trip(1);
    queue(&gap.boss, &["b", "c"]);
    gap.work("out2");
    gap.open("out2");
    gap.run();
    gap.results("back2");
    queue(&gap.boss, &["d"]);
    gap.work("out3");
    // What was pushed is looked at again by the next who reads the hub, not by what is refused below.
    gap.boss.dispatch(&["collect", "--dry-run"]).success();
    gap
}

struct Sides<'a> {
    gap: &'a Gap,
    before: [String; 3],
}

impl<'a> Sides<'a> {
    fn of(gap: &'a Gap) -> Self {
        Self { gap, before: [refs(&gap.boss), refs(&gap.hub), refs(&gap.away())] }
    }

    /// Gives both sides a file, and demands that both refuse it. Returns the codes.
    fn refuse(&self, what: &str, bytes: &[u8]) -> [String; 2] {
        fs::write(self.gap.path("bad"), bytes).unwrap();
        let root = self.gap.sandbox.repo(".");
        let open = root.dispatch(&["bundle", "open", "bad", "vault", "--json"]);
        let collect = self.gap.boss.dispatch(&["collect", "--bundle", "../bad", "--json"]);
        let fresh = root.dispatch(&["bundle", "open", "bad", "fresh", "--json"]);
        let codes = [&open, &collect, &fresh].map(|out| {
            let code = text(&out.json()["error"]["code"]);
            // A flipped bit may be one of the version's.
            let is_newer = out.code == 1 && code == "dispatch::format::newer";
            assert!(is_newer || out.code == 2 && code.starts_with("dispatch::bundle::"), "{what}:\n{out}");
            code
        });
        assert_eq!(Self::of(self.gap).before, self.before, "{what}: no ref is written");
        let left = fs::read_dir(self.gap.sandbox.root()).unwrap().flatten();
        let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().contains("fresh")).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
        let [open, collect, _] = codes;
        [open, collect]
    }
}

fn pack_at(bytes: &[u8]) -> usize {
    bytes.windows(6).position(|part| part == b"\n\nPACK").unwrap() + 2
}

#[test]
fn cut_short_anywhere() {
    let gap = under_way();
    let sides = Sides::of(&gap);
    assert_eq!(sides.refuse("empty", b"").map(|code| code.ends_with("not_a_bundle")), [true, true]);
    for name in ["out3", "back2"] {
        let whole = fs::read(gap.path(name)).unwrap();
        let pack = pack_at(&whole);
        for end in [1, 10, 17, pack / 2, pack - 1, pack + 3, pack + 12, (pack + whole.len()) / 2, whole.len() - 1] {
            sides.refuse(&format!("{name} cut at {end} of {}", whole.len()), &whole[..end]);
        }
        sides.refuse("more behind it", &[&whole[..], b"x"].concat());
    }
    gap.collect("back2");
    gap.open("out3");
    gap.sound();
}

#[test]
fn a_flipped_bit_anywhere() {
    let gap = under_way();
    let sides = Sides::of(&gap);
    for name in ["out3", "back2"] {
        let whole = fs::read(gap.path(name)).unwrap();
        let pack = pack_at(&whole);
        // All over the header, where git itself would not see it, and here and there in the pack.
        let step = (pack / 40).max(1);
        let header = (0..pack).step_by(step).enumerate();
        let rest = (pack..whole.len()).step_by((whole.len() - pack) / 12 + 1).enumerate();
        for (turn, at) in header.chain(rest) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (turn % 7);
            sides.refuse(&format!("{name}, byte {at} of {pack}+{}", whole.len() - pack), &bytes);
        }
    }
    gap.collect("back2");
    gap.sound();
}

/// Puts lines of refs into the header of a file.
fn with_refs(gap: &Gap, name: &str, change: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let whole = fs::read(gap.path(name)).unwrap();
    let pack = pack_at(&whole);
    let mut lines: Vec<String> =
        String::from_utf8(whole[..pack - 1].to_vec()).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    let mut bytes = format!("{}\n\n", lines.join("\n")).into_bytes();
    bytes.extend(&whole[pack..]);
    bytes
}

#[test]
fn refs_that_do_not_belong_there() {
    let gap = under_way();
    let sides = Sides::of(&gap);
    let id = gap.boss.git(&["rev-parse", "HEAD"]);
    for name in [
        "refs/tags/v1",
        "HEAD",
        "refs/heads/../../config",
        "refs/heads/--upload-pack=x",
        "refs/dispatch/control",
        "refs/dispatch/claims/p/../x",
        "refs/dispatch/claims/p/$(touch x)",
        "refs/dispatch-local/bundle/opened",
        "refs/dispatch-local/slots/1",
        "refs/notes/commits",
        "refs/heads/\u{1b}[2Jx",
        "../../hooks/pre-push",
    ] {
        for file in ["out3", "back2"] {
            let bytes = with_refs(&gap, file, |lines| lines.push(format!("{id} {name}")));
            let codes = sides.refuse(name, &bytes);
            let own = if file == "out3" { &codes[0] } else { &codes[1] };
            assert_eq!(own, "dispatch::bundle::bad_ref", "{name}");
        }
    }
    // A node speaks for itself alone; and what the manifest does not say was added on the way.
    for (name, code) in [
        ("refs/heads/main", "bad_ref"),
        ("refs/dispatch/queue", "bad_ref"),
        ("refs/notes/dispatch-sealed", "bad_ref"),
        ("refs/notes/dispatch/n1", "bad_ref"),
        ("refs/dispatch/nodes/n1", "bad_ref"),
        ("refs/dispatch/claims/p/d", "damaged"),
        ("refs/dispatch/attempts/p/d/1-vault", "damaged"),
    ] {
        let bytes = with_refs(&gap, "back2", |lines| lines.push(format!("{id} {name}")));
        assert_eq!(sides.refuse(name, &bytes)[1], format!("dispatch::bundle::{code}"), "{name}");
    }
}

#[test]
fn more_refs_than_there_may_be() {
    let gap = under_way();
    let sides = Sides::of(&gap);
    let id = gap.boss.git(&["rev-parse", "HEAD"]);
    let many = |lines: &mut Vec<String>| lines.extend((0..100_000).map(|at| format!("{id} refs/heads/x{at}")));
    let start = std::time::Instant::now();
    for file in ["out3", "back2"] {
        let codes = sides.refuse("many refs", &with_refs(&gap, file, many));
        assert_eq!(codes.map(|code| code.ends_with("too_large")), [true, true]);
    }
    assert!(start.elapsed().as_secs() < 24, "each of six within seconds, on any machine");
    let long = format!("# v2 git bundle\n{id} refs/heads/{}\n\nPACK", "x".repeat(100_000));
    assert_eq!(sides.refuse("a long line", long.as_bytes())[0], "dispatch::bundle::too_large");
}

#[test]
fn files_of_others() {
    let gap = under_way();
    let sides = Sides::of(&gap);
    // The same names, another repository.
    let other = Gap::new();
    enqueue_lines(&other.boss, &[("z", "echo z > z.txt"), ("a", "echo a > a.txt")]);
    other.work("job");
    other.open("job");
    other.run();
    other.results("back");
    let read = |gap: &Gap, name: &str| fs::read(gap.path(name)).unwrap();
    assert_eq!(sides.refuse_known("work of another", &read(&other, "job"))[0], "dispatch::bundle::foreign");
    assert_eq!(sides.refuse_known("results of another", &read(&other, "back"))[1], "dispatch::bundle::foreign");
    // git's own.
    gap.boss.git(&["bundle", "create", "--quiet", "../plain", "main"]);
    assert_eq!(sides.refuse("git's", &read(&gap, "plain"))[1], "dispatch::bundle::not_ours");
    // The wrong way round.
    let out = gap.boss.dispatch(&["collect", "--bundle", "../out3", "--json"]);
    refused(&out, "dispatch::bundle::wrong_way", 2);
    let out = gap.sandbox.repo(".").dispatch(&["bundle", "open", "back2", "vault", "--json"]);
    refused(&out, "dispatch::bundle::wrong_way", 2);
    refused(&gap.boss.dispatch(&["collect", "--bundle", "../none", "--json"]), "dispatch::bundle::unreadable", 2);
    refused(&gap.boss.dispatch(&["collect", "--bundle", "..", "--json"]), "dispatch::bundle::unreadable", 2);
    // A later version.
    let newer = with_refs(&gap, "back2", |lines| {
        let at = lines.iter().position(|line| line.contains("/v1/results/")).unwrap();
        lines[at] = lines[at].replace("/v1/", "/v2/");
    });
    fs::write(gap.path("bad"), newer).unwrap();
    refused(&gap.boss.dispatch(&["collect", "--bundle", "../bad", "--json"]), "dispatch::format::newer", 1);
}

impl Sides<'_> {
    /// The same, where a folder that is not there yet would be another clone's.
    fn refuse_known(&self, what: &str, bytes: &[u8]) -> [String; 2] {
        fs::write(self.gap.path("bad"), bytes).unwrap();
        let open = self.gap.sandbox.repo(".").dispatch(&["bundle", "open", "bad", "vault", "--json"]);
        let collect = self.gap.boss.dispatch(&["collect", "--bundle", "../bad", "--json"]);
        let codes = [open, collect].map(|out| text(&out.code(2).json()["error"]["code"]));
        assert_eq!(Self::of(self.gap).before, self.before, "{what}: no ref is written");
        codes
    }
}

#[test]
fn what_came_before_is_missing() {
    let gap = under_way();
    // Another clone of the hub that was made since has not what only the results built on.
    let root = gap.sandbox.repo(".");
    let before = refs(&gap.hub);
    let lonely = |name: &str| -> Value {
        root.git(&["init", "--quiet", "lonely"]);
        let lonely: Repo = gap.sandbox.repo("lonely");
        lonely.write("x", "x");
        lonely.commit("Another");
        let out = lonely.dispatch(&["collect", "--bundle", &format!("../{name}"), "--json"]);
        refused(&out, "dispatch::bundle::foreign", 2)
    };
    lonely("back2");
    let out = root.dispatch(&["bundle", "open", "out3", "fresh", "--json"]);
    let error = refused(&out, "dispatch::bundle::missing_prerequisite", 2);
    assert!(text(&error["help"]).contains("--whole"), "{error}");
    assert!(!gap.path("fresh").exists());
    assert_eq!(refs(&gap.hub), before);
}

#[test]
fn nothing_is_written_over() {
    let gap = under_way();
    let before = fs::read(gap.path("out3")).unwrap();
    let out = gap.boss.dispatch(&["bundle", "create", "../out3", "--for", "vault", "--json"]);
    refused(&out, "dispatch::bundle::exists", 2);
    let out = gap.away().dispatch(&["bundle", "create", "../out3", "--results", "--json"]);
    refused(&out, "dispatch::bundle::exists", 2);
    assert_eq!(fs::read(gap.path("out3")).unwrap(), before);
    let out = gap.boss.dispatch(&["bundle", "create", "../no/such/folder", "--for", "vault", "--json"]);
    refused(&out, "dispatch::bundle::unreadable", 2);
    gap.boss.dispatch(&["bundle", "create", "../x", "--json"]).code(2);
    gap.boss.dispatch(&["bundle", "create", "../x", "--for", "v", "--results", "--json"]).code(2);
}

#[test]
fn a_file_shows_what_is_in_it_anywhere() {
    let gap = under_way();
    let elsewhere = Sandbox::embedded();
    let path = gap.path("back2");
    let root = elsewhere.repo(".");
    let shown = root.dispatch(&["bundle", "show", path.to_str().unwrap()]).success();
    assert!(shown.stdout.starts_with("results of node vault: 2 tasks, "), "{shown}");
    assert!(shown.stdout.contains("completed  p/b\ncompleted  p/c\n"), "{shown}");
    let json = root.dispatch(&["bundle", "show", path.to_str().unwrap(), "--json"]).success().json();
    assert_eq!((&json["kind"], &json["node"]), (&"results".into(), &"vault".into()));
    assert_eq!(json["bytes"], fs::metadata(&path).unwrap().len());
    // git's own tools read it.
    let heads = gap.boss.git(&["bundle", "list-heads", "../back2"]);
    assert!(heads.contains("refs/dispatch/claims/p/b"), "{heads}");
    gap.boss.git(&["bundle", "verify", "--quiet", "../back2"]);
}
