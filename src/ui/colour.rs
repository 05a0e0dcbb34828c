//! Colours as git names them: `bold red`, `#ff8800`, `208`, `reset`.

/// The names of the eight colours, in the order of their numbers.
const NAMES: &[&str] = &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/// Attributes and their numbers.
const ATTRIBUTES: &[(&str, u8)] = &[
    ("bold", 1),
    ("dim", 2),
    ("italic", 3),
    ("ul", 4),
    ("underline", 4),
    ("blink", 5),
    ("reverse", 7),
    ("strike", 9),
];

/// Returns what stands between `ESC [` and `m` for a colour; empty for `reset`, none for one that nobody knows.
pub(super) fn code(said: &str) -> Option<String> {
    let said = said.trim();
    if matches!(said, "reset" | "normal" | "default") {
        return Some(String::new());
    }
    let mut codes = Vec::new();
    let mut colours = 0;
    for word in said.split_whitespace() {
        if let Some((_, number)) = ATTRIBUTES.iter().find(|(name, _)| *name == word) {
            codes.push(number.to_string());
            continue;
        }
        // The first is the text's, the second what is behind it.
        let behind = colours > 0;
        colours += 1;
        codes.push(colour(word, behind)?);
    }
    (!codes.is_empty() && colours <= 2).then(|| codes.join(";"))
}

fn colour(word: &str, behind: bool) -> Option<String> {
    let shift = if behind { 10 } else { 0 };
    if matches!(word, "normal" | "default") {
        return Some((39 + shift).to_string());
    }
    let number = |name: &str| NAMES.iter().position(|known| *known == name);
    if let Some(at) = word.strip_prefix("bright").and_then(number) {
        return Some((90 + at + shift).to_string());
    }
    if let Some(at) = number(word) {
        return Some((30 + at + shift).to_string());
    }
    let hex = word.strip_prefix('#').filter(|hex| hex.len() == 6).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    if let Some(rgb) = hex {
        return Some(format!("{};2;{};{};{}", 38 + shift, rgb >> 16, rgb >> 8 & 255, rgb & 255));
    }
    word.parse::<u8>().ok().map(|number| format!("{};5;{number}", 38 + shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_git() {
        for (said, expected) in [
            ("red", "31"),
            ("bold red", "1;31"),
            ("red bold ul", "31;1;4"),
            ("white blue", "37;44"),
            ("brightgreen", "92"),
            ("normal red", "39;41"),
            ("#ff8800", "38;2;255;136;0"),
            ("208", "38;5;208"),
            ("reset", ""),
        ] {
            assert_eq!(code(said).as_deref(), Some(expected), "{said}");
        }
        for said in ["", "reddish", "300", "#12", "red green blue"] {
            assert_eq!(code(said), None, "{said}");
        }
    }
}
