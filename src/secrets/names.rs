//! Owns the judgement on names of files.

use super::rules::{self, Files};

/// Files that programs write, full of checksums.
const MACHINE_MADE: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "go.sum",
    "poetry.lock",
    "Pipfile.lock",
    "composer.lock",
    "Gemfile.lock",
    "uv.lock",
    "flake.lock",
    "deno.lock",
    "bun.lock",
    "mix.lock",
    "pubspec.lock",
    "Podfile.lock",
    "packages.lock.json",
    "gradle.lockfile",
    ".terraform.lock.hcl",
    ".cargo-checksum.json",
    ".cargo_vcs_info.json",
];

/// Says which kind of secrets a file of this name holds.
pub(super) fn kind_of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_of = |patterns: &[String]| patterns.iter().any(|pattern| is_like(&pattern.to_ascii_lowercase(), &name));
    let rule = |files: &&Files| is_of(&files.names) && !is_of(&files.except);
    rules::files().iter().find(rule).map(|files| files.kind)
}

/// Says whether a program writes the file, with checksums that are random and no secrets.
pub(super) fn is_machine_made(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    MACHINE_MADE.contains(&name)
        || [".min.js", ".min.css", ".map", ".svg", ".snap"].iter().any(|end| name.ends_with(end))
}

/// Matches a name against a pattern in which `*` stands for any letters.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| is_like(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (path, kind) in [
            ("a/.env", "environment file"),
            (".env.production", "environment file"),
            ("prod.env", "environment file"),
            ("deploy/id_ed25519", "private key file"),
            ("CERT.P12", "private key file"),
            ("home/.netrc", "credentials file"),
            ("terraform.tfstate", "credentials file"),
            ("client_secret_12.apps.json", "credentials file"),
        ] {
            assert_eq!(kind_of(path), Some(kind), "{path}");
        }
        for path in [
            ".env.example",
            "example.env",
            ".env.local.sample",
            "id_rsa.pub",
            "src/env.rs",
            ".environment",
            "a.env/x",
            "keystore.rs",
        ] {
            assert_eq!(kind_of(path), None, "{path}");
        }
    }
}
