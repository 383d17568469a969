//! Durations as people write them: a whole number and one unit, `60s`, `15m`, `12h`, `7d`.

use std::time::Duration;

/// The longest duration that a setting can have: ten years. Longer ones are typing errors.
const LONGEST: u64 = 3650 * 24 * 3600;

/// Reads a duration.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a duration is a whole number and a unit: \"60s\", \"15m\", \"12h\", \"7d\"";
    let unit = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 24 * 3600,
        _ => return Err(FORM),
    };
    let digits = &text[..text.len() - 1];
    // `u64::from_str` would take a sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FORM);
    }
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|s| *s <= LONGEST);
    seconds.map(Duration::from_secs).ok_or("longer than ten years")
}

/// Writes a duration in the largest unit that divides it.
pub(super) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (unit, name) = [(24 * 3600, "d"), (3600, "h"), (60, "m")]
        .into_iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit))
        .unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_counts_seconds() {
        for (text, seconds) in [("0s", 0), ("60s", 60), ("15m", 900), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_but_a_number_and_a_unit_is_refused() {
        for bad in ["", "s", "60", "60 s", "+60s", "-1s", "1.5h", "1h30m", "60S", "1w", "٣s", "sé"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn more_than_ten_years_is_a_typing_error() {
        assert!(parse("3650d").is_ok());
        for bad in ["3651d", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse(bad), Err("longer than ten years"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_shown_reads_as_the_same(seconds in 0..LONGEST) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }
    }
}
