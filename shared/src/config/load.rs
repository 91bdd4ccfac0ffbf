//! From a file to a checked configuration.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest;
use super::duration::show;
use super::fields::names_a_secret;
use super::leaf::system_lookup;
use super::model::Config;
use super::outage::above_objective;
use super::problem::{Problem, Problems, Severity, Source};
use super::read;
use super::reader::{Lookup, Origin, Reader, Resolved, Value};
use super::scan::{Scanned, TEXT_BYTES_MAX, scan};
use super::tree::{Kind, Node, Span};

/// A configuration that passed every check, and what is known about its text.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file, in full where it was read from one.
    pub file: PathBuf,
    /// The configuration.
    pub config: Config,
    /// Fingerprint of what the operator wrote; equal on both hosts when the texts say the same.
    pub digest: u64,
    /// The same for each dotted key, to name the ones that differ: see [`super::differing_keys`].
    pub key_digests: BTreeMap<String, u64>,
    /// What works but should be known. Printed like problems.
    pub warnings: Problems,
    resolved: Vec<Resolved>,
}

impl Loaded {
    /// The whole configuration as it is in force: every key, its value, and where that came from, in the order of the
    /// schema.
    #[must_use]
    pub fn resolved(&self) -> &[Resolved] {
        &self.resolved
    }
}

/// Reads and checks a file. Relative paths in it start at its folder.
///
/// Host names are looked up now, which may take the resolver's time: call it in a thread of its own, not in the daemon's
/// loop.
///
/// # Errors
/// Everything that is wrong with the file, all at once; the operating system's error if it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let unreadable = |what: String| {
        let problem = Problem::without_place(what).help("is the path right, and may this user read the file?");
        Problems::new(&Source::new(path, "", &[]), Severity::Error, vec![problem])
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(format!("the configuration cannot be read: {error}")))?;
    if read > TEXT_BYTES_MAX {
        return Err(unreadable(format!("the configuration is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("the configuration is not UTF-8 text: {}", error.utf8_error())))?;
    // Relative paths must not depend on where the daemon was started.
    let full = std::path::absolute(path).map_err(|error| unreadable(format!("the path cannot be used: {error}")))?;
    let loaded = parse(&text, path, full.parent().unwrap_or(Path::new("/")))?;
    Ok(Loaded { file: full, ..loaded })
}

/// Checks a text. `name` is the file's name in messages; relative paths in the text start at `base`.
///
/// # Errors
/// Everything that is wrong with the text, all at once.
pub fn parse(text: &str, name: &Path, base: &Path) -> Result<Loaded, Problems> {
    parse_with(text, name, base, system_lookup)
}

pub(super) fn parse_with(text: &str, name: &Path, base: &Path, lookup: Lookup) -> Result<Loaded, Problems> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = Problem::without_place(format!("the configuration is longer than {TEXT_BYTES_MAX} bytes"));
        return Err(Problems::new(&Source::new(name, "", &[]), Severity::Error, vec![problem]));
    }
    let Scanned { root, liberties } = scan(text);
    let mut secrets = Vec::new();
    match &root {
        Ok(root) => secret_places(root, &mut secrets),
        Err(_) => secrets = secret_lines(text),
    }
    let source = Source::new(name, text, &secrets);
    let refuse = |problems: Vec<Problem>| Problems::new(&source, Severity::Error, problems);
    if let Some(mut problem) = syntax_problem(text, &liberties) {
        // Where both give up, the scanner says more of what is missing.
        problem.help = root.err().map(|error| error.message);
        return Err(refuse(vec![problem]));
    }
    let root = root.map_err(|error| refuse(vec![Problem::at(error.span, error.message)]))?;

    let mut reader = Reader::new(base, lookup);
    let config = read::pair(&mut reader, &root);
    reader.drop_consequences();
    let Reader { problems, mut warnings, values, .. } = reader;
    let config = match config {
        Some(config) if problems.is_empty() => config,
        _ => return Err(refuse(problems)),
    };
    warnings.extend(above_objective(&config).into_iter().map(|fault| {
        let outage = fault.outage.unwrap_or_default();
        Problem::without_place(format!(
            "{}: up to {} of outage, more than `objective_outage` {}",
            fault.fault,
            show(outage),
            show(config.objective_outage)
        ))
        .help(fault.formula)
    }));
    let key_digests = digest::of_keys(&root);
    Ok(Loaded {
        file: name.to_owned(),
        config,
        digest: digest::of_all(&key_digests),
        key_digests,
        warnings: Problems::new(&source, Severity::Warning, warnings),
        resolved: resolve(&source, values),
    })
}

/// What `ron` says against the text, if anything. It judges with the liberties blanked, each place as long as before.
fn syntax_problem(text: &str, liberties: &[Span]) -> Option<Problem> {
    let mut bytes = text.as_bytes().to_vec();
    for place in liberties {
        bytes.get_mut(place.clone())?.fill(b' ');
    }
    let plain = String::from_utf8(bytes).ok()?;
    let error = ron::from_str::<serde::de::IgnoredAny>(plain.strip_prefix('\u{feff}').unwrap_or(&plain)).err()?;
    let start = byte_of(text, error.span.start.line, error.span.start.col);
    let end = byte_of(text, error.span.end.line, error.span.end.col).max(start);
    Some(Problem::at(start..end, format!("this is no RON: {}", error.code)))
}

/// The byte at a line and column, both from 1, the column in characters.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text.get(start..).and_then(|rest| rest.find('\n')) {
            Some(newline) => start += newline + 1,
            None => return text.len(),
        }
    }
    let rest = text.get(start..).unwrap_or_default();
    rest.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| start + at)
}

/// Finds texts that someone put under a key that names a secret. Such a key is refused; its value is not to be printed.
fn secret_places(node: &Node, places: &mut Vec<Span>) {
    match &node.kind {
        Kind::Group { fields, .. } => {
            for field in fields {
                if field.label.as_ref().is_some_and(|label| names_a_secret(&label.name)) {
                    places.push(field.value.span.clone());
                }
                secret_places(&field.value, places);
            }
        }
        Kind::List(items) => items.iter().for_each(|item| secret_places(item, places)),
        Kind::Map(pairs) => {
            for (key, value) in pairs {
                if matches!(&key.kind, Kind::Text(name) if names_a_secret(name)) {
                    places.push(value.span.clone());
                }
                secret_places(value, places);
            }
        }
        _ => {}
    }
}

/// The same for a text that has no tree: behind a key that names a secret, the rest of its line.
fn secret_lines(text: &str) -> Vec<Span> {
    let colons = text.match_indices(':').map(|(at, _)| at);
    let names_one = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default().trim_end_matches(|c: char| c.is_whitespace() || c == '"');
        let word = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        names_a_secret(word)
    };
    let line_end = |at: usize| text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length);
    colons.filter(names_one).map(|at| at + 1..line_end(at)).collect()
}

fn resolve(source: &Arc<Source>, values: Vec<Value>) -> Vec<Resolved> {
    let origin = |span: Option<Span>| match span {
        Some(span) => Origin::Written { line: source.place(span.start).0 },
        None => Origin::Default,
    };
    values
        .into_iter()
        .map(|value| Resolved { origin: origin(value.span), key: value.key, value: value.shown })
        .collect()
}
