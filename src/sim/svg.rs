//! A picture of a trace: the lanes of the hosts, with the packets between them.
//!
//! Time goes down. A simulation has microseconds beside minutes, so the space between two things
//! grows with the logarithm of the time between them, and times are written at the side.

use std::fmt::Write as _;
use std::time::Duration;

use super::timeline::{Arrow, Band, Dot, Timeline};

/// The distance of two lanes.
const LANE: f64 = 190.0;

/// What is left of the first lane: the times.
const LEFT: f64 = 130.0;

/// What is above the first thing that happens: the names of the hosts.
const TOP: f64 = 64.0;

/// Half of the width of a band on a lane.
const HALF_BAND: f64 = 9.0;

/// The space between two times that are written.
const TIME_LABELS: f64 = 15.0;

/// The least space between two things with words at them, and between others.
const ROWS: [f64; 2] = [11.0, 3.0];

/// Colours for both kinds of pages. Viewers that know no media queries show the light ones.
const STYLE: &str = "\
text{font:11px ui-sans-serif,system-ui,sans-serif;fill:#24292f}\
.page{fill:#ffffff}.name{font-size:13px;font-weight:600}.time,.said{fill:#57606a}\
.lane{stroke:#8c959f;stroke-width:1.5}.tick{stroke:#8c959f;stroke-width:.5;stroke-dasharray:1 5}\
.sent{stroke:#0969da;fill:#0969da;stroke-width:1.2}\
.lost{stroke:#cf222e;fill:#cf222e;stroke-width:1.2;stroke-dasharray:5 3}\
.reset{stroke:#cf222e;fill:#cf222e;stroke-width:1.2}\
.label{font-size:9.5px;stroke:#ffffff;stroke-width:3;paint-order:stroke}\
.down{fill:#cf222e;fill-opacity:.28}.cut{fill:#bf8700;fill-opacity:.16}\
.slow{fill:#8250df;fill-opacity:.12}.paused{fill:#57606a;fill-opacity:.35}.note{fill:#1a7f37}.fault{fill:#cf222e}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}\
.time,.said{fill:#9198a1}.lane{stroke:#656c76}.tick{stroke:#656c76}\
.sent{stroke:#58a6ff;fill:#58a6ff}.lost,.reset{stroke:#ff7b72;fill:#ff7b72}\
.label{stroke:#0d1117}.down{fill:#f85149}.cut{fill:#d29922}.slow{fill:#a371f7}\
.note{fill:#3fb950}.fault{fill:#ff7b72}}";

/// Returns the picture of a timeline of hosts with these names.
pub(super) fn draw(timeline: &Timeline, names: &[&str], caption: &str) -> String {
    let scale = Scale::of(timeline);
    let width = LEFT + LANE * names.len() as f64 + 40.0;
    let height = scale.end + if timeline.fault().is_some() { 52.0 } else { 28.0 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width} {height:.0}\" role=\"img\">\n<title>{caption}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n",
        caption = Escaped(caption),
    );
    for band in &timeline.bands {
        draw_band(&mut svg, &scale, band);
    }
    draw_times(&mut svg, &scale, width);
    for (host, name) in names.iter().enumerate() {
        let (x, name) = (lane(host), Escaped(name));
        let (top, end) = (TOP - 12.0, scale.end + 8.0);
        svg += &format!(
            "<text class=\"name\" x=\"{x}\" y=\"40\" text-anchor=\"middle\">{name}</text>\n\
             <line class=\"lane\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{end:.1}\"/>\n"
        );
    }
    for arrow in &timeline.arrows {
        draw_arrow(&mut svg, &scale, arrow);
    }
    for dot in &timeline.dots {
        draw_dot(&mut svg, &scale, dot);
    }
    let caption = Escaped(caption);
    svg += &format!("<text class=\"said\" x=\"12\" y=\"18\">{caption}</text>\n");
    if let Some(fault) = timeline.fault() {
        let (y, text) = (scale.end + 34.0, Escaped(&fault.text));
        svg += &format!("<text class=\"fault\" x=\"12\" y=\"{y:.1}\">{text}</text>\n");
    }
    svg + "</svg>\n"
}

/// Returns where the lane of a host is.
fn lane(host: usize) -> f64 {
    LEFT + LANE * host as f64 + LANE / 2.0 - 20.0
}

/// Where times are, from the top down.
struct Scale {
    /// The times at which something happens, in order, and where each is.
    places: Vec<(u64, f64)>,
    /// Where the last one is.
    end: f64,
}

