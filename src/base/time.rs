//! Times of files: seconds and nanoseconds, before 1970 and after 2038 alike.

use std::fmt;

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl FileTime {
    /// Nanoseconds in a second.
    pub const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;
}

/// Seconds with nine decimals, such as `1763787600.123456789` or `-0.500000000`.
impl fmt::Display for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds < 0 && self.nanoseconds > 0 {
            let seconds = (i128::from(self.seconds) + 1).unsigned_abs();
            let nanoseconds = Self::NANOSECONDS_PER_SECOND - self.nanoseconds;
            write!(f, "-{seconds}.{nanoseconds:09}")
        } else {
            write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
        }
    }
}

/// A string that is not seconds with up to nine decimals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a file time: seconds with up to nine decimals are expected")]
pub struct FileTimeError;

impl std::str::FromStr for FileTime {
    type Err = FileTimeError;

    fn from_str(text: &str) -> Result<Self, FileTimeError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
            return Err(FileTimeError);
        }
        let whole: i128 = whole.parse().map_err(|_| FileTimeError)?;
        let fraction: i128 = format!("{fraction:0<9}").parse().map_err(|_| FileTimeError)?;
        let billion = i128::from(Self::NANOSECONDS_PER_SECOND);
        let total = whole.checked_mul(billion).and_then(|whole| whole.checked_add(fraction));
        let total = total.ok_or(FileTimeError)?;
        let total = if negative { -total } else { total };
        Ok(Self {
            seconds: i64::try_from(total.div_euclid(billion)).map_err(|_| FileTimeError)?,
            nanoseconds: u32::try_from(total.rem_euclid(billion)).map_err(|_| FileTimeError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_with_nine_decimals_and_parse_back() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0.000000000"),
            (1_763_787_600, 123_456_789, "1763787600.123456789"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 0, "-2.000000000"),
            (-2, 1, "-1.999999999"),
            (i64::MIN, 1, "-9223372036854775807.999999999"),
        ] {
            let time = FileTime { seconds, nanoseconds };
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        for bad in [
            "",
            "-",
            "1.",
            ".5",
            "1e9",
            "1.1234567890",
            "99999999999999999999",
            "170141183460469231731687303715.999999999",
        ] {
            assert_eq!(bad.parse::<FileTime>(), Err(FileTimeError), "{bad}");
        }
    }
}
