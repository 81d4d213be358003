//! Bars: a server each, the best at the top, with the spread and each sample.

use super::canvas::{self, Canvas, Colour, FAINT, GRID, INK, Side, picture};
use crate::driver::compare::figures;
use crate::driver::compare::results::{CellResult, Column, Contestant};
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
    contestant: &'a Contestant,
    summary: Summary,
    colour: Colour,
}

/// Draws the first figure of a cell.
pub(super) fn draw(cell: &CellResult, caption: &str) -> String {
    let column = &cell.columns[0];
    let bars = sorted_bars(cell, column);
    let height = TOP + ROW * bars.len() as f64 + BOTTOM;
    picture((WIDTH as u32, height as u32), |canvas| {
        canvas.text((24.0, 26.0), Side::Right, 18, INK, &cell.title);
        let hint = if column.more_is_better { "more is better" } else { "less is better" };
        let below =
            format!("{}, {hint}; dots are single turns, the line is their spread", column.name);
        canvas.text((24.0, 49.0), Side::Right, 13, FAINT, &below);
        canvas.text((24.0, height - 18.0), Side::Right, 12, FAINT, caption);
        let longest = bars.iter().flat_map(|bar| bar.contestant.figures(0)).fold(0.0, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / if longest > 0.0 { longest } else { 1.0 };
        let axis = [(LEFT, TOP - ROW / 2.0), (LEFT, height - BOTTOM)];
        canvas.line(&axis, GRID, 1);
        for (at, bar) in bars.iter().enumerate() {
            draw_bar(canvas, bar, TOP + ROW * at as f64, scale, &cell.contestants[0], column);
        }
    })
}

/// Returns the servers that have samples, the best first.
fn sorted_bars<'a>(cell: &'a CellResult, column: &Column) -> Vec<Bar<'a>> {
    let bar = |(at, contestant): (usize, &'a Contestant)| {
        let colour = canvas::bar_colour(&contestant.name, at == 0);
        Some(Bar { contestant, summary: contestant.summary(0)?, colour })
    };
    let mut bars: Vec<Bar<'a>> = cell.contestants.iter().enumerate().filter_map(bar).collect();
    bars.sort_by(|one, other| one.summary.median.total_cmp(&other.summary.median));
    if column.more_is_better {
        bars.reverse();
    }
    bars
}

fn draw_bar(
    canvas: &Canvas<'_>,
    bar: &Bar<'_>,
    y: f64,
    scale: f64,
    first: &Contestant,
    column: &Column,
) {
    let Bar { contestant, summary, colour } = bar;
    let x = |figure: f64| LEFT + figure.max(0.0) * scale;
    let half = BAR_HEIGHT / 2.0;
    canvas.text((LEFT - 10.0, y), Side::Left, 14, INK, &contestant.name);
    canvas.fill((LEFT, y - half), (x(summary.median), y + half), *colour);
    let figures = contestant.figures(0);
    if figures.len() > 1 {
        canvas.line(&[(x(summary.low), y), (x(summary.high), y)], INK, 1);
        for end in [summary.low, summary.high] {
            canvas.line(&[(x(end), y - 4.0), (x(end), y + 4.0)], INK, 1);
        }
        figures.iter().for_each(|&figure| canvas.dot((x(figure), y), 2, INK));
    }
    let furthest = figures.iter().copied().fold(summary.median, f64::max);
    let mut text = figures::write(summary.median, column.unit);
    if let Some(ratio) = contestant.ratio(first, 0).filter(|_| contestant.name != first.name) {
        text += &format!("  ({} ×)", figures::ratio(ratio.median));
    }
    if contestant.is_disturbed() {
        text += " †";
    }
    canvas.text((x(furthest) + 10.0, y), Side::Right, 14, INK, &text);
}
