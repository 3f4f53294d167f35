//! Amounts in pounds sterling, exact to a hundredth of a penny. Nothing is rounded.

use std::fmt;
use std::ops::AddAssign;

/// Ten-thousandths of a pound.
const POUND: u128 = 10_000;
/// The limit of a price, in pounds.
const HIGHEST: u128 = 1_000_000;

/// An amount of zero or more. The highest price times the highest count of 64 bits fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u128);

impl Money {
    /// Reads `0.42`, with up to four decimals.
    ///
    /// # Errors
    /// The reason why the text is not a price.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('-') {
            return Err("is negative");
        }
        let (pounds, parts) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !digits(pounds) || !digits(parts) {
            return Err("is not an amount in pounds");
        }
        if parts.len() > 4 {
            return Err("has more than four decimals");
        }
        let whole: u128 = pounds.parse().ok().filter(|pounds| *pounds < HIGHEST).ok_or("is a million or more")?;
        let parts: u128 = format!("{parts:0<4}").parse().map_err(|_| "is not an amount in pounds")?;
        Ok(Self(whole * POUND + parts))
    }

    /// The amount times a count.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0 * u128::from(count))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl fmt::Display for Money {
    /// At least two decimals, and more only where they are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = format!("{:04}", self.0 % POUND);
        let parts = if parts.ends_with("00") { &parts[..2] } else { parts.trim_end_matches('0') };
        f.pad(&format!("{}.{parts}", self.0 / POUND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_read_back() {
        for (text, shown) in [("0.42", "0.42"), ("1", "1.00"), ("0.0001", "0.0001"), ("7.125", "7.125"), ("0", "0.00")]
        {
            assert_eq!(Money::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Money::parse("0.1").unwrap().times(3).to_string(), "0.30");
        assert_eq!(Money::parse("999999.9999").unwrap().times(u64::MAX).to_string(), "18446744071864877207629044.8385");
        let mut sum = Money::parse("0.005").unwrap();
        sum += Money::parse("0.995").unwrap();
        assert_eq!(sum.to_string(), "1.00");
    }

    #[test]
    fn invalid_amounts_are_refused() {
        for text in ["-1", "-0.10", "", ".", "1.", ".5", "1,50", "1e3", "0.12345", "1000000", "£1", " 1"] {
            assert!(Money::parse(text).is_err(), "{text}");
        }
    }
}
