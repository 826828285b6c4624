//! Which jobs of a project a retention policy keeps, and why.
//!
//! Invariant: it depends on the jobs alone, not on the clock or the time zone of whoever asks; the
//! newest job is kept by every policy, whatever its clock said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{Span, Zoned};

/// How often one job is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Every {
    /// Every job.
    Job,
    /// One of each hour.
    Hour,
    /// One of each day.
    Day,
    /// One of each week, from Monday on.
    Week,
    /// One of each month.
    Month,
    /// One of each quarter of a year.
    Quarter,
    /// One of each year.
    Year,
}

impl Every {
    /// All, the finest first.
    pub const ALL: [Self; 7] =
        [Self::Job, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The word for it, such as `daily`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Job => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        }
    }

    /// Jobs with the same value are of the same hour, day and so on, where and when they were made.
    fn period(self, job: &Candidate) -> [i64; 4] {
        let time = &job.time;
        let year = i64::from(time.year());
        let (month, day) = (i64::from(time.month()), i64::from(time.day()));
        match self {
            Self::Job => [job.number.cast_signed(), 0, 0, 0],
            Self::Hour => [year, month, day, i64::from(time.hour())],
            Self::Day => [year, month, day, 0],
            Self::Week => {
                let week = time.date().iso_week_date();
                [i64::from(week.year()), i64::from(week.week()), 0, 0]
            }
            Self::Month => [year, month, 0, 0],
            Self::Quarter => [year, (month - 1) / 3, 0, 0],
            Self::Year => [year, 0, 0, 0],
        }
    }
}

/// A length of time, such as `2y6m`, `4w` or `36h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    years: u16,
    months: u16,
    weeks: u16,
    days: u16,
    hours: u16,
}

/// A text that is no count and no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a count such as 7 nor a time such as 36h, 30d, 8w, 6m or 2y6m")]
pub struct AmountError(String);

impl Interval {
    /// This long before a point in time.
    fn before(self, time: &Zoned) -> Option<Zoned> {
        let span = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_weeks(self.weeks))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours));
        time.checked_sub(span.ok()?).ok()
    }
}

impl FromStr for Interval {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let refused = || AmountError(text.chars().take(40).collect());
        let mut interval = Self::default();
        let mut rest = text;
        let mut last = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = rest.split_at_checked(digits).ok_or_else(refused)?;
            let number: u16 = number.parse().map_err(|_| refused())?;
            let fields = [
                ('y', &mut interval.years),
                ('m', &mut interval.months),
                ('w', &mut interval.weeks),
                ('d', &mut interval.days),
                ('h', &mut interval.hours),
            ];
            let unit = unit.chars().next().ok_or_else(refused)?;
            // Longer units come first, and each once, so that a slip does not pass for a policy.
            let mut known = (1..).zip(fields).skip(last);
            let (at, (_, field)) =
                known.find(|(_, (name, _))| *name == unit).ok_or_else(refused)?;
            (*field, last) = (number, at);
            rest = rest.get(digits + 1..).unwrap_or_default();
        }
        if interval == Self::default() { Err(refused()) } else { Ok(interval) }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { years, months, weeks, days, hours } = *self;
        let parts = [(years, 'y'), (months, 'm'), (weeks, 'w'), (days, 'd'), (hours, 'h')];
        parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, unit)| f.write_fmt(format_args!("{count}{unit}")))
    }
}

/// How far back one of each period is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// In so many of the latest periods that have a job.
    Count(u32),
    /// In the time before the newest job.
    Within(Interval),
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let count = text.parse().map_err(|_| AmountError(text.chars().take(40).collect()))?;
            return Ok(Self::Count(count));
        }
        text.parse().map(Self::Within)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Within(interval) => interval.fmt(f),
        }
    }
}

/// What to keep. A job that any rule keeps is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// One job of each period, so far back.
    pub every: BTreeMap<Every, Amount>,
    /// All jobs in this time before the newest.
    pub within: Option<Interval>,
    /// All jobs with one of these tags.
    pub tags: BTreeSet<String>,
}

impl Policy {
    /// Whether it names nothing to keep.
    pub fn is_empty(&self) -> bool {
        let is_nothing = |amount: &Amount| *amount == Amount::Count(0);
        self.every.values().all(is_nothing) && self.within.is_none() && self.tags.is_empty()
    }
}

/// A job of a project, as far as a policy looks at it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its number.
    pub number: u64,
    /// When its backup began, where it was made.
    pub time: Zoned,
    /// The tags of its snapshot.
    pub tags: Vec<String>,
    /// Pins that lead to its snapshot.
    pub pins: Vec<String>,
}

