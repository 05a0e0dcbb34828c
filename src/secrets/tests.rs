//! What is found, and what is not: planted secrets of `fixtures/secrets`, and ordinary source.

#![expect(clippy::print_stdout, reason = "counts are told with `--nocapture`")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

/// Made-up secrets, broken up so that nobody takes them for real ones.
const PLANTED: &str = include_str!("../../fixtures/secrets/planted.txt");

/// What looks alike and is none.
const INNOCENT: &str = include_str!("../../fixtures/secrets/innocent.txt");

/// The files of a fixture: kind, path, text.
fn files(fixture: &str) -> Vec<(String, String, String)> {
    let file = |part: &str| {
        let (header, text) = part.split_once('\n').unwrap();
        let (kind, path) = header.split_once(" | ").unwrap();
        (kind.to_owned(), path.to_owned(), text.replace("{{}}", ""))
    };
    fixture.split("\n== ").skip(1).map(file).collect()
}

fn kinds_in(path: &str, text: &str) -> Vec<&'static str> {
    named(path).into_iter().chain(find(path, text.as_bytes()).into_iter().map(|hit| hit.kind)).collect()
}

#[test]
fn planted_secrets_are_found() {
    let planted = files(PLANTED);
    let kinds: BTreeSet<&str> = planted.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert!(planted.len() >= 60 && kinds.len() >= 20, "{} secrets of {} kinds", planted.len(), kinds.len());
    let missed: Vec<_> = planted.iter().filter(|(_, path, text)| kinds_in(path, text).is_empty()).collect();
    let otherwise = planted.iter().filter(|(kind, path, text)| !kinds_in(path, text).contains(&kind.as_str()));
    let otherwise: Vec<_> = otherwise.map(|(kind, path, text)| (kind, path, kinds_in(path, text))).collect();
    assert!(missed.len() * 20 <= planted.len(), "{} of {} missed: {missed:#?}", missed.len(), planted.len());
    assert!(otherwise.len() * 10 <= planted.len(), "called otherwise: {otherwise:#?}");
    println!(
        "{} of {} planted secrets of {} kinds found",
        planted.len() - missed.len(),
        planted.len(),
        kinds.len()
    );
    // Broken up, they are none: not to us, nor to whoever looks through this repository.
    assert_eq!(find("planted.txt", PLANTED.as_bytes()), []);
}

/// Each begins with the same line, which is dense in nothing.
#[test]
fn keys_are_found_as_ssh_keygen_writes_them() {
    let keys: Vec<_> = files(PLANTED).into_iter().filter(|(kind, ..)| kind == "private key").collect();
    let of_ssh = keys.iter().filter(|(.., text)| text.contains("b3BlbnNzaC1rZXktdjE"));
    assert_eq!(of_ssh.count(), 3);
    for (_, path, text) in keys {
        assert!(kinds_in(&path, &text).contains(&"private key"), "{path}");
    }
}

/// As Windows' shells write what goes into a file.
#[test]
fn wide_characters_are_read() {
    let text = "one\nkey = 'gh{{}}p_q7Wz81kDn3LsT0VbR5yUx2Fh9GjA4mEc6PoKi'\n".replace("{{}}", "");
    for bytes in [
        [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat(),
        [&[0xfe, 0xff][..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()].concat(),
    ] {
        assert_eq!(find("a.py", &bytes), []);
        let hits = find("a.py", &readable(bytes));
        assert_eq!(hits.iter().map(|hit| (hit.kind, hit.line)).collect::<Vec<_>>(), [("GitHub token", Some(2))]);
    }
    assert_eq!(readable(b"\xff\xfe".to_vec()), b"");
    assert_eq!(readable(b"plain".to_vec()), b"plain");
}

#[test]
fn the_place_is_the_value_and_the_line_its_own() {
    let text = "one\ntwo\nkey = 'gh{{}}p_q7Wz81kDn3LsT0VbR5yUx2Fh9GjA4mEc6PoKi'\n".replace("{{}}", "");
    let hits = find("a.py", text.as_bytes());
    assert_eq!(hits.len(), 1);
    assert_eq!(
        (hits[0].kind, hits[0].line, &text[hits[0].place.clone()]),
        ("GitHub token", Some(3), &text[15..56])
    );
}

#[test]
fn look_alikes_are_no_secrets() {
    for (what, path, text) in files(INNOCENT) {
        assert_eq!(kinds_in(&path, &text), Vec::<&str>::new(), "{what}: {path}\n{text}");
    }
}

/// Ordinary source: this repository's, and in the long form every crate that was ever unpacked here.
#[test]
fn ordinary_source_raises_no_alarm() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["src", "tests", "benches", "fixtures"].iter().map(|name| own.join(name)).collect();
    #[expect(clippy::disallowed_methods, reason = "where cargo keeps sources is the machine's affair")]
    let (is_long, home) = (
        std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some(),
        std::env::var_os("CARGO_HOME").or_else(|| std::env::var_os("HOME")),
    );
    if let Some(home) = home.map(PathBuf::from) {
        let sources = [home.join("registry/src"), home.join(".cargo/registry/src")];
        let crates = sources.iter().flat_map(|folder| below(folder)).flat_map(|registry| below(&registry));
        let crates = crates.filter(|folder| is_long || folder.to_string_lossy().contains("/gix-config"));
        folders.extend(crates);
    }
    let (mut count, mut alarms) = (0_usize, Vec::new());
    while let Some(folder) = folders.pop() {
        for path in below(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                count += 1;
                let shown = path.to_string_lossy();
                let hits = find(&shown, &bytes)
                    .into_iter()
                    .map(|hit| format!("{} in line {}", hit.kind, hit.line.unwrap_or(0)));
                let hits: Vec<String> = named(&shown).map(str::to_owned).into_iter().chain(hits).collect();
                if !hits.is_empty() {
                    alarms.push(format!("{shown}: {}", hits.join(", ")));
                }
            }
        }
    }
    println!("{} alarms in {count} files", alarms.len());
    assert!(count > 200, "only {count} files");
    assert!(alarms.len() * 1000 <= count, "{} alarms in {count} files: {alarms:#?}", alarms.len());
}

fn below(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink())
        .collect()
}
