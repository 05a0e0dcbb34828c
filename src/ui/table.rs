//! Aligned columns, cut to the terminal.

use crate::ambient::Ambient;
use crate::task::text::escaped;

/// Where the last column is cut when the terminal does not say how wide it is.
const DEFAULT_WIDTH: usize = 100;

/// A table; the last column takes what is left.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A cell: the text as it is measured, and as it is painted.
#[derive(Debug, Clone)]
pub struct Cell {
    plain: String,
    painted: String,
}

impl Cell {
    /// A cell of untrusted text.
    pub fn text(text: &str) -> Self {
        let plain = escaped(text).to_string();
        Self { painted: plain.clone(), plain }
    }

    /// A cell of our own text, painted.
    pub fn painted(text: &str, paint: impl FnOnce(&str) -> String) -> Self {
        let plain = escaped(text).to_string();
        Self { painted: paint(&plain), plain }
    }
}

impl Table {
    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Says whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lays the table out, each row cut to `width` where there is one.
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(at))
                    .map(|cell| columns_of(&cell.plain))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut used = 0;
            for (at, cell) in row.iter().enumerate() {
                let is_last = at + 1 == row.len();
                let room = width.map_or(usize::MAX, |width| width.saturating_sub(used).max(8));
                if is_last {
                    line.push_str(&cut(cell, room));
                } else {
                    let pad = widths[at].saturating_sub(columns_of(&cell.plain)) + 2;
                    line.push_str(&cell.painted);
                    line.push_str(&" ".repeat(pad));
                    used += widths[at] + 2;
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cut(cell: &Cell, room: usize) -> String {
    if columns_of(&cell.plain) <= room {
        return cell.painted.clone();
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in cell.plain.chars() {
        let wide = columns_of(character.encode_utf8(&mut [0; 4]));
        if used + wide >= room {
            break;
        }
        used += wide;
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// How many columns a text takes on a terminal: ideographs and emoji take two.
fn columns_of(text: &str) -> usize {
    text.chars().map(|character| if is_wide(character) { 2 } else { 1 }).sum()
}

fn is_wide(character: char) -> bool {
    matches!(u32::from(character),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD)
}

/// Asks how wide the terminal is.
pub fn terminal_width(ambient: &Ambient) -> usize {
    ambient.terminal_columns().unwrap_or(DEFAULT_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_is_cut() {
        let mut table = Table::default();
        table.push(vec![Cell::text("任务"), Cell::text("a long title that goes on")]);
        table.push(vec![Cell::text("abcdef"), Cell::text("x")]);
        assert_eq!(table.render(Some(20)), "任务    a long titl…\nabcdef  x\n");
        assert_eq!(table.render(None), "任务    a long title that goes on\nabcdef  x\n");
    }

    #[test]
    fn escape_sequences_do_not_get_through() {
        let mut table = Table::default();
        table.push(vec![Cell::text("\u{1b}[2J")]);
        assert!(!table.render(None).contains('\u{1b}'));
    }
}
