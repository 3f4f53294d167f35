//! Ticks at round numbers, and the format of numbers.

use super::AxisUnit;
use crate::output::html;

/// Values are clamped to this limit, within which the arithmetic is exact enough.
const LIMIT: f64 = 1e18;

/// A scale of round ticks that covers all values and zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    step: f64,
    unit: AxisUnit,
}

impl Scale {
    /// A scale that covers all values, with about `wanted` ticks.
    pub fn of(values: impl IntoIterator<Item = f64>, wanted: u32, unit: AxisUnit) -> Self {
        let (mut lowest, mut highest) = (0.0_f64, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            lowest = lowest.min(clamped(value));
            highest = highest.max(clamped(value));
        }
        let span = highest - lowest;
        let finest = if unit == AxisUnit::Count { 1.0 } else { 1e-9 };
        let step = if span > 0.0 { round_step(span / f64::from(wanted)).max(finest) } else { 1.0 };
        let high = (highest / step).ceil() * step;
        Self { low: (lowest / step).floor() * step, high: if span > 0.0 { high } else { step }, step, unit }
    }

    /// The ticks, ascending.
    pub fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        (0..=count).map(|tick| self.low + self.step * f64::from(tick)).collect()
    }

    /// The position of a value: 0 at the lowest tick, 1 at the highest.
    pub fn place(&self, value: f64) -> f64 {
        ((clamped(value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The label of a tick. All ticks of a scale have the same unit.
    pub fn label(&self, tick: f64) -> String {
        let most = self.high.max(-self.low);
        let (size, suffix) = magnitude(most, self.unit);
        if tick.abs() < self.step / 2.0 {
            return write_as(0.0, 0, "", self.unit);
        }
        let decimals = decimals_of(self.step / size);
        write_as(tick / size, decimals, suffix, self.unit)
    }
}

/// A value in full, for tooltips.
pub fn exact(value: f64, unit: AxisUnit) -> String {
    match unit {
        AxisUnit::Count => write_as(value, usize::from(value.fract() != 0.0), "", unit),
        AxisUnit::Pounds => write_as(value, 2, "", unit),
        AxisUnit::Share => write_as(value * 100.0, 1, " %", unit),
        AxisUnit::Bytes => {
            let (size, suffix) = magnitude(value.abs(), unit);
            write_as(value / size, if size > 1.0 { 2 } else { 0 }, suffix, unit)
        }
    }
}

/// A value within the limits.
pub fn clamped(value: f64) -> f64 {
    value.clamp(-LIMIT, LIMIT)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = step / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|round| times <= *round * (1.0 + 1e-9)).unwrap_or(10.0)
}

fn magnitude(most: f64, unit: AxisUnit) -> (f64, &'static str) {
    // The least value for which a size is used, the size, and its suffix. Thousands have a suffix from 10,000 on.
    let sizes: &[(f64, f64, &str)] = match unit {
        AxisUnit::Share => return (0.01, " %"),
        AxisUnit::Bytes => {
            &[(1e15, 1e15, " PB"), (1e12, 1e12, " TB"), (1e9, 1e9, " GB"), (1e6, 1e6, " MB"), (1e3, 1e3, " kB")]
        }
        AxisUnit::Count | AxisUnit::Pounds => &[(1e9, 1e9, " bn"), (1e6, 1e6, " m"), (1e4, 1e3, " k")],
    };
    let least = if unit == AxisUnit::Bytes { " B" } else { "" };
    sizes.iter().find(|(from, ..)| most >= *from).map_or((1.0, least), |(_, size, suffix)| (*size, *suffix))
}

fn decimals_of(step: f64) -> usize {
    (0..9).find(|decimals| (step * 10_f64.powi(*decimals)).fract().min(0.5).abs() < 1e-6).unwrap_or(0) as usize
}

fn write_as(value: f64, decimals: usize, suffix: &str, unit: AxisUnit) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole.parse::<u64>().map_or_else(|_| whole.to_owned(), html::count);
    let sign = if value < 0.0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) { "\u{2212}" } else { "" };
    let pound = if unit == AxisUnit::Pounds { "£" } else { "" };
    format!("{sign}{pound}{whole}{rest}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], unit: AxisUnit) -> Vec<String> {
        let scale = Scale::of(values.iter().copied(), 5, unit);
        scale.ticks().into_iter().map(|tick| scale.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_every_value() {
        assert_eq!(labels(&[3.0], AxisUnit::Count), ["0", "1", "2", "3"]);
        assert_eq!(labels(&[7_300.0], AxisUnit::Count), ["0", "2,000", "4,000", "6,000", "8,000"]);
        assert_eq!(labels(&[43_000.0], AxisUnit::Count), ["0", "10 k", "20 k", "30 k", "40 k", "50 k"]);
        assert_eq!(labels(&[1.2e6], AxisUnit::Count), ["0", "0.5 m", "1.0 m", "1.5 m"]);
        assert_eq!(labels(&[-30.0, 60.0], AxisUnit::Count), ["\u{2212}40", "\u{2212}20", "0", "20", "40", "60"]);
        assert_eq!(labels(&[2.4e9], AxisUnit::Bytes), ["0", "0.5 GB", "1.0 GB", "1.5 GB", "2.0 GB", "2.5 GB"]);
        assert_eq!(labels(&[0.21], AxisUnit::Share), ["0", "5 %", "10 %", "15 %", "20 %", "25 %"]);
        assert_eq!(labels(&[], AxisUnit::Pounds), ["£0", "£1"]);
    }

    #[test]
    fn values_are_written_in_full() {
        assert_eq!(exact(1_234_567.0, AxisUnit::Count), "1,234,567");
        assert_eq!(exact(1_234.5, AxisUnit::Pounds), "£1,234.50");
        assert_eq!(exact(-0.5, AxisUnit::Share), "\u{2212}50.0 %");
        assert_eq!(exact(1.5e9, AxisUnit::Bytes), "1.50 GB");
        assert_eq!(exact(-0.01, AxisUnit::Count), "0.0");
    }
}
