//! How figures are written.

use super::results::{Column, Contestant, Sum, Unit};

/// Writes a figure with its unit, to three digits where it has a fraction.
pub(super) fn write(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => thousands(figure),
        Unit::Nanoseconds => scaled(figure, &[("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)]),
        Unit::Bytes if figure < 10_000.0 => format!("{} B", thousands(figure)),
        Unit::Bytes => scaled(figure, &[("KiB", 1024.0), ("MiB", 1024.0 * 1024.0)]),
        Unit::Share | Unit::YesOrNo => format!("{:.0} %", figure * 100.0),
    }
}

/// Writes a server's figure of a column; empty: there is none.
pub(super) fn of_column(contestant: &Contestant, at: usize, column: &Column) -> String {
    let figures = contestant.figures(at);
    let Some(summary) = contestant.summary(at) else { return String::new() };
    match column.sum {
        Sum::Median => write(summary.median, column.unit),
        Sum::Lowest => write(summary.lowest, column.unit),
        Sum::Count => {
            let yes = figures.iter().filter(|&&figure| figure > 0.5).count();
            format!("{yes} of {}", figures.len())
        }
    }
}

/// Writes a ratio.
pub(super) fn ratio(ratio: f64) -> String {
    if ratio >= 9.995 { three_digits(ratio) } else { format!("{ratio:.2}") }
}

fn scaled(figure: f64, units: &[(&str, f64)]) -> String {
    let suits = |unit: &&(&str, f64)| figure.abs() >= unit.1 * 0.9995;
    let (name, size) = units.iter().rev().find(suits).unwrap_or(&units[0]);
    format!("{} {name}", three_digits(figure / size))
}

fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

fn thousands(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if figure < -0.5 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::compare::results::tests::contestant;

    #[test]
    fn a_figure_has_the_unit_that_suits_it() {
        for (figure, unit, text) in [
            (1_234_567.4, Unit::PerSecond, "1,234,567"),
            (999.0, Unit::PerSecond, "999"),
            (0.5, Unit::Nanoseconds, "0.50 ns"),
            (3_370.0, Unit::Nanoseconds, "3.37 µs"),
            (99_990_000.0, Unit::Nanoseconds, "100 ms"),
            (999_900.0, Unit::Nanoseconds, "1.00 ms"),
            (9_077.0, Unit::Bytes, "9,077 B"),
            (-12.0, Unit::Bytes, "−12 B"),
            (65_536.0, Unit::Bytes, "64.0 KiB"),
            (0.876, Unit::Share, "88 %"),
        ] {
            assert_eq!(write(figure, unit), text);
        }
        assert_eq!(ratio(0.987), "0.99");
        assert_eq!(ratio(123.4), "123");
    }

    #[test]
    fn a_count_says_of_how_many() {
        let column = Column::new("both", Unit::YesOrNo, true).summed_by(Sum::Count);
        assert_eq!(of_column(&contestant("a", &[1.0, 0.0, 1.0]), 0, &column), "2 of 3");
        assert_eq!(of_column(&contestant("a", &[]), 0, &column), "");
    }
}
