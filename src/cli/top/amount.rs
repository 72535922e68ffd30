//! Numbers for people.

/// Octets in decimal units, three digits: `999 B`, `1.02 kB`, `34.1 MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn octets(count: u64) -> String {
    scaled(count as f64)
}

/// Octets a second: `34.1 MB/s`; nothing where nothing moves, so that the eye finds what does.
pub(super) fn rate(octets_per_sec: f64) -> String {
    if octets_per_sec < 0.5 { "-".to_owned() } else { format!("{}/s", scaled(octets_per_sec)) }
}

fn scaled(count: f64) -> String {
    if count < 999.5 {
        return format!("{count:.0} B");
    }
    let (mut scaled, mut unit) = (count, "");
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        // What would be rounded to 1000 belongs to the next unit.
        if scaled < 999.5 {
            break;
        }
        (scaled, unit) = (scaled / 1000.0, next);
    }
    let digits = match scaled {
        few if few < 9.995 => 2,
        some if some < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$} {unit}")
}

/// A span of time in its two largest units: `45 s`, `3 m 20 s`, `5 h 2 m`, `12 d 3 h`.
pub(super) fn span(secs: u64) -> String {
    match secs {
        0..=59 => format!("{secs} s"),
        60..=3599 => format!("{} m {} s", secs / 60, secs % 60),
        3600..=86_399 => format!("{} h {} m", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// A number with its thousands apart: `12 345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1024, "1.02 kB"),
            (34_120_000, "34.1 MB"),
            (999_499, "999 kB"),
            (999_600, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(octets(count), text);
        }
        assert_eq!(rate(0.2), "-");
        assert_eq!(rate(1500.0), "1.50 kB/s");
    }

    #[test]
    fn spans_and_counts_are_read_at_a_glance() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(200), "3 m 20 s");
        assert_eq!(span(18_121), "5 h 2 m");
        assert_eq!(span(1_047_600), "12 d 3 h");
        assert_eq!(count(7), "7");
        assert_eq!(count(123_456), "123 456");
        assert_eq!(count(1_234_567), "1 234 567");
    }
}
