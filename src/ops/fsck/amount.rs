//! How much of the packs a check reads that is not to read all: a share, a part, or as much as there
//! is time for.
//!
//! Invariant: no amount is nothing, and every pack comes to its turn if the same one is asked for again
//! and again, or each part of several once.

use std::str::FromStr;

/// Millionths of a whole.
const WHOLE: u32 = 1_000_000;

/// How much of all packs is read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Packs with this many millionths of all bytes, those first that were not verified for longest.
    Share(u32),
    /// The packs of one of several parts, which together are all packs. A pack is always in the same
    /// one, whatever other packs there are.
    Part {
        /// Which, from 1.
        number: u32,
        /// How many parts there are.
        of: u32,
    },
    /// As many packs as can be begun in so many seconds, those first that were not verified for
    /// longest.
    Seconds(u64),
}

/// A text is no [`Amount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an amount such as 10%, 2/7, 30s, 10m or 2h")]
pub struct AmountError;

impl Amount {
    /// All bytes.
    pub const ALL: Self = Self::Share(WHOLE);
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if let Some(percent) = text.strip_suffix('%') {
            return share(percent).map(Self::Share).ok_or(AmountError);
        }
        if let Some((number, of)) = text.split_once('/') {
            let (number, of) = (whole(number)?, whole(of)?);
            let is_part = number >= 1 && number <= of;
            return if is_part { Ok(Self::Part { number, of }) } else { Err(AmountError) };
        }
        let (count, unit) = text.split_at(text.len() - usize::from(text.ends_with(is_unit)));
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(AmountError),
        };
        Ok(Self::Seconds(u64::from(whole(count)?) * seconds))
    }
}

fn is_unit(letter: char) -> bool {
    "smhd".contains(letter)
}

/// A number without sign, from 1.
fn whole(text: &str) -> Result<u32, AmountError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_plain && *number > 0);
    number.ok_or(AmountError)
}

/// Millionths in a decimal number of percent: above 0, at most 100.
fn share(text: &str) -> Option<u32> {
    let (units, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(units) || !is_plain(fraction) || units.len() > 3 || fraction.len() > 4 {
        return None;
    }
    let millionths: u32 = format!("{units}{fraction:0<4}").parse().ok()?;
    (1..=WHOLE).contains(&millionths).then_some(millionths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_forms() {
        for (text, expected) in [
            ("10%", Amount::Share(100_000)),
            ("100%", Amount::Share(WHOLE)),
            ("0.5%", Amount::Share(5_000)),
            ("1/7", Amount::Part { number: 1, of: 7 }),
            ("7/7", Amount::Part { number: 7, of: 7 }),
            ("30s", Amount::Seconds(30)),
            ("10m", Amount::Seconds(600)),
            ("2h", Amount::Seconds(7200)),
            ("1d", Amount::Seconds(86400)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "%",
            "0%",
            "101%",
            "-1%",
            "+1%",
            "1.%",
            "0.00001%",
            "0/7",
            "8/7",
            "1/0",
            "1/",
            "/7",
            "10",
            "s",
            "0s",
            "-3s",
            "1.5h",
            "10M",
            "é",
            "3é",
            "1/7/2",
            "99999999999s",
        ] {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError), "{bad}");
        }
    }
}
