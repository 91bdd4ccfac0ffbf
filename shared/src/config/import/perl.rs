//! The small part of Perl in which CPMS wrote its configuration:
//! `sub CONFIG { ( KEY => 'text' . "text" , KEY => 60 ) } 1;` with comments. Anything that would have to be run is refused.

use std::ops::Range;

use super::super::fields::names_a_secret;
use super::super::problem::Problem;

/// The old files have well under 4 KiB.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const ENTRIES_MAX: usize = 256;

/// One key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: String,
    pub(super) value_span: Range<usize>,
}

/// The places of secrets, found without understanding the text: from the `=>` behind a key that names one to the end of
/// the last line before the next `=>`. So a text that cannot be read shows no secret either.
pub(super) fn secret_places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut inside = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        // Within a line every arrow is looked at: several keys may share it.
        let arrows: Vec<usize> = line.match_indices("=>").map(|(at, _)| at).collect();
        let mut from = 0;
        if inside && arrows.is_empty() {
            places.push(start..end);
        }
        for (number, arrow) in arrows.iter().enumerate() {
            inside = line
                .get(from..*arrow)
                .is_some_and(|before| before.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(names_a_secret));
            from = arrow + 2;
            if inside {
                let next = arrows.get(number + 1).copied().unwrap_or(line.len());
                places.push(start + from..start + next);
            }
        }
        start = end;
    }
    places
}

/// All entries of the text, in their order.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::without_place(format!(
            "the file is longer than {TEXT_BYTES_MAX} bytes: is it the right one?"
        )));
    }
    let mut perl = Perl { text, at: 0 };
    for wanted in ["sub", "CONFIG", "{", "("] {
        perl.expect(wanted)?;
    }
    let mut entries = Vec::new();
    while !perl.found(")") {
        entries.push(perl.entry()?);
        if entries.len() > ENTRIES_MAX {
            return Err(perl.problem(format!("more than {ENTRIES_MAX} keys: is it the right file?")));
        }
        if !perl.found(",") {
            perl.expect(")")?;
            break;
        }
        // Perl takes several commas for one.
        while perl.found(",") {}
    }
    perl.found(";");
    perl.expect("}")?;
    perl.found(";");
    // A file that Perl reads ends with a true value.
    if perl.found("1") {
        perl.found(";");
    }
    perl.skip_blank();
    if perl.at < text.len() && !perl.rest().starts_with("__END__") {
        return Err(perl.problem("the configuration ended before this".into()));
    }
    Ok(entries)
}

struct Perl<'a> {
    text: &'a str,
    at: usize,
}

impl Perl<'_> {
    fn entry(&mut self) -> Result<Entry, Problem> {
        self.skip_blank();
        let start = self.at;
        let key = match self.peek() {
            Some('\'' | '"') => self.quoted()?,
            _ => self.word(),
        };
        if key.is_empty() {
            return Err(self.problem("a key is expected here, as `MONITOR_PORT`".into()));
        }
        let key_span = start..self.at;
        if !self.found("=>") && !self.found(",") {
            return Err(self.problem("`=>` is expected behind a key".into()));
        }
        self.skip_blank();
        let start = self.at;
        let mut value = self.term()?;
        let mut end = self.at;
        while self.found(".") {
            self.skip_blank();
            value.push_str(&self.term()?);
            end = self.at;
        }
        Ok(Entry { key, key_span, value, value_span: start..end })
    }

    /// A text in quotes, or a number.
    fn term(&mut self) -> Result<String, Problem> {
        match self.peek() {
            Some('\'' | '"') => self.quoted(),
            Some(c) if c.is_ascii_digit() => {
                let digits = self.rest().bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
                let number = self.rest().get(..digits).unwrap_or_default().replace('_', "");
                self.at += digits;
                Ok(number)
            }
            _ => Err(self
                .problem("a text in quotes or a number is expected here".into())
                .help("this program reads the old file without running it: write the value itself")),
        }
    }

    fn quoted(&mut self) -> Result<String, Problem> {
        let open = self.at;
        let quote = self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                c if c == quote && c.is_some() => return Ok(text),
                Some('\\') => match (self.next(), quote) {
                    (Some(c @ ('\\' | '\'')), Some('\'')) => text.push(c),
                    // In single quotes a backslash in front of anything else is itself.
                    (Some(c), Some('\'')) => text.extend(['\\', c]),
                    (Some('n'), _) => text.push('\n'),
                    (Some('t'), _) => text.push('\t'),
                    (Some(c), _) if !c.is_ascii_alphanumeric() => text.push(c),
                    _ => return Err(Problem::at(open..self.at, "this escape in double quotes is not understood")),
                },
                Some(c @ ('$' | '@')) if quote == Some('"') => {
                    let message = format!("`{c}` in double quotes would be replaced by Perl");
                    return Err(Problem::at(open..self.at, message).help("write the value itself, in single quotes"));
                }
                Some(c) => text.push(c),
                None => return Err(Problem::at(open..open + 1, "this text has no closing quote")),
            }
        }
    }

    fn word(&mut self) -> String {
        let length = self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let word = self.rest().get(..length).unwrap_or_default().to_owned();
        self.at += length;
        word
    }

    /// Takes `wanted` if it follows.
    fn found(&mut self, wanted: &str) -> bool {
        self.skip_blank();
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Problem> {
        if self.found(wanted) {
            return Ok(());
        }
        let form = "the file has the form `sub CONFIG { ( KEY => 'value', … ) } 1;`";
        Err(self.problem(format!("`{wanted}` is expected here")).help(form))
    }

    /// White space and comments.
    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest().len() - self.rest().trim_start().len();
            self.at += blank;
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn problem(&self, message: String) -> Problem {
        Problem::at(self.at..self.at + self.peek().map_or(0, char::len_utf8), message)
    }
}
