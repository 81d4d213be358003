//! Tables: on the terminal the first column to the left, the others to the right; and in Markdown.

/// Prints the rows, the first of which is the heading.
pub(super) fn print(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0))
        .collect();
    for (number, row) in rows.iter().enumerate() {
        print_row(row, &widths);
        if number == 0 {
            println!("{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)));
        }
    }
}

fn print_row(row: &[String], widths: &[usize]) {
    let mut line = String::new();
    for (at, (cell, &width)) in row.iter().zip(widths).enumerate() {
        line += &if at == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
    }
    println!("{}", line.trim_end());
}

/// A row of a name and its cells.
pub(super) fn row(name: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// Prints the rows, the first of which is the heading, as a table of Markdown.
#[cfg(any(feature = "ecosystem", feature = "udp"))]
pub(super) fn print_markdown(rows: &[Vec<String>]) {
    for (number, row) in rows.iter().enumerate() {
        println!("| {} |", row.join(" | "));
        if number == 0 {
            println!("|{}", "---|".repeat(row.len()));
        }
    }
}
