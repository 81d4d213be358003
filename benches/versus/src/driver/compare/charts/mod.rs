//! The pictures, as SVG. They are drawn in the colours of a light page, and a style sheet replaces
//! these where the reader prefers a dark one.

mod bars;
mod canvas;
mod curves;

use super::results::{CellResult, Contestant, Machine, Results};

/// Returns the charts of a cell, with the names of their files.
pub(super) fn of_cell(machine: &Machine, cell: &CellResult) -> Vec<(String, String)> {
    let caption = caption(machine, cell);
    let mut charts = Vec::new();
    if cell.contestants.iter().any(|contestant| !contestant.samples.is_empty()) {
        let draw = |(column, name)| (name, bars::draw(cell, column, &caption));
        charts.extend(cell.charts().into_iter().map(draw));
    }
    charts.extend(cell.curves().map(|name| (name, curves::draw(cell, &caption))));
    charts
}

/// The files of the charts that README.md shows.
const OF_README: [&str; 2] = ["cpu-http.svg", "tail-80-flood-percentiles.svg"];

/// Returns the charts that README.md shows, of those that were measured.
pub(super) fn of_readme(results: &Results) -> Vec<(String, String)> {
    let all = results.cells.iter().flat_map(|cell| of_cell(&results.machine, cell));
    all.filter(|(name, _)| OF_README.contains(&name.as_str())).collect()
}

/// Returns the line below a chart.
fn caption(machine: &Machine, cell: &CellResult) -> String {
    let Machine { date, kernel, cpu, cpus, .. } = machine;
    let day = date.split('T').next().unwrap_or_default();
    let mut caption = format!("{cpu}, {cpus} CPUs, Linux {kernel}, {day}");
    if cell.contestants.iter().any(Contestant::is_disturbed) {
        caption += "; † other programs disturbed all of its turns";
    }
    caption
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::compare::results::tests::contestant;
    use crate::driver::compare::results::{Column, Unit};

    fn cell() -> CellResult {
        CellResult {
            name: "a-cell".to_owned(),
            title: "A cell & more".to_owned(),
            method: String::new(),
            columns: vec![Column::new("time", Unit::Nanoseconds, false)],
            contestants: vec![
                contestant("bare", &[1000.0, 2000.0]),
                contestant("corepoll-task", &[500.0]),
                contestant("absent", &[]),
            ],
        }
    }

    #[test]
    fn a_bar_has_its_name_and_its_figure_and_the_best_comes_first() {
        let machine = Machine { cpu: "A CPU".to_owned(), ..Machine::default() };
        let charts = of_cell(&machine, &cell());
        assert_eq!(charts.len(), 1);
        let (name, chart) = &charts[0];
        assert_eq!(name, "a-cell.svg");
        assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"));
        for text in ["A cell &amp; more", "bare", "1.50 µs", "500 ns", "A CPU", "color-scheme"] {
            assert!(chart.contains(text), "{text}");
        }
        assert!(!chart.contains("absent"));
        assert!(chart.find("corepoll-task") < chart.find("bare"));
    }

    #[test]
    fn percentiles_become_curves() {
        let mut cell = cell();
        for contestant in &mut cell.contestants {
            for sample in &mut contestant.samples {
                sample.percentiles = vec![(50.0, 2e5), (99.0, 3e6), (99.99, 1e7), (100.0, 2e7)];
            }
        }
        let charts = of_cell(&Machine::default(), &cell);
        let (name, chart) = &charts[1];
        assert_eq!(name, "a-cell-percentiles.svg");
        for text in ["99.99 %", "10 ms", "bare"] {
            assert!(chart.contains(text), "{text}");
        }
    }

    #[test]
    fn a_cell_without_samples_has_no_chart() {
        let mut cell = cell();
        cell.contestants.iter_mut().for_each(|contestant| contestant.samples.clear());
        assert!(of_cell(&Machine::default(), &cell).is_empty());
    }
}