impl Scale {
    /// Returns the scale of a timeline.
    fn of(timeline: &Timeline) -> Scale {
        let mut places = Vec::new();
        let mut y = TOP;
        let mut before = None;
        for (time, has_words) in timeline.times() {
            let least = if has_words { ROWS[0] } else { ROWS[1] };
            // And 1 for a millisecond, 8 for 100 ms, 20 for a minute and a half.
            y += before.map_or(0.0, |before| {
                least + 4.0 * (1.0 + (time - before) as f64 / 1_000_000.0).log10()
            });
            places.push((time, y));
            before = Some(time);
        }
        Scale { places, end: y }
    }

    /// Returns where a time is.
    fn y(&self, time: u64) -> f64 {
        let after = self.places.partition_point(|(known, _)| *known < time);
        self.places.get(after).map_or(self.end, |(_, y)| *y)
    }
}

/// Writes the times at the side, where there is room.
fn draw_times(svg: &mut String, scale: &Scale, width: f64) {
    let mut next = 0.0;
    for (time, y) in &scale.places {
        if *y < next {
            continue;
        }
        next = y + TIME_LABELS;
        let seconds = Duration::from_nanos(*time).as_secs_f64();
        svg.push_str(&format!(
            "<text class=\"time\" x=\"{x}\" y=\"{at:.1}\" text-anchor=\"end\">{seconds:.6} s</text>\n\
             <line class=\"tick\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\"/>\n",
            x = LEFT - 10.0,
            at = y + 4.0,
            end = width - 20.0,
        ));
    }
}

/// Draws a time in which a host is down, or a link is not the usual one.
fn draw_band(svg: &mut String, scale: &Scale, band: &Band) {
    let (one, other) = (lane(band.hosts.0), lane(band.hosts.1));
    let edge = if band.hosts.0 == band.hosts.1 { HALF_BAND } else { 0.0 };
    let (x, width) = (one.min(other) - edge, (one - other).abs() + 2.0 * edge);
    let (top, end) = (scale.y(band.start), band.end.map_or(scale.end + 8.0, |end| scale.y(end)));
    let height = (end - top).max(3.0);
    let _ = writeln!(
        svg,
        "<rect class=\"{kind}\" x=\"{x}\" y=\"{top:.1}\" width=\"{width}\" height=\"{height:.1}\"/>\n\
         <text class=\"said\" x=\"{at}\" y=\"{below:.1}\">{kind}</text>",
        kind = band.kind,
        at = x + width - if edge > 0.0 { -4.0 } else { 32.0 },
        below = top + 11.0,
    );
}

/// Draws a packet: to the lane where it arrives, or as far as it has come.
fn draw_arrow(svg: &mut String, scale: &Scale, arrow: &Arrow) {
    let (from, to) = (lane(arrow.from), lane(arrow.to));
    let (sent, at) = (scale.y(arrow.sent), scale.y(arrow.at).max(scale.y(arrow.sent) + 2.0));
    let part = if arrow.is_lost { 0.62 } else { 1.0 };
    let (x, y) = (from + (to - from) * part, sent + (at - sent) * part);
    let class = match arrow.what {
        _ if arrow.is_lost => "lost",
        "RST" => "reset",
        _ => "sent",
    };
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{from:.1}\" y1=\"{sent:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\"/>"
    );
    if arrow.is_lost {
        let _ = writeln!(
            svg,
            "<path class=\"reset\" d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\"/>",
            x - 4.0,
            y - 4.0
        );
    } else {
        let angle = (at - sent).atan2(to - from).to_degrees();
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" transform=\"translate({x:.1} {y:.1}) rotate({angle:.1})\" \
             d=\"M-1 0l-8 -3.5v7z\"/>"
        );
    }
    // Nearer to where it arrives, as notes stand where it is sent.
    let part = part * 0.62;
    let (label_x, label_y) = (from + (to - from) * part, sent + (at - sent) * part - 2.0);
    let what = match arrow.bytes {
        0 => arrow.what.to_owned(),
        bytes => format!("{bytes} B"),
    };
    let _ = writeln!(
        svg,
        "<text class=\"label\" x=\"{label_x:.1}\" y=\"{label_y:.1}\" \
         text-anchor=\"middle\">{what}</text>"
    );
}

/// Draws what a program has noted, or where it has failed: the words of that are below.
fn draw_dot(svg: &mut String, scale: &Scale, dot: &Dot) {
    let (x, y) = (lane(dot.host), scale.y(dot.at));
    let (kind, radius) = if dot.is_fault { ("fault", 6) } else { ("note", 4) };
    let _ = writeln!(svg, "<circle class=\"{kind}\" cx=\"{x}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
    if !dot.is_fault {
        let (x, y, text) = (x + 8.0, y + 4.0, Escaped(&dot.text));
        let _ = writeln!(svg, "<text class=\"label note\" x=\"{x}\" y=\"{y:.1}\">{text}</text>");
    }
}

/// Text in which no character is markup.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no other control characters.
                _ if character.is_control() => f.write_str(" ")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}
