//! Latencies by percentile: a curve for each server, with its name at its right end. Both axes are
//! logarithmic: to the right, each unit is a tenth of the requests that are left.

use super::canvas::{self, Canvas, Colour, FAINT, GRID, INK, Side, picture};
use crate::driver::compare::figures;
use crate::driver::compare::results::{CellResult, Contestant, Unit};

const SIZE: (f64, f64) = (860.0, 580.0);
const TOP: f64 = 76.0;
const BOTTOM: f64 = 504.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 640.0;
/// The distance of the names of two curves.
const GAP: f64 = 16.0;

/// The percentiles that are drawn. The longest latency of all has no place on the axis.
const PERCENTS: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

/// A server's curve.
struct Curve<'a> {
    contestant: &'a Contestant,
    colour: Colour,
    /// Percentiles with their latencies in nanoseconds.
    points: Vec<(f64, f64)>,
}

/// The range of latencies, as powers of ten.
#[derive(Clone, Copy, Debug)]
struct Range {
    low: f64,
    high: f64,
}

/// Draws the latencies of a cell.
pub(super) fn draw(cell: &CellResult, caption: &str) -> String {
    let curves = curves(cell);
    let range = range(&curves);
    picture((SIZE.0 as u32, SIZE.1 as u32), |canvas| {
        canvas.text((24.0, 26.0), Side::Right, 18, INK, &cell.title);
        let below = "latency that a share of the requests does not exceed, less is better";
        canvas.text((24.0, 49.0), Side::Right, 13, FAINT, below);
        canvas.text((24.0, SIZE.1 - 18.0), Side::Right, 12, FAINT, caption);
        draw_axes(canvas, range);
        for curve in &curves {
            let points: Vec<_> =
                curve.points.iter().map(|point| (x(point.0), range.y(point.1))).collect();
            let width = if canvas::is_ours(&curve.contestant.name) { 3 } else { 2 };
            canvas.line(&points, curve.colour, width);
            points.iter().for_each(|point| canvas.dot(*point, 3, curve.colour));
        }
        draw_names(canvas, &curves, range);
    })
}

fn curves(cell: &CellResult) -> Vec<Curve<'_>> {
    let names: Vec<&str> = cell.contestants.iter().map(|it| it.name.as_str()).collect();
    let colours = canvas::colours(&names);
    let curve = |(contestant, colour)| {
        let contestant: &Contestant = contestant;
        let points = contestant.curve().into_iter();
        let points: Vec<_> = points.filter(|point| PERCENTS.contains(&point.0)).collect();
        (!points.is_empty()).then_some(Curve { contestant, colour, points })
    };
    cell.contestants.iter().zip(colours).filter_map(curve).collect()
}

/// Where a percentile is: 90 % one tenth of the requests from the right, 99 % one hundredth.
fn x(percent: f64) -> f64 {
    let tens = |percent: f64| -(1.0 - percent / 100.0).log10();
    let (first, last) = (tens(PERCENTS[0]), tens(PERCENTS[PERCENTS.len() - 1]));
    LEFT + (tens(percent) - first) / (last - first) * (RIGHT - LEFT)
}

impl Range {
    fn y(self, nanoseconds: f64) -> f64 {
        let share = (nanoseconds.max(1.0).log10() - self.low) / (self.high - self.low);
        BOTTOM - share * (BOTTOM - TOP)
    }
}

fn range(curves: &[Curve<'_>]) -> Range {
    let latencies = || curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
    let low = latencies().fold(f64::INFINITY, f64::min).max(1.0).log10();
    let high = latencies().fold(1.0, f64::max).log10();
    // A little room, and no division by nothing.
    Range { low: low - 0.1, high: high.max(low + 0.5) + 0.1 }
}

fn draw_axes(canvas: &Canvas<'_>, range: Range) {
    for tens in (range.low.floor() as i32)..=(range.high.ceil() as i32) {
        for step in [1.0, 2.0, 5.0] {
            let latency = step * 10f64.powi(tens);
            let y = range.y(latency);
            if (TOP..=BOTTOM).contains(&y) {
                canvas.line(&[(LEFT, y), (RIGHT, y)], GRID, 1);
                let label = figures::write(latency, Unit::Nanoseconds).replace(".00", "");
                canvas.text((LEFT - 8.0, y), Side::Left, 12, FAINT, &label.replace(".0", ""));
            }
        }
    }
    for percent in PERCENTS {
        canvas.line(&[(x(percent), TOP), (x(percent), BOTTOM)], GRID, 1);
        canvas.text((x(percent), BOTTOM + 18.0), Side::Middle, 12, FAINT, &format!("{percent} %"));
    }
}

/// Writes the names beside the ends of the curves, apart from each other.
fn draw_names(canvas: &Canvas<'_>, curves: &[Curve<'_>], range: Range) {
    let end = |curve: &Curve<'_>| curve.points.last().map_or(BOTTOM, |point| range.y(point.1));
    let wanted: Vec<f64> = curves.iter().map(end).collect();
    let places = apart(&wanted, GAP, TOP, BOTTOM);
    for ((curve, from), to) in curves.iter().zip(wanted).zip(places) {
        let right = curve.points.last().map_or(RIGHT, |point| x(point.0));
        canvas.line(&[(right + 5.0, from), (RIGHT + 20.0, to)], curve.colour, 1);
        let mark = if curve.contestant.is_disturbed() { " †" } else { "" };
        let at = (RIGHT + 24.0, to);
        let slowest = curve.points.last().map_or(0.0, |point| point.1);
        let figure = figures::write(slowest, Unit::Nanoseconds);
        let text = format!("{}  {figure}{mark}", curve.contestant.name);
        canvas.text(at, Side::Right, 13, curve.colour, &text);
    }
}

/// Moves places away from each other until they are `gap` apart, in their order. They end between
/// `top` and `bottom` as far as there is room.
fn apart(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    let mut places = wanted.to_vec();
    let mut least = top;
    for &at in &order {
        places[at] = places[at].max(least);
        least = places[at] + gap;
    }
    let mut most = bottom;
    for &at in order.iter().rev() {
        places[at] = places[at].min(most);
        most = places[at] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_apart_and_in_the_order_of_their_curves() {
        let places = apart(&[50.0, 10.0, 11.0, 99.0, 98.0], 10.0, 0.0, 100.0);
        assert_eq!(places, [50.0, 10.0, 20.0, 100.0, 90.0]);
        // They all fit if there is room for them at all.
        let crowded = apart(&[100.0; 10], 10.0, 0.0, 100.0);
        assert!(crowded.windows(2).all(|pair| pair[1] - pair[0] >= 10.0));
        assert_eq!((crowded[0], crowded[9]), (10.0, 100.0));
    }

    #[test]
    fn each_tenth_of_the_requests_has_the_same_room() {
        assert_eq!((x(50.0), x(99.99)), (LEFT, RIGHT));
        assert!(((x(99.0) - x(90.0)) - (x(99.9) - x(99.0))).abs() < 1e-6);
    }
}
