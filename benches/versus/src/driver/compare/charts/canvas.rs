//! What the charts are drawn with: text, lines, boxes, dots; and their colours.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A colour on a light page, and the one that stands for it on a dark page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    light: RGBColor,
    dark: RGBColor,
}

const fn colour(light: u32, dark: u32) -> Colour {
    const fn rgb(value: u32) -> RGBColor {
        RGBColor((value >> 16) as u8, (value >> 8) as u8, value as u8)
    }
    Colour { light: rgb(light), dark: rgb(dark) }
}

pub(super) const PAPER: Colour = colour(0xFFFFFF, 0x0D1117);
pub(super) const INK: Colour = colour(0x1F2328, 0xE6EDF3);
/// Of what explains.
pub(super) const FAINT: Colour = colour(0x59636E, 0x9198A1);
pub(super) const GRID: Colour = colour(0xE1E4E8, 0x2A3038);

/// The servers of this project.
const OURS: [Colour; 4] = [
    colour(0x0969DA, 0x4493F8),
    colour(0x8250DF, 0xAB7DF8),
    colour(0x1B7C83, 0x3AA5AD),
    colour(0x0A3069, 0x9CC9FF),
];

/// The server that the others are held against.
const FIRST: Colour = colour(0x57606A, 0xB1BAC4);

/// The other servers.
const OTHERS: [Colour; 8] = [
    colour(0xBC4C00, 0xF0883E),
    colour(0xBF3989, 0xF778BA),
    colour(0x1A7F37, 0x3FB950),
    colour(0x9A6700, 0xD29922),
    colour(0xCF222E, 0xFF7B72),
    colour(0x6E5494, 0xC4A7E7),
    colour(0x7A4B2A, 0xC69B7B),
    colour(0x4D6A00, 0xA3BE3C),
];

/// Bars are told apart by their names. They are lighter, so that spreads are seen on them.
const OUR_BAR: Colour = colour(0x6CB6FF, 0x2F6FC7);
const FIRST_BAR: Colour = colour(0x8F99A4, 0x6E7681);
const OTHER_BAR: Colour = colour(0xC3CCD6, 0x454E59);

/// The name by which this project's servers begin.
const OUR_PREFIX: &str = "corepoll";

/// Returns a colour for each name; the first is the one that the others are held against.
pub(super) fn colours(names: &[&str]) -> Vec<Colour> {
    let (mut ours, mut others) = (OURS.iter().cycle(), OTHERS.iter().cycle());
    let mut pick = |(at, name): (usize, &&str)| {
        let next = if name.starts_with(OUR_PREFIX) { ours.next() } else { others.next() };
        if at == 0 { FIRST } else { *next.expect("the cycle is not empty") }
    };
    names.iter().enumerate().map(&mut pick).collect()
}

/// Returns the colour of a bar.
pub(super) fn bar_colour(name: &str, is_first: bool) -> Colour {
    match (is_first, is_ours(name)) {
        (true, _) => FIRST_BAR,
        (false, true) => OUR_BAR,
        (false, false) => OTHER_BAR,
    }
}

/// Returns `true` for a server of this project.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(OUR_PREFIX)
}

/// Where a text is, seen from its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// The text begins at the point.
    Right,
    /// The text ends at the point.
    Left,
    Middle,
}

/// A picture that is being drawn. Coordinates are pixels from the upper left corner.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// A string takes all that is written to it.
const IN_MEMORY: &str = "the backend writes to memory";

/// Draws a picture of some width and height.
pub(super) fn picture(size: (u32, u32), draw: impl FnOnce(&Canvas<'_>)) -> String {
    let mut svg = String::new();
    let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
    canvas.area.fill(&PAPER.light).expect(IN_MEMORY);
    draw(&canvas);
    canvas.area.present().expect(IN_MEMORY);
    drop(canvas);
    with_dark_colours(&svg)
}

impl Canvas<'_> {
    /// Writes a text, the middle of its height at `at`.
    pub(super) fn text(&self, at: (f64, f64), side: Side, size: u32, colour: Colour, text: &str) {
        let horizontal = match side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let font = ("sans-serif", size).into_font().color(&colour.light);
        let style = font.pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), pixel(at), style)).expect(IN_MEMORY);
    }

    /// Draws a line through points.
    pub(super) fn line(&self, points: &[(f64, f64)], colour: Colour, width: u32) {
        let points: Vec<(i32, i32)> = points.iter().copied().map(pixel).collect();
        let style = colour.light.stroke_width(width);
        self.area.draw(&PathElement::new(points, style)).expect(IN_MEMORY);
    }

    /// Fills a box between two corners.
    pub(super) fn fill(&self, from: (f64, f64), to: (f64, f64), colour: Colour) {
        let corners = [pixel(from), pixel(to)];
        self.area.draw(&Rectangle::new(corners, colour.light.filled())).expect(IN_MEMORY);
    }

    /// Draws a dot.
    pub(super) fn dot(&self, at: (f64, f64), radius: u32, colour: Colour) {
        let dot = Circle::new(pixel(at), radius, colour.light.filled());
        self.area.draw(&dot).expect(IN_MEMORY);
    }
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

/// Adds a style sheet that replaces each colour for readers who prefer a dark page.
fn with_dark_colours(svg: &str) -> String {
    let hex = |RGBColor(red, green, blue): RGBColor| format!("#{red:02X}{green:02X}{blue:02X}");
    let mut rules = String::new();
    let singles = [PAPER, INK, FAINT, GRID, FIRST, OUR_BAR, FIRST_BAR, OTHER_BAR];
    for colour in singles.iter().chain(&OURS).chain(&OTHERS) {
        let (light, dark) = (hex(colour.light), hex(colour.dark));
        for attribute in ["fill", "stroke"] {
            rules += &format!("[{attribute}=\"{light}\"]{{{attribute}:{dark}}}\n");
        }
    }
    let style = format!("<style>@media (prefers-color-scheme: dark) {{\n{rules}}}</style>");
    let end = svg.find('>').map_or(0, |at| at + 1);
    format!("{}\n{style}{}", &svg[..end], &svg[end..])
}