/// Why a job is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the newest of its project.
    Newest,
    /// It is the last one of a period.
    Every(Every),
    /// It was made within the time in which all are kept.
    Within,
    /// It has this tag.
    Tag(String),
    /// This pin leads to it.
    Pin(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Every(every) => f.write_str(every.word()),
            Self::Within => f.write_str("within"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Pin(pin) => write!(f, "{pin}"),
        }
    }
}

/// Why each of these jobs of one project is kept, in their order. One without a reason is not kept.
pub fn judge(policy: &Policy, jobs: &[Candidate]) -> Vec<BTreeSet<Reason>> {
    let mut reasons = vec![BTreeSet::new(); jobs.len()];
    let mut keep = |at: usize, reason: Reason| {
        if let Some(reasons) = reasons.get_mut(at) {
            reasons.insert(reason);
        }
    };
    let Some((newest, _)) = jobs.iter().enumerate().max_by_key(|(_, job)| job.number) else {
        return reasons;
    };
    keep(newest, Reason::Newest);
    let latest = jobs.iter().map(|job| &job.time).max();
    let start = |interval: Interval| latest.and_then(|latest| interval.before(latest));
    let is_since =
        |job: &Candidate, interval: Interval| start(interval).is_none_or(|start| job.time > start);
    for (every, amount) in &policy.every {
        // Of each period the job with the highest number: clocks go back at times, numbers do not.
        let mut last: BTreeMap<[i64; 4], usize> = BTreeMap::new();
        for (at, job) in jobs.iter().enumerate() {
            let known = last.entry(every.period(job)).or_insert(at);
            if jobs.get(*known).is_some_and(|known| known.number < job.number) {
                *known = at;
            }
        }
        let of_periods = last.values().rev();
        match *amount {
            Amount::Count(count) => {
                of_periods.take(count as usize).for_each(|at| keep(*at, Reason::Every(*every)));
            }
            Amount::Within(interval) => of_periods
                .filter(|at| jobs.get(**at).is_some_and(|job| is_since(job, interval)))
                .for_each(|at| keep(*at, Reason::Every(*every))),
        }
    }
    for (at, job) in jobs.iter().enumerate() {
        if policy.within.is_some_and(|interval| is_since(job, interval)) {
            keep(at, Reason::Within);
        }
        let tags = job.tags.iter().filter(|tag| policy.tags.contains(*tag));
        tags.for_each(|tag| keep(at, Reason::Tag(tag.clone())));
        job.pins.iter().for_each(|pin| keep(at, Reason::Pin(pin.clone())));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn zoned(text: &str) -> Zoned {
        let time: jiff::civil::DateTime = text.parse().expect("a time");
        time.to_zoned(TimeZone::UTC).expect("in range")
    }

    /// Jobs 1, 2, … that were made at these times.
    fn jobs(times: &[&str]) -> Vec<Candidate> {
        let numbered = (1..).zip(times);
        numbered
            .map(|(number, time)| Candidate {
                number,
                time: zoned(time),
                tags: Vec::new(),
                pins: Vec::new(),
            })
            .collect()
    }

    fn policy(rules: &[(Every, &str)]) -> Policy {
        let amount = |text: &str| text.parse().expect("an amount");
        let every = rules.iter().map(|(every, text)| (*every, amount(text))).collect();
        Policy { every, ..Policy::default() }
    }

    fn kept(policy: &Policy, jobs: &[Candidate]) -> Vec<u64> {
        let judged = judge(policy, jobs);
        let kept = jobs.iter().zip(&judged).filter(|(_, reasons)| !reasons.is_empty());
        kept.map(|(job, _)| job.number).collect()
    }

    #[test]
    fn the_last_job_of_each_period_is_kept() {
        let jobs = jobs(&[
            "2024-12-30T10:00:00",
            "2025-12-29T10:00:00",
            "2026-01-01T09:00:00",
            "2026-01-01T09:59:59",
            "2026-01-02T09:00:00",
            "2026-02-01T00:00:00",
            "2026-04-01T00:00:00",
        ]);
        for (every, amount, expected) in [
            (Every::Job, "3", vec![5, 6, 7]),
            (Every::Job, "0", vec![7]),
            (Every::Hour, "4", vec![4, 5, 6, 7]),
            (Every::Day, "4", vec![4, 5, 6, 7]),
            // From Monday, 29 December 2025, on: jobs 2 to 5.
            (Every::Week, "4", vec![1, 5, 6, 7]),
            (Every::Month, "3", vec![5, 6, 7]),
            (Every::Quarter, "3", vec![2, 6, 7]),
            (Every::Year, "9", vec![1, 2, 7]),
            (Every::Month, "3m", vec![5, 6, 7]),
            (Every::Day, "59d", vec![7]),
            (Every::Day, "60d", vec![6, 7]),
        ] {
            assert_eq!(kept(&policy(&[(every, amount)]), &jobs), expected, "{every:?} {amount}");
        }
        let both = policy(&[(Every::Year, "2"), (Every::Day, "2")]);
        assert_eq!(kept(&both, &jobs), [2, 6, 7]);
    }

    #[test]
    fn days_are_those_of_the_place_where_the_backup_was_made() {
        let mut jobs = jobs(&["2026-01-01T23:30:00", "2026-01-02T00:30:00"]);
        let daily = policy(&[(Every::Day, "9")]);
        assert_eq!(kept(&daily, &jobs), [1, 2]);
        for job in &mut jobs {
            job.time = job.time.with_time_zone(TimeZone::fixed(Offset::constant(2)));
        }
        assert_eq!(kept(&daily, &jobs), [2]);
    }

    #[test]
    fn a_clock_that_was_wrong_costs_no_newest_job() {
        let jobs = jobs(&["2026-01-01T00:00:00", "2026-01-02T00:00:00", "1970-01-01T00:00:00"]);
        let judged = judge(&policy(&[(Every::Day, "1")]), &jobs);
        assert!(judged[0].is_empty());
        assert_eq!(judged[1], BTreeSet::from([Reason::Every(Every::Day)]));
        assert_eq!(judged[2], BTreeSet::from([Reason::Newest]));
    }

    #[test]
    fn tags_pins_and_times_keep_too() {
        let mut jobs = jobs(&[
            "2026-01-01T00:00:00",
            "2026-01-02T00:00:00",
            "2026-01-31T00:00:01",
            "2026-02-01T00:00:00",
        ]);
        jobs[0].tags = vec!["release".to_owned(), "other".to_owned()];
        jobs[1].pins = vec!["pin/audit".to_owned()];
        let policy = Policy {
            within: Some("1d".parse().expect("an interval")),
            tags: BTreeSet::from(["release".to_owned()]),
            ..Policy::default()
        };
        let judged = judge(&policy, &jobs);
        let told: Vec<Vec<String>> =
            judged.iter().map(|reasons| reasons.iter().map(Reason::to_string).collect()).collect();
        assert_eq!(
            told,
            [vec!["tag release"], vec!["pin/audit"], vec!["within"], vec!["newest", "within"]]
        );
    }

    #[test]
    fn amounts_are_counts_or_times() {
        for text in ["0", "7", "36h", "30d", "8w", "6m", "2y6m", "1y2m3w4d5h"] {
            assert_eq!(text.parse::<Amount>().expect(text).to_string(), text);
        }
        for bad in
            ["", "-1", "1.5", "d", "3x", "0d", "5h4d", "1d1d", "99999d", "99999999999", "3 d", "٣d"]
        {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
        assert!(Policy::default().is_empty());
        assert!(policy(&[(Every::Day, "0")]).is_empty());
        assert!(!policy(&[(Every::Day, "0"), (Every::Year, "1y")]).is_empty());
    }

    proptest! {
        #[test]
        fn what_a_policy_keeps_it_keeps_again(
            minutes in prop::collection::vec(0_i64..3_000_000, 1..60),
            counts in prop::collection::vec(0_u32..5, 7),
        ) {
            let start = zoned("2020-01-01T00:00:00");
            let mut jobs: Vec<Candidate> = (1..)
                .zip(&minutes)
                .map(|(number, minutes)| Candidate {
                    number,
                    time: start.checked_add(Span::new().minutes(*minutes)).expect("in range"),
                    tags: Vec::new(),
                    pins: Vec::new(),
                })
                .collect();
            let every = Every::ALL.into_iter().zip(counts.iter().map(|count| Amount::Count(*count)));
            let policy = Policy { every: every.collect(), ..Policy::default() };
            let first = kept(&policy, &jobs);
            prop_assert!(first.contains(&(jobs.len() as u64)));
            prop_assert!(first.len() <= 1 + counts.iter().sum::<u32>() as usize);
            jobs.retain(|job| first.contains(&job.number));
            prop_assert_eq!(kept(&policy, &jobs), first);
        }
    }
}
