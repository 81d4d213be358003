//! The tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::figures;
use super::results::{CellResult, Column, Contestant, Machine, Results, Sum};

/// Returns all tables, with the machine and with what could not run.
pub(super) fn report(results: &Results) -> String {
    let mut text = String::from("# versus compare\n\n");
    text += &machine(&results.machine);
    let (rounds, turn) = (results.rounds, results.turn_seconds);
    let _ = writeln!(
        text,
        "\nThe servers took turns, {rounds} in most cells, {turn:.2} s each. A figure is the median \
         of the turns; the spread is from the lower to the upper quarter, or from the lowest to the \
         highest of fewer than five. A ratio is taken within each round, and then its median. Turns \
         that other programs or the hypervisor disturbed were thrown away, and taken again where \
         there was time. † marks a server that was disturbed in all of its turns: its figures say \
         little.\n"
    );
    text += &overview(results);
    text += &failures(results);
    for cell in &results.cells {
        text += &section(cell);
    }
    text
}

/// Returns the table of the main figures: a row for each cell that has the servers of the first one.
pub(super) fn overview(results: &Results) -> String {
    let names = |cell: &CellResult| {
        cell.contestants.iter().map(|contestant| contestant.name.clone()).collect::<Vec<_>>()
    };
    let Some(servers) = results.cells.first().map(names) else { return String::new() };
    let mut rows = vec![row(["cell".to_owned()], servers.iter().cloned())];
    for cell in results.cells.iter().filter(|cell| names(cell) == servers) {
        let column = &cell.columns[0];
        let figure = |of: &Contestant| marked(of, figures::of_column(of, 0, column));
        let name = format!("{}, {}", cell.title, column.name);
        rows.push(row([name], cell.contestants.iter().map(figure)));
    }
    table(&rows)
}

/// Returns one line about the machine.
pub(super) fn machine(machine: &Machine) -> String {
    let Machine { date, kernel, cpu, cpus, compiler, profile, load, libraries } = machine;
    format!(
        "{date}: {cpu}, {cpus} CPUs, Linux {kernel}; {compiler}, profile {profile}; {load}; {}.\n",
        libraries.join(", ")
    )
}

/// Returns which servers could not run, and why; nothing if all could.
fn failures(results: &Results) -> String {
    let mut cells: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for cell in &results.cells {
        for contestant in &cell.contestants {
            if let Some(reason) = &contestant.failure {
                cells.entry((&contestant.name, reason)).or_default().push(&cell.name);
            }
        }
    }
    if cells.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nWhat could not run:\n\n");
    for ((server, reason), cells) in cells {
        let _ = writeln!(text, "- {server}, {}: {}", cells.join(", "), reason.replace('\n', " "));
    }
    text
}

/// Returns a cell's table, with what it measures.
fn section(cell: &CellResult) -> String {
    let CellResult { name, title, method, columns, contestants } = cell;
    let mut heading = vec!["server".to_owned()];
    for (at, column) in columns.iter().enumerate() {
        heading.push(column.name.clone());
        if at == 0 {
            let first = contestants.first().map_or("", |first| &first.name);
            heading.extend(["spread".to_owned(), format!("ratio to {first}")]);
        }
    }
    heading.extend(["turns", "thrown away"].map(str::to_owned));
    let mut rows = vec![heading];
    for contestant in contestants.iter().filter(|contestant| !contestant.samples.is_empty()) {
        rows.push(server_row(contestant, &contestants[0], columns));
    }
    let mut text = format!("\n## {title} (`{name}`)\n\n{method}\n\n{}", table(&rows));
    for file in cell.charts().into_iter().map(|(_, file)| file).chain(cell.curves()) {
        let _ = writeln!(text, "\n![{title}]({file})");
    }
    text
}

fn server_row(contestant: &Contestant, first: &Contestant, columns: &[Column]) -> Vec<String> {
    let mut cells = vec![marked(contestant, contestant.name.clone())];
    for (at, column) in columns.iter().enumerate() {
        cells.push(figures::of_column(contestant, at, column));
        if at == 0 {
            cells.push(spread(contestant, column));
            let ratio = contestant.ratio(first, 0);
            cells.push(ratio.map_or_else(String::new, |ratio| figures::ratio(ratio.median)));
        }
    }
    let thrown = contestant.thrown_away();
    cells.push(contestant.counted().len().to_string());
    cells.push(if thrown > 0 { thrown.to_string() } else { String::new() });
    cells
}

fn spread(contestant: &Contestant, column: &Column) -> String {
    match contestant.summary(0) {
        Some(summary) if summary.count > 1 && column.sum == Sum::Median => {
            let [low, high] = [summary.low, summary.high].map(|it| figures::write(it, column.unit));
            format!("{low} – {high}")
        }
        _ => String::new(),
    }
}

/// Marks what belongs to a server that was disturbed in all of its turns.
fn marked(contestant: &Contestant, text: String) -> String {
    if contestant.is_disturbed() && !text.is_empty() { text + " †" } else { text }
}

fn row<const N: usize>(first: [String; N], rest: impl IntoIterator<Item = String>) -> Vec<String> {
    first.into_iter().chain(rest).collect()
}

/// Returns a table, the first row of which is the heading, with its columns aligned.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let width = |at| rows.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = write!(text, "|");
        for (at, &width) in widths.iter().enumerate() {
            let cell = cell(row, at);
            let padding = " ".repeat(width - cell.chars().count());
            let _ = match at {
                0 => write!(text, " {cell}{padding} |"),
                _ => write!(text, " {padding}{cell} |"),
            };
        }
        text.push('\n');
        if number == 0 {
            let _ = write!(text, "|{}|", "-".repeat(widths[0] + 2));
            widths[1..].iter().for_each(|width| text += &format!("{}:|", "-".repeat(width + 1)));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::compare::results::Unit;
    use crate::driver::compare::results::tests::contestant;

    fn results() -> Results {
        let mut disturbed = contestant("busy", &[150.0]);
        disturbed.samples[0].disturbance.others = 0.5;
        let mut absent = contestant("absent", &[]);
        absent.failure = Some("no io_uring\nhere".to_owned());
        let cell = CellResult {
            name: "a-cell".to_owned(),
            title: "A cell".to_owned(),
            method: "By counting.".to_owned(),
            columns: vec![Column::new("requests/s", Unit::PerSecond, true)],
            contestants: vec![
                contestant("first", &[1000.0, 2000.0, 3000.0]),
                contestant("second", &[500.0, 1000.0, 1500.0]),
                disturbed,
                absent,
            ],
        };
        Results {
            machine: Machine { cpu: "A CPU".to_owned(), ..Machine::default() },
            rounds: 3,
            turn_seconds: 0.5,
            cells: vec![cell],
        }
    }

    #[test]
    fn a_server_has_its_figure_its_spread_and_its_ratio() {
        let text = report(&results());
        for line in [
            "| server | requests/s |        spread | ratio to first | turns | thrown away |",
            "| second |      1,000 |   500 – 1,500 |           0.50 |     3 |             |",
            "| busy † |        150 |               |           0.15 |     1 |             |",
            "![A cell](a-cell.svg)",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("A CPU"));
    }

    #[test]
    fn what_could_not_run_is_named_with_its_reason() {
        let text = report(&results());
        assert!(text.contains("- absent, a-cell: no io_uring here"), "{text}");
        let overview = overview(&results());
        assert!(overview.contains("| A cell, requests/s |"), "{overview}");
    }
}
