//! The addresses of hubs: which kinds are spoken.
//!
//! Owns the judgement of an address as it is written, before git rewrites or uses it. An address runs nothing, and says
//! who answers: https and ssh prove it, a path is a path; what proves nothing is spoken to this machine alone.

/// The kinds of addresses that are spoken, beside paths and `host:path`.
const SPOKEN: [&str; 3] = ["https", "ssh", "file"];

/// The kinds that say nothing of who answers: to this machine itself only, where nobody else can.
const SPOKEN_HERE: [&str; 2] = ["http", "git"];

/// Says whether an address is one that is spoken.
pub fn is_spoken(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    // `ext::…`; an address of IPv6 has its colons elsewhere.
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let names_helper = url.split_once("::").is_some_and(|(helper, _)| is_word(helper));
    let is_known = scheme.is_none_or(|scheme| SPOKEN.contains(&scheme)) || plain_scheme(url).is_some();
    !url.starts_with('-') && !names_helper && is_known
}

/// The value of `GIT_ALLOW_PROTOCOL` for a conversation with an address: whatever it is rewritten into, no other kind is
/// spoken.
pub(super) fn allowed(url: &str) -> String {
    let mut allowed = SPOKEN.join(":");
    if let Some(scheme) = plain_scheme(url) {
        allowed.push(':');
        allowed.push_str(scheme);
    }
    allowed
}

/// Says whether an address is one of the web, where answers have numbers.
pub(super) fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// The kind of an address that proves nothing, where it is this machine's own.
fn plain_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| SPOKEN_HERE.contains(scheme))?;
    let place = rest.split('/').next()?;
    // What readers of addresses read differently is not read at all.
    if !place.chars().all(|c| c.is_ascii_alphanumeric() || ".-_~:[]@%".contains(c))
        || place.matches('@').count() > 1
    {
        return None;
    }
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    let is_here =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_here.then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_nothing_and_says_who_answers_is_spoken() {
        for url in [
            "/srv/x.git",
            "../x",
            "git@host:x.git",
            "ssh://git@host/x",
            "https://[::1]:8443/x",
            "file:///x",
            "C:\\x",
            "http://127.0.0.1:8080/x",
            "http://me@localhost/x",
            "git://[::1]/x",
            "git://127.1.2.3:9418/x",
        ] {
            assert!(is_spoken(url), "{url}");
        }
        for url in [
            "ext::sh -c x",
            "::x",
            "fd::1",
            "evil-helper::x",
            "http://x/y",
            "git://x/y",
            "http://localhost.example.org/x",
            "http://127.0.0.1@example.org/x",
            "http://example.org#@127.0.0.1/x",
            "git://example.org\\@127.0.0.1/x",
            "http://127.0.0.1.example.org/x",
            "http:///x",
            "ftp://x",
            "evil://x",
            "-oProxyCommand=x",
        ] {
            assert!(!is_spoken(url), "{url}");
        }
    }

    #[test]
    fn what_proves_nothing_is_allowed_for_such_an_address_alone() {
        assert_eq!(allowed("/srv/x.git"), "https:ssh:file");
        assert_eq!(allowed("http://127.0.0.1/x"), "https:ssh:file:http");
        assert_eq!(allowed("git://localhost/x"), "https:ssh:file:git");
        assert_eq!(allowed("http://example.org/x"), "https:ssh:file");
    }
}
