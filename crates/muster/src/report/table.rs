//! Tables with a caption, for eyes and for screen readers.

use super::markup::{Markup, all, tag};

/// A table: its first column names the rows, the others hold numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Table {
        Table {
            caption: caption.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table for a page.
    pub fn html(&self) -> Markup {
        let head = tag("tr").holding(
            self.columns
                .iter()
                .map(|name| tag("th").with("scope", "col").text(name)),
        );
        let rows = self.rows.iter().map(|cells| {
            let cells = cells.iter().enumerate().map(|(column, cell)| match column {
                0 => tag("th").with("scope", "row").text(cell),
                _ => tag("td").text(cell),
            });
            tag("tr").holding(cells)
        });
        let table = tag("table").holding([
            tag("caption").text(&self.caption),
            tag("thead").holding([head]),
            tag("tbody").holding([all(rows)]),
        ]);
        // A table wider than a telephone scrolls by itself; a region that scrolls must be reachable by keyboard.
        tag("div")
            .with("class", "table")
            .with("tabindex", "0")
            .holding([table])
    }

    /// The table for a terminal: columns aligned, the first to the left, the others to the right.
    pub fn plain(&self) -> String {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|name| name.chars().count())
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut lines = vec![self.caption.clone()];
        for cells in std::iter::once(&self.columns).chain(&self.rows) {
            let aligned = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("  {cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                });
            lines.push(aligned.collect::<String>().trim_end().to_owned());
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Energies", ["T", "mean"]);
        table.push(["0.55", "-84.0"]);
        table.push(["<0.9>", "-2.1"]);
        table
    }

    #[test]
    fn columns_line_up_in_a_terminal() {
        let wanted = "Energies\n  T       mean\n  0.55   -84.0\n  <0.9>   -2.1\n";
        assert_eq!(table().plain(), wanted);
    }

    #[test]
    fn a_page_has_caption_and_scopes_and_escapes_cells() {
        let html = table().html();
        let html = html.as_str();
        assert!(html.contains("<caption>Energies</caption>"), "{html}");
        assert!(html.contains("<th scope=\"col\">mean</th>"), "{html}");
        assert!(
            html.contains("<th scope=\"row\">&lt;0.9&gt;</th>"),
            "{html}"
        );
    }
}
