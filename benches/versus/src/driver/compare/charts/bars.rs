//! Bars: a server each, the best at the top, with the spread and each sample.

use super::canvas::{self, Canvas, Colour, FAINT, GRID, INK, Side, picture};
use crate::driver::compare::figures;
use crate::driver::compare::results::{CellResult, Contestant};
use crate::driver::compare::statistics::Summary;

const WIDTH: f64 = 860.0;
/// Where the first bar has its middle.
const TOP: f64 = 78.0;
const ROW: f64 = 28.0;
const BAR_HEIGHT: f64 = 16.0;
/// Where the bars begin, right of the names.
const LEFT: f64 = 190.0;
/// The room for figures right of the longest bar.
const RIGHT: f64 = 190.0;
const BOTTOM: f64 = 44.0;

/// A server's bar.
struct Bar<'a> {
    name: &'a str,
    colour: Colour,
    /// The figure of each sample.
    figures: Vec<f64>,
    summary: Summary,
    /// What stands behind the bar.
    text: String,
}

/// Draws a column of a cell.
pub(super) fn draw(cell: &CellResult, at: usize, caption: &str) -> String {
    let column = &cell.columns[at];
    let bars = sorted_bars(cell, at);
    let height = TOP + ROW * bars.len() as f64 + BOTTOM;
    picture((WIDTH as u32, height as u32), |canvas| {
        canvas.text((24.0, 26.0), Side::Right, 18, INK, &cell.title);
        let hint = if column.more_is_better { "more is better" } else { "less is better" };
        let mut below = format!("{}, {hint}", column.name);
        if bars.iter().any(|bar| bar.figures.len() > 1) {
            below += "; dots are single turns, the line is their spread";
        }
        canvas.text((24.0, 49.0), Side::Right, 13, FAINT, &below);
        canvas.text((24.0, height - 18.0), Side::Right, 12, FAINT, caption);
        let longest = bars.iter().flat_map(|bar| &bar.figures).copied().fold(0.0, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / if longest > 0.0 { longest } else { 1.0 };
        canvas.line(&[(LEFT, TOP - ROW / 2.0), (LEFT, height - BOTTOM)], GRID, 1);
        for (row, bar) in bars.iter().enumerate() {
            bar.draw(canvas, TOP + ROW * row as f64, scale);
        }
    })
}

/// Returns the servers that have samples, the best first.
fn sorted_bars(cell: &CellResult, at: usize) -> Vec<Bar<'_>> {
    let column = &cell.columns[at];
    let bar = |(number, contestant)| Bar::new(cell, number, contestant, at);
    let mut bars: Vec<_> = cell.contestants.iter().enumerate().filter_map(bar).collect();
    bars.sort_by(|one, other| one.summary.median.total_cmp(&other.summary.median));
    if column.more_is_better {
        bars.reverse();
    }
    bars
}

impl<'a> Bar<'a> {
    /// None: it has no samples.
    fn new(
        cell: &'a CellResult,
        number: usize,
        contestant: &'a Contestant,
        at: usize,
    ) -> Option<Bar<'a>> {
        let summary = contestant.summary(at)?;
        let mut text = figures::write(summary.median, cell.columns[at].unit);
        if let Some(ratio) = contestant.ratio(&cell.contestants[0], at).filter(|_| number > 0) {
            text += &format!("  ({} ×)", figures::ratio(ratio.median));
        }
        if contestant.is_disturbed() {
            text += " †";
        }
        let name = contestant.name.as_str();
        let colour = canvas::bar_colour(name, number == 0);
        Some(Bar { name, colour, figures: contestant.figures(at), summary, text })
    }

    fn draw(&self, canvas: &Canvas<'_>, y: f64, scale: f64) {
        let x = |figure: f64| LEFT + figure.max(0.0) * scale;
        let Summary { median, low, high, .. } = self.summary;
        let half = BAR_HEIGHT / 2.0;
        canvas.text((LEFT - 10.0, y), Side::Left, 14, INK, self.name);
        canvas.fill((LEFT, y - half), (x(median), y + half), self.colour);
        if self.figures.len() > 1 {
            canvas.line(&[(x(low), y), (x(high), y)], INK, 1);
            for end in [low, high] {
                canvas.line(&[(x(end), y - 4.0), (x(end), y + 4.0)], INK, 1);
            }
            self.figures.iter().for_each(|&figure| canvas.dot((x(figure), y), 2, INK));
        }
        let furthest = self.figures.iter().copied().fold(median, f64::max);
        canvas.text((x(furthest) + 10.0, y), Side::Right, 14, INK, &self.text);
    }
}
