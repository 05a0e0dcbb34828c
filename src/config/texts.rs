//! Owns how the texts of git config and the environment, which know no types, become values as the setting expects them.
//! Does not own whether a value is good (`value`).

use toml::Value;

use super::schema::Kind;
use super::value::{Problem, Spot, judge, takes_list, wrong_type};

/// The texts given for a setting by a layer that knows no types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Texts {
    /// What counts where one value is meant.
    pub(crate) whole: String,
    /// What counts where a list or a table is meant.
    pub(crate) items: Vec<String>,
    /// Whether the value was given several times, which only a list can be.
    pub(crate) several: bool,
}

/// Makes a value of texts, as the kind expects it, and judges it.
pub(crate) fn from_texts(kind: Kind, given: Texts) -> Result<Value, Problem> {
    let Texts { whole, items, several } = given;
    let strange = || wrong_type(kind, &format!("{whole:?}"), Spot::Whole);
    let value = match kind {
        Kind::Bool => match whole.to_ascii_lowercase().as_str() {
            // What git itself takes, but for the empty text, which is more likely a slip.
            "true" | "yes" | "on" | "1" => Value::Boolean(true),
            "false" | "no" | "off" | "0" => Value::Boolean(false),
            _ => return Err(strange()),
        },
        Kind::Count(..) => Value::Integer(whole.parse().map_err(|_| strange())?),
        Kind::Fraction => Value::Float(whole.parse().map_err(|_| strange())?),
        Kind::Verify if !several => Value::String(whole),
        Kind::Models | Kind::Variables => {
            let mut entries = toml::Table::new();
            for item in items {
                let Some((name, text)) = item.split_once('=') else {
                    return Err(wrong_type(kind, &format!("{item:?}"), Spot::Whole))
                        .map_err(|problem| Problem { help: Some("write NAME=value".into()), ..problem });
                };
                entries.insert(name.trim().to_owned(), Value::String(text.to_owned()));
            }
            Value::Table(entries)
        }
        _ if takes_list(kind) => Value::Array(items.into_iter().map(Value::String).collect()),
        _ => Value::String(whole),
    };
    judge(kind, value)
}
