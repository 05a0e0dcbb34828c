//! The corpus of the fuzz targets (`fuzz/`), and small changes of each of its files: a short run of what fuzzing does for hours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[allow(unreachable_pub, reason = "the fuzz targets use it as well")]
#[path = "../../fuzz/checks.rs"]
mod checks;

/// How many changes of each file are tried; with `GIT_DISPATCH_TEST_LONG` many more.
const CHANGES: usize = 40;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// Cuts, doubles, overwrites or mixes.
fn changed(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const PIECES: [&[u8]; 8] =
        [b"\0", b"\n", b"\xff\xfe", b"\x1b[2J", b"---\n", b"18446744073709551616", b"\xe2\x80\xae", b"gpgsig "];
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
            2 => bytes.extend_from_within(at..),
            3 => drop(bytes.splice(at.., other[numbers.below(other.len() + 1)..].iter().copied())),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(numbers.below(256)).unwrap();
                }
            }
        }
    }
    bytes.truncate(64 * 1024);
    bytes
}

#[test]
fn every_parser_of_outside_input_stands_the_corpus_and_what_is_near_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let list =
        |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>();
    let is_long = std::env::var_os("GIT_DISPATCH_TEST_LONG").is_some();
    let (mut numbers, mut runs) = (Numbers(0x5eed_0f0f_1234_5678), 0);
    for (name, check) in checks::ALL {
        let seeds: Vec<Vec<u8>> =
            list(&folder.join("corpus").join(name)).iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(seeds.len() >= 2, "{name} has no corpus");
        for (at, seed) in seeds.iter().enumerate() {
            check(seed);
            for _ in 0..if is_long { CHANGES * 250 } else { CHANGES } {
                let other = &seeds[(at + 1) % seeds.len()];
                let input = changed(seed, other, &mut numbers);
                let shown = input.clone();
                if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
                    println!("{name} fell over {:?}", String::from_utf8_lossy(&shown));
                    std::panic::resume_unwind(panic);
                }
                runs += 1;
            }
        }
    }
    println!("{runs} inputs for {} parsers", checks::ALL.len());
    let targets: BTreeSet<String> = list(&folder.join("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(targets, checks::ALL.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>());
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert!(targets.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))));
}
