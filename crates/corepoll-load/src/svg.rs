//! The picture of the latencies: which share of the requests took how long at most.

use plotters::prelude::*;

use crate::statistics::Statistics;

/// The size of the picture, in pixels.
const SIZE: (u32, u32) = (900, 480);

/// The points of the curve, for each factor of ten.
const STEPS: usize = 40;

/// Draws the latencies of `statistics` as SVG. To the right, each unit is a tenth of the requests that are
/// left: 90 %, 99 %, 99.9 %, so that the slow ones have room.
pub fn latencies(title: &str, statistics: &Statistics) -> String {
    let mut picture = String::new();
    let drawn = draw(&mut picture, title, statistics);
    // A string takes all that is written to it.
    drawn.expect("the backend writes to memory");
    picture
}

/// Draws into `picture`.
fn draw<'a>(
    picture: &'a mut String,
    title: &str,
    statistics: &Statistics,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    // As far as there are requests: beyond, the curve would be the longest one again.
    let tens = (statistics.answered.max(10) as f64).log10().min(6.0);
    let points = (0..=(tens * STEPS as f64) as usize).map(|step| {
        let right = step as f64 / STEPS as f64;
        let latency = statistics.percentile(100.0 * (1.0 - 10f64.powf(-right)));
        (right, latency.as_secs_f64() * 1e3)
    });
    let highest = (statistics.longest().as_secs_f64() * 1e3).max(0.001) * 1.05;
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..tens, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(tens as usize + 1)
        .x_label_formatter(&|right| percent(*right))
        .y_label_formatter(&|latency| format!("{latency}"))
        .x_desc("share of the requests")
        .y_desc("latency at most, ms")
        .label_style(("sans-serif", 14))
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    area.present()
}

/// Returns the label of the share that is so many factors of ten to the right.
fn percent(right: f64) -> String {
    let decimals = (right.round() - 2.0).max(0.0) as usize;
    format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_picture_has_its_title_and_its_scales() {
        let mut statistics = Statistics::new();
        for microseconds in 1..=10_000 {
            statistics.record(Duration::from_micros(microseconds));
        }
        let picture = latencies("a title & more", &statistics);
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for text in ["a title &amp; more", "0 %", "90 %", "99 %", "99.9 %", "latency at most, ms"] {
            assert!(picture.contains(text), "{text}");
        }
    }

    #[test]
    fn nothing_measured_is_drawn_too() {
        assert!(latencies("nothing", &Statistics::new()).contains("nothing"));
    }
}
