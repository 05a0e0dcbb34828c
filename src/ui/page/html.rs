//! Writing HTML and SVG in which no text of others is more than text.
//!
//! Owns the one way for text into the page. A constant of the program goes in as it is; nothing that was put together at
//! run time has its type, so that forgetting to escape does not compile.

use std::fmt::Write as _;

use crate::task::text::Escaped;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds a piece of the program's own.
    pub(super) fn raw(&mut self, constant: &'static str) -> &mut Self {
        self.0.push_str(constant);
        self
    }

    /// Adds text, fit for an element and for an attribute in quotes; what could deceive a reader is written out.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in Escaped(text).to_string().chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds a number, to a tenth; what is no number is 0.
    pub(super) fn num(&mut self, number: f64) -> &mut Self {
        let number = if number.is_finite() { (number * 10.0).round() / 10.0 } else { 0.0 };
        let _ = write!(self.0, "{}", number + 0.0);
        self
    }

    /// Adds a whole number.
    pub(super) fn int(&mut self, number: usize) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    /// Ends the page.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_text() {
        let mut page = Html::default();
        page.raw("<p title=\"")
            .text("\"><script>alert('x')</script>&\u{202e}\u{1b}")
            .raw("\">")
            .num(1.25)
            .num(-0.01)
            .num(f64::NAN)
            .int(7);
        let expected =
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\\u{202e}\\u{1b}\">1.3007";
        assert_eq!(page.into_text(), expected);
    }

    proptest! {
        #[test]
        fn nothing_ends_an_attribute_or_begins_a_tag(text in any::<String>()) {
            let mut page = Html::default();
            page.text(&text);
            let written = page.into_text();
            prop_assert!(!written.contains(['<', '>', '"', '\'']));
            prop_assert!(!written.chars().any(char::is_control));
        }
    }
}
