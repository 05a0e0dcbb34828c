//! Owns the judgement on one value: whether it stands for another, and whether it is dense enough to be a secret.

/// Words that stand in values which are no secrets.
const STAND_INS: &[&str] = &[
    "example",
    "sample",
    "dummy",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "your",
    "xxxx",
    "todo",
    "fixme",
    "fake",
    "redacted",
    "insert",
    "replace",
    "secret_here",
    "not-a-real",
    "notreal",
    "deadbeef",
    "foobar",
    "1234567890",
    "0123456789",
    "abcdefgh",
    "hunter2",
    "undefined",
    "process.env",
    "os.environ",
    "getenv",
    "lorem",
    "test_token",
    "test-token",
    "mytoken",
    "mysecret",
    "my_secret",
    "my-secret",
    "...",
    "****",
    "____",
    "<",
    "${",
    "{{",
    "$(",
    "%(",
    "%{",
    "#{",
    "{%",
    "@@",
];

/// Measures the entropy of bytes by how often each occurs, in bits a byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let length = bytes.len().max(1) as f64;
    let share = |count: u32| f64::from(count) / length;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

/// Says whether a value stands for one that is filled in elsewhere, or was made up for people.
pub(super) fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_filled_in =
        text.starts_with(['$', '%', '&', '#', '!', '@']) && !text[1..].contains(['$', '%', '&', '#', '!', '@']);
    let is_one_letter = text.bytes().all(|byte| Some(&byte) == text.as_bytes().first());
    is_one_letter
        || (is_filled_in && is_words(&text[1..]))
        || STAND_INS.iter().any(|word| lower.contains(word))
        || counts_up(text)
}

/// Says whether much of it is letters or figures in their order: `abcdefg`, `7654321`.
fn counts_up(text: &str) -> bool {
    let bytes = text.as_bytes();
    let step = |pair: &[u8]| i16::from(pair[1]) - i16::from(pair[0]);
    let steps: Vec<i16> = bytes.windows(2).map(step).collect();
    let longest =
        steps.chunk_by(|a, b| a == b && a.abs() <= 1).filter(|run| run[0].abs() <= 1).map(<[i16]>::len).max();
    longest.is_some_and(|longest| longest >= 6 || longest * 2 > bytes.len())
}

/// Says whether a value is made of words and numbers as people write them: `auth-token.v2`, `refreshTokenName`, `/etc/x`.
pub(super) fn is_words(text: &str) -> bool {
    let is_word = |part: &str| {
        let figures = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let letters_alone = figures.chars().all(|c| c.is_ascii_alphabetic());
        part.is_empty()
            || (letters_alone
                && part.len() - figures.len() <= 4
                && changes_of_case(figures) * 3 <= figures.len().max(3))
    };
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(is_word)
}

/// Counts where a small letter comes before a capital one.
fn changes_of_case(text: &str) -> usize {
    text.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count()
}

/// Counts the kinds of characters: small and capital letters, figures, others.
fn kinds(text: &str) -> usize {
    let has = |of: fn(&char) -> bool| usize::from(text.chars().any(|c| of(&c)));
    has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(|c| !c.is_ascii_alphanumeric())
}

/// Says whether a value was made by a machine to be a secret: long, dense, no words.
pub(super) fn is_random(text: &str) -> bool {
    let figures = text.chars().filter(char::is_ascii_digit).count();
    let is_hex = text.chars().all(|c| c.is_ascii_hexdigit());
    let least = if is_hex { 3.0 } else { 3.4 };
    text.len() >= 16
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_.~-".contains(&byte))
        && figures >= 2
        && figures < text.len()
        && entropy(text.as_bytes()) >= least
        && !is_words(text)
        && !is_placeholder(text)
}

/// Says whether a value is one that a person would type as a password: not a word, nor code.
pub(super) fn is_password(text: &str) -> bool {
    let is_code = text.contains(['(', ')', '[', ']', '{', '}', '<', '>', '\\', '`', ';', ','])
        || text.contains("::")
        || text.contains("->");
    text.len() >= 6
        && text.is_ascii()
        && !is_code
        && !is_placeholder(text)
        && !is_words(text)
        && kinds(text) >= 2
        && entropy(text.as_bytes()) >= 2.4
}

/// Says whether a value set for a key that is called a password is one.
pub(super) fn is_strong_password(text: &str) -> bool {
    let is_path = text.starts_with(['/', '.', '~']) || text.contains("://") || text.contains("\\\\");
    text.len() >= 8 && !is_path && is_password(text) && kinds(text) >= 3 && text.chars().any(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_secrets() {
        for text in [
            "auth-token.v2",
            "refreshTokenName",
            "/etc/ssl/key1.pem",
            "TOKEN_TYPE_BEARER",
            "sha256",
            "x",
            "node_20",
        ] {
            assert!(is_words(text), "{text}");
        }
        for text in ["q7Wz81kD", "aB3dE5fG7", "9f8a7c6e5d"] {
            assert!(!is_words(text), "{text}");
        }
    }

    #[test]
    fn what_stands_for_a_value_is_no_secret() {
        for text in [
            "${TOKEN}",
            "xxxxxxxxxxxx",
            "your-api-key",
            "aaaaaaaa",
            "AKIAIOSFODNN7EXAMPLE",
            "$PASSWORD",
            "abcdefghijklm1",
            "98765432",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["q7Wz81kDn3LsT0Vb", "S3rver$Pass", "7f3b9c1e"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
