//! Where text goes: plain into files and pipes, coloured on a terminal. Every line reads well without colour.

use std::io::{IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Style};

/// Wider is harder to read, whatever the terminal offers.
const WIDTH_MAX: usize = 100;
/// Narrower cannot hold a line of the history.
const WIDTH_MIN: usize = 60;

/// A place to write to.
pub(crate) struct Out<'w> {
    writer: &'w mut dyn Write,
    colour: bool,
    width: usize,
}

/// What a coloured word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warning,
    Bad,
    Strong,
    Faint,
}

impl<'w> Out<'w> {
    /// Writes without colour.
    #[cfg(test)]
    pub(crate) fn plain(writer: &'w mut dyn Write) -> Out<'w> {
        Out { writer, colour: false, width: WIDTH_MAX }
    }

    /// Writes to a stream of this process; with colour when it is a terminal and the user wants it
    /// (`NO_COLOR`, see no-color.org).
    pub(crate) fn to(writer: &'w mut (impl Write + IsTerminal)) -> Out<'w> {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = writer.is_terminal() && wanted && able;
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(WIDTH_MAX);
        Out { writer, colour, width: columns.clamp(WIDTH_MIN, WIDTH_MAX) }
    }

    /// It is a person's terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.colour
    }

    /// One line, as it is.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> std::io::Result<()> {
        writeln!(self.writer, "{}", text.as_ref().trim_end())?;
        self.writer.flush()
    }

    /// Text without a line's end, for questions.
    pub(crate) fn part(&mut self, text: &str) -> std::io::Result<()> {
        write!(self.writer, "{text}")?;
        self.writer.flush()
    }

    /// A head and a text behind it; the text is folded and stays to the right of the head.
    pub(crate) fn folded(&mut self, head: &str, head_width: usize, text: &str) -> std::io::Result<()> {
        let mut before = pad(head, head_width);
        for row in fold(text, self.width.saturating_sub(head_width)) {
            self.line(format!("{before}{row}"))?;
            before = " ".repeat(head_width);
        }
        Ok(())
    }

    /// The text in its tone, where the place shows colour.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_string();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// Text from scripts and other hosts made harmless: a control character could drive the operator's terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A point in time as the daemon gives it, to the second. Something else is shown as it is.
pub(crate) fn to_second(utc: &str) -> String {
    utc.parse::<jiff::Timestamp>().map_or_else(|_| utc.to_string(), |time| time.strftime("%F %TZ").to_string())
}

/// The text with spaces up to `width` characters. Invisible colour codes do not count.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let mut seen = 0;
    let mut in_code = false;
    for letter in text.chars() {
        match (in_code, letter) {
            (false, '\u{1b}') => in_code = true,
            (true, 'm') => in_code = false,
            (true, _) => {}
            (false, _) => seen += 1,
        }
    }
    format!("{text}{}", " ".repeat(width.saturating_sub(seen)))
}

/// Rows of at most `width` characters, broken at spaces where there are any. A command is not torn from its name: it is
/// to be copied.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    const TIED: &str = "\u{a0}";
    let text = harmless(text).replace("failoverctl ", &format!("failoverctl{TIED}"));
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            rows.push(String::new());
            used = 0;
        }
        if let Some(row) = rows.last_mut() {
            if used > 0 {
                row.push(' ');
                used += 1;
            }
            row.push_str(&word.replace(TIED, " "));
            used += length;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_folded_beside_its_head() {
        let mut bytes = Vec::new();
        let mut out = Out { writer: &mut bytes, colour: false, width: 30 };
        out.folded(" ! risk", 10, "one two three four five six seven").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, " ! risk   one two three four\n          five six seven\n");
    }

    #[test]
    fn control_characters_of_a_script_never_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\u{9b}d"), "a [2Jb c d");
    }

    #[test]
    fn a_command_to_type_is_not_torn_apart() {
        assert_eq!(fold("next: failoverctl ack", 14), ["next:", "failoverctl ack"]);
    }

    #[test]
    fn colour_codes_take_no_room() {
        assert_eq!(pad("\u{1b}[1mok\u{1b}[0m", 4), "\u{1b}[1mok\u{1b}[0m  ");
    }
}
