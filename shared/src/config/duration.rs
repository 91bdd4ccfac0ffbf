//! Spans of time as an operator writes them: `200ms`, `5s`, `1min 30s`, `1h`.

use std::time::Duration;

/// Reads a span. The error says what to write.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("the span of time is empty: write, for example, \"5s\"".into());
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let Ok(count) = number.parse::<u64>() else {
            return Err(if tail.starts_with('.') || rest.starts_with('.') {
                "only whole numbers: write \"2500ms\" instead of \"2.5s\"".into()
            } else {
                format!("\"{text}\" is no span of time: write, for example, \"200ms\", \"5s\", \"1min\"")
            });
        };
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "" if tail.starts_with('.') => {
                return Err("only whole numbers: write \"2500ms\" instead of \"2.5s\"".into());
            }
            "" => return Err(format!("the unit is missing: write \"{count}s\" or \"{count}ms\"")),
            "m" => return Err(format!("the unit `m` is not clear: write \"{count}min\" or \"{count}ms\"")),
            other => return Err(format!("the unit `{other}` is not known: use `ms`, `s`, `min` or `h`")),
        };
        total_ms = count
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(|| format!("\"{text}\" is too long a span of time"))?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a span so that [`parse`] reads it back, cut to whole milliseconds.
#[must_use]
pub fn show(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "min"), (ms / 1_000 % 60, "s"), (ms % 1_000, "ms")];
    let words: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if words.is_empty() { "0s".into() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_spellings_are_read() {
        for (text, ms) in
            [("200ms", 200), ("5s", 5_000), ("1min 30s", 90_000), ("1h", 3_600_000), ("0s", 0), ("9 min", 540_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        assert!(parse("5").unwrap_err().contains("\"5s\""));
        assert!(parse("5m").unwrap_err().contains("5min"));
        assert!(parse("2.5s").unwrap_err().contains("2500ms"));
        for text in ["", "s", "5 weeks", "99999999999999999999s", "18446744073709551615h", "-5s", "5s,", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 0..u64::MAX / 2) {
            let span = Duration::from_millis(ms);
            prop_assert_eq!(parse(&show(span)), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
