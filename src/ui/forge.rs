//! Where a remote's forge shows a commit or a branch, and how a terminal is told of it.
//!
//! Owns which forges are known, by the name of their host alone: nobody is asked. A remote on any other host has no pages.

/// A forge that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GitHub,
    GitLab,
    /// Gitea, Forgejo and what came of them.
    Gitea,
    Bitbucket,
    SourceHut,
}

/// A repository on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    kind: Kind,
    /// `https://host/owner/name`.
    page: String,
}

impl Forge {
    /// Recognises the forge of a remote, by the address that its user gave it.
    pub fn of(url: &str) -> Option<Self> {
        let (host, path) = address(url)?;
        let labels: Vec<&str> = host.split('.').collect();
        let has = |name: &str| labels.contains(&name);
        let kind = match host.as_str() {
            "codeberg.org" => Kind::Gitea,
            "git.sr.ht" => Kind::SourceHut,
            _ if has("github") => Kind::GitHub,
            _ if has("gitlab") => Kind::GitLab,
            _ if has("gitea") || has("forgejo") => Kind::Gitea,
            _ if has("bitbucket") => Kind::Bitbucket,
            _ => return None,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let is_whole = path.split('/').count() >= 2 && path.split('/').all(|part| !part.is_empty());
        is_whole.then(|| Self { kind, page: format!("https://{host}/{}", encoded(path)) })
    }

    /// Returns the page of a commit.
    pub fn commit(&self, id: &str) -> String {
        let way = match self.kind {
            Kind::GitLab => "-/commit",
            Kind::Bitbucket => "commits",
            Kind::GitHub | Kind::Gitea | Kind::SourceHut => "commit",
        };
        format!("{}/{way}/{}", self.page, encoded(id))
    }

    /// Returns the page of a branch.
    pub fn branch(&self, name: &str) -> String {
        let way = match self.kind {
            Kind::GitHub | Kind::SourceHut => "tree",
            Kind::GitLab => "-/tree",
            Kind::Gitea => "src/branch",
            Kind::Bitbucket => "src",
        };
        format!("{}/{way}/{}", self.page, encoded(name))
    }
}

/// Host and path of an address: `https://…`, `ssh://…`, `git@host:path`. Names and passwords in it are left out.
fn address(url: &str) -> Option<(String, &str)> {
    let (authority, path) = match url.split_once("://") {
        Some(("https" | "http" | "ssh" | "git" | "git+ssh", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        // A colon before the first slash: as scp has it.
        None => url.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?.to_ascii_lowercase();
    let is_name = host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    is_name.then_some((host, path))
}

/// Writes out what may not stand in an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Makes a text a link, in the way of terminals (OSC 8). The text must be harmless already.
pub fn linked(text: &str, url: &str) -> String {
    format!("\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forges_are_known_by_their_host() {
        for (url, expected) in [
            ("https://github.com/o/r.git", "https://github.com/o/r/commit/abc"),
            ("git@github.com:o/r.git", "https://github.com/o/r/commit/abc"),
            (
                "ssh://git@gitlab.example.org:2222/group/sub/r.git",
                "https://gitlab.example.org/group/sub/r/-/commit/abc",
            ),
            ("https://me:secret@codeberg.org/o/r/", "https://codeberg.org/o/r/commit/abc"),
            ("https://bitbucket.org/o/r", "https://bitbucket.org/o/r/commits/abc"),
            ("git@git.sr.ht:~o/r", "https://git.sr.ht/~o/r/commit/abc"),
        ] {
            assert_eq!(Forge::of(url).map(|forge| forge.commit("abc")).as_deref(), Some(expected), "{url}");
        }
        for url in [
            "/srv/git/github.com/r.git",
            "https://example.org/o/r",
            "file:///github.com/o/r",
            "C:\\r",
            "https://github.com/",
            "https://git\u{1b}hub.com/o/r",
            "github:o/r",
        ] {
            assert_eq!(Forge::of(url), None, "{url}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let forge = Forge::of("https://github.com/o/r").unwrap();
        assert_eq!(forge.branch("a b\u{1b}\\?#"), "https://github.com/o/r/tree/a%20b%1B%5C%3F%23");
    }
}
