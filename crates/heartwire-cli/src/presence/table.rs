//! Rows with their columns aligned, as they come.

/// Columns that become wider when a cell needs it. All but the last are filled with blanks.
#[derive(Debug)]
pub(super) struct Table<const N: usize>([usize; N]);

impl<const N: usize> Table<N> {
    /// The cells of one screen, at the most: one that is longer moves the rest of its row only.
    const MAX_WIDTH: usize = 40;

    pub(super) const fn new() -> Self {
        Self([0; N])
    }

    /// Makes room for a row.
    pub(super) fn fit(&mut self, row: &[String; N]) {
        for (width, cell) in self.0.iter_mut().zip(row) {
            *width = cell.chars().count().clamp(*width, Self::MAX_WIDTH.max(*width));
        }
    }

    /// Adds a row to a text.
    pub(super) fn write(&self, row: &[String; N], text: &mut String) {
        let mut line = String::new();
        for (width, cell) in self.0.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_up_to_a_bound() {
        let mut table = Table::new();
        let rows = [["a", "b", "c"], ["long one", "é", ""], [&"x".repeat(60), "y", "z"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let mut text = String::new();
        for row in &rows[..2] {
            table.fit(row);
        }
        for row in &rows[..2] {
            table.write(row, &mut text);
        }
        assert_eq!(text, "a         b  c\nlong one  é\n");
        table.fit(&rows[2]);
        text.clear();
        table.write(&rows[0], &mut text);
        table.write(&rows[2], &mut text);
        assert_eq!(text, format!("{:40}  b  c\n{}  y  z\n", "a", "x".repeat(60)));
    }
}
