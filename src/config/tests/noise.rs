//! Tests that no input makes loading panic, whatever it is.

use miette::{Diagnostic, GraphicalReportHandler};
use proptest::prelude::*;

use super::*;

/// Pieces that get further than noise does.
fn lines() -> impl Strategy<Value = String> {
    let pieces = [
        "[node]",
        "[executors.a]",
        "[nodes.b]",
        "[[x]]",
        "slots",
        "poll",
        "env",
        "model",
        "command",
        " = ",
        "0",
        "-1",
        "1e999",
        "inf",
        "\"5s\"",
        "'3x'",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\"",
        "é",
        "\u{feff}",
        "\\",
        "1979-05-27",
        ".",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_loading_panic(text in prop_oneof![any::<String>(), lines()]) {
        if let Err(error) = of_file(&text) {
            let mut drawn = String::new();
            GraphicalReportHandler::new().render_report(&mut drawn, &error).unwrap();
            prop_assert!(error.source_code().is_some());
        }
    }

    #[test]
    fn no_key_or_variable_makes_loading_panic(name in any::<String>(), value in any::<String>(), n in 0..200_usize) {
        let key = schema::KEYS[n % schema::KEYS.len()].path;
        let _ = of_git(&[(&format!("dispatch.{name}"), &value, "local"), (&format!("dispatch.{key}"), &value, "local")]);
        let variable = format!("GIT_DISPATCH_{}", key.to_uppercase().replace(['.', '*'], "_"));
        let _ = of_env(&[(&format!("GIT_DISPATCH_{name}"), &value), (&variable, &value)]);
        let _ = of_option(&name, value.as_str());
    }
}
