//! Aligned columns, cut to the terminal.

use super::forge::linked;
use crate::ambient::Ambient;
use crate::task::text::escaped;

/// Where the last column is cut when the terminal does not say how wide it is.
const DEFAULT_WIDTH: usize = 100;

/// Blanks between two columns.
const GAP: usize = 2;

/// No column is made narrower than this.
const NARROWEST: usize = 8;

/// A table.
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

    /// The same cell as a link, where there is an address; a cell that has to be cut loses it.
    pub fn linked(self, url: Option<&str>) -> Self {
        match url {
            Some(url) => Self { painted: linked(&self.painted, url), plain: self.plain },
            None => self,
        }
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

    /// Lays the table out; where there is a `width`, the widest columns give way until each row fits. The first does not:
    /// it names what the row is about.
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| columns_of(&cell.plain)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        if let Some(width) = width {
            give_way(&mut widths, width);
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, room) in row.iter().zip(&widths) {
                let (shown, used) = cut(cell, *room);
                line.push_str(&shown);
                line.push_str(&" ".repeat(room - used + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Makes the widest columns but the first narrower, by as little as is needed.
fn give_way(widths: &mut [usize], width: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        match widths.iter_mut().skip(1).max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

/// Cuts a cell to its room; returns it with the columns that it takes.
fn cut(cell: &Cell, room: usize) -> (String, usize) {
    let whole = columns_of(&cell.plain);
    if whole <= room {
        return (cell.painted.clone(), whole);
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
    (kept, used + 1)
}

/// How many columns a text takes on a terminal: ideographs and emoji take two.
pub(super) fn columns_of(text: &str) -> usize {
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
    fn the_widest_columns_give_way_and_never_the_first() {
        let mut table = Table::default();
        table.push(["a-name-of-its-own", "failed", "`git dispatch retry`", "Title"].map(Cell::text).to_vec());
        table.push(["b", "failed", "任务任务任务", "A title that goes on"].map(Cell::text).to_vec());
        let expected =
            "a-name-of-its-own  failed  `git dis…  Title\nb                  failed  任务任务…  A title…\n";
        assert_eq!(table.render(Some(46)), expected);
        assert!(table.render(Some(1)).contains("a-name-of-its-own  failed  `git di…  Title\n"));
    }

    #[test]
    fn escape_sequences_do_not_get_through() {
        let mut table = Table::default();
        table.push(vec![Cell::text("\u{1b}[2J")]);
        assert!(!table.render(None).contains('\u{1b}'));
    }
}
