//! Medians and quarters. No mean: one bad turn would move it.

/// Samples in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    /// A quarter of the samples is below.
    pub(super) low: f64,
    /// A quarter of the samples is above.
    pub(super) high: f64,
    pub(super) lowest: f64,
    pub(super) count: usize,
}

/// Fewer samples than this have no quarters: their spread is from the lowest to the highest.
const ENOUGH_FOR_QUARTERS: usize = 5;

/// Sums up; None: no samples.
pub(super) fn summary(mut samples: Vec<f64>) -> Option<Summary> {
    samples.sort_by(f64::total_cmp);
    let (&lowest, &highest) = (samples.first()?, samples.last()?);
    let has_quarters = samples.len() >= ENOUGH_FOR_QUARTERS;
    let quarter = |share, else_: f64| if has_quarters { quantile(&samples, share) } else { else_ };
    Some(Summary {
        median: quantile(&samples, 0.5),
        low: quarter(0.25, lowest),
        high: quarter(0.75, highest),
        lowest,
        count: samples.len(),
    })
}

/// The value below which a share of the sorted samples is, between two of them in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sample_moves_neither_median_nor_quarters() {
        let of = summary(vec![5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((of.low, of.median, of.high, of.lowest), (2.0, 3.0, 4.0, 1.0));
        let bad = summary(vec![5e9, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((bad.low, bad.median, bad.high), (2.0, 3.0, 4.0));
    }

    #[test]
    fn few_samples_spread_from_the_lowest_to_the_highest() {
        let of = summary(vec![4.0, 1.0]).unwrap();
        assert_eq!((of.low, of.median, of.high, of.count), (1.0, 2.5, 4.0, 2));
        assert_eq!(summary(Vec::new()), None);
    }
}
