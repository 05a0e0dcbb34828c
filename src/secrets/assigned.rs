//! Owns lines that set something which is called a secret: `password = "…"`, `API_KEY=…`, `"token": "…"`.
//!
//! Read by hand and not by a language's grammar: a name, a sign that assigns, a value. In code a value must be quoted, or any
//! `token = next_token()` would be one; in files of settings it need not.

use std::ops::Range;

use super::value;

/// What a hit of this kind is called.
pub(super) const KIND: &str = "value that is set as a secret";

/// How values are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In quotes alone.
    Code,
    /// Also as they are.
    Settings,
}

/// The ends of names of files of settings.
const SETTINGS: &[&str] = &[
    "env",
    "ini",
    "cfg",
    "conf",
    "config",
    "properties",
    "yml",
    "yaml",
    "toml",
    "tfvars",
    "sh",
    "bash",
    "zsh",
    "envrc",
    "netrc",
    "npmrc",
    "pypirc",
    "service",
    "plist",
    "xml",
    "txt",
    "dockerfile",
    "md",
    "ps1",
    "bat",
    "cmd",
    "fish",
    "cnf",
    "secrets",
    "credentials",
];

/// What a name must hold for its value to be called a secret.
const WORDS: &[&str] = &[
    "passw",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "accountkey",
    "credential",
    "pwd",
    "pgpass",
];

/// The same for passwords, which people make up.
const PASSWORDS: &[&str] = &["passw", "passphrase", "pwd", "pgpass"];

/// The last word of a name whose value is something about a secret and not the secret.
const ABOUT: &[&str] = &[
    "name",
    "names",
    "type",
    "url",
    "uri",
    "path",
    "file",
    "files",
    "field",
    "fields",
    "header",
    "headers",
    "prefix",
    "suffix",
    "length",
    "len",
    "size",
    "count",
    "format",
    "regex",
    "pattern",
    "label",
    "hint",
    "expiry",
    "expires",
    "ttl",
    "timeout",
    "env",
    "var",
    "id",
    "ids",
    "arn",
    "ref",
    "version",
    "endpoint",
    "scope",
    "scopes",
    "issuer",
    "audience",
    "kind",
    "class",
    "index",
    "policy",
    "rule",
    "rules",
    "error",
    "message",
    "description",
    "title",
    "placeholder",
    "example",
    "hash",
    "digest",
    "checksum",
    "fingerprint",
    "limit",
    "limits",
    "usage",
    "start",
    "end",
];

impl Style {
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let end = name.rsplit('.').next().unwrap_or_default();
        let is_env = name.starts_with(".env") || name.starts_with("dockerfile");
        if is_env || SETTINGS.contains(&end) || !name.contains('.') { Self::Settings } else { Self::Code }
    }
}

/// Finds a value in one line that is set as a secret.
pub(super) fn find(line: &[u8], style: Style) -> Option<Range<usize>> {
    let line = std::str::from_utf8(line).ok()?;
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    // A line may set several.
    while let Some(at) = lower[from..].find(['=', ':', ',', '>']).map(|at| from + at) {
        from = at + 1;
        let named = || name_before(&lower, at).as_deref().and_then(secrecy);
        if let Some(is_password) = named().or_else(|| name_before_type(&lower, at).as_deref().and_then(secrecy))
            && let Some(place) = value_after(line, at, style)
        {
            let text = &line[place.clone()];
            let is_one = value::is_random(text) || (is_password && value::is_strong_password(text));
            if is_one {
                return Some(place);
            }
        }
    }
    None
}

/// The name that stands before a sign, in small letters and without what parts its words but one `_` each.
fn name_before(lower: &str, sign: usize) -> Option<String> {
    let before = lower[..sign].trim_end_matches([':', '=', '<', '-', ' ', '\t']);
    // `<password>…`, `["token"]`, `'token'`, `name: String` all end with something that is not the name's.
    let before = before.trim_end_matches(['"', '\'', ']', ')', '`', '*', ' ', '?', '!', '\\']);
    let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).map_or(0, |at| at + 1);
    // The character before may be one of several bytes.
    let name = before.get(start..)?;
    (!name.is_empty() && name.len() <= 80).then(|| name.replace(['-', '.'], "_"))
}

/// The name that stands before a type and a `=`: `name: &str =`.
fn name_before_type(lower: &str, sign: usize) -> Option<String> {
    let colon = lower[..sign].rfind(':').filter(|_| lower.as_bytes()[sign] == b'=')?;
    let is_type = |c: char| c.is_ascii_alphanumeric() || "_&<>'[]?*| \t".contains(c);
    lower[colon + 1..sign].chars().all(is_type).then(|| name_before(lower, colon)).flatten()
}

/// Says whether a name is one of a secret, and then whether of a password.
fn secrecy(name: &str) -> Option<bool> {
    let joined = name.replace('_', "");
    let last = name.rsplit('_').next().unwrap_or_default();
    let is_about = ABOUT.contains(&last)
        || joined.contains("public")
        || joined.contains("pubkey")
        || joined.contains("tokeniz");
    let is_secret = WORDS.iter().any(|word| joined.contains(word));
    (is_secret && !is_about).then(|| PASSWORDS.iter().any(|word| joined.contains(word)))
}

/// Where the value stands that follows a sign.
fn value_after(line: &str, sign: usize, style: Style) -> Option<Range<usize>> {
    let rest = line.get(sign + 1..)?;
    let begin = rest.trim_start_matches(['=', '>', ':', ' ', '\t', '\\']);
    // A prefix of a string, or a type: `b"…"`, `String = "…"` is met at its own sign.
    let begin =
        begin.strip_prefix(['b', 'r', 'f', 'u', '@']).filter(|rest| rest.starts_with(['"', '\''])).unwrap_or(begin);
    let start = line.len() - begin.len();
    let mut letters = begin.chars();
    match letters.next()? {
        quote @ ('"' | '\'' | '`') => {
            let length = letters.as_str().find([quote, '\\'])?;
            Some(start + 1..start + 1 + length)
        }
        _ if style == Style::Settings && line.as_bytes()[sign] != b',' => {
            let length = begin.find([' ', '\t', '\r', '\n', '"', '\'', ',', ';', '<']).unwrap_or(begin.len());
            // Something follows that is no comment: prose, or code.
            let after = begin[length..].trim();
            let is_alone = after.is_empty()
                || after.starts_with(['#', '<', ';', '"', '\'', ','])
                || after.starts_with("//")
                || after.starts_with("&&")
                || after.contains('=')
                || after.starts_with("--");
            is_alone.then_some(start..start + length)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str, style: Style) -> Option<&str> {
        find(line.as_bytes(), style).map(|place| &line[place])
    }

    // Made up here, in two parts each, so that nobody takes them for real.
    const LONG: &str = concat!("q7Wz81kDn3", "LsT0VbR5");
    const TYPED: &str = concat!("Tr0ub4", "dor&3!");

    #[test]
    fn what_is_set_as_a_secret_is_found() {
        for (line, style) in [
            (format!("api_key = \"{LONG}\""), Style::Code),
            (format!("  \"clientSecret\": \"{LONG}\","), Style::Code),
            (format!("const TOKEN: &str = \"{LONG}\";"), Style::Code),
            (format!("config['auth-token'] = '{LONG}'"), Style::Code),
            (format!("client.connect(user=\"x\", token=\"{LONG}\")"), Style::Code),
            (format!("setEnv(\"API_TOKEN\", \"{LONG}\")"), Style::Code),
            (format!("export API_TOKEN={LONG}"), Style::Settings),
            (format!("  token: {LONG} # of the robot"), Style::Settings),
            (format!("secret := `{LONG}`"), Style::Code),
            (format!("<add key=\"ApiToken\" token=\"{LONG}\"/>"), Style::Code),
            (format!("\"token\" => \"{LONG}\","), Style::Code),
        ] {
            assert_eq!(found(&line, style), Some(LONG), "{line}");
        }
        assert_eq!(found(&format!("db.password={TYPED}"), Style::Settings), Some(TYPED));
        assert_eq!(found(&format!("PASSWORD = '{TYPED}'"), Style::Code), Some(TYPED));
    }

    #[test]
    fn code_and_words_are_no_secrets() {
        for line in [
            "let token = lexer.next_token();",
            "token: Token::Identifier,",
            "password: &str,",
            "secret_name = \"prod-database-credentials-2024\"",
            "token = os.environ[\"API_TOKEN\"]",
            "api_key = \"your-api-key-goes-here-1\"",
            "password = \"password\"",
            "\"tokenizer\": \"q7Wz81kDn3LsT0VbR5\"",
            "token_url = \"https://example.org/oauth2/v1/token\"",
            "the password: it is asked for",
            "é password",
        ] {
            for style in [Style::Code, Style::Settings] {
                assert_eq!(found(line, style), None, "{line}");
            }
        }
        assert_eq!(found(&format!("token = {LONG}"), Style::Code), None);
    }
}
