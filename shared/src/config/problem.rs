//! What is wrong with a configuration text: each problem with its place and with what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::tree::Span;

/// One problem, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to write instead, and why.
    pub help: Option<String>,
    /// Line, from 1. Zero when the problem has no place in the text.
    pub line: usize,
    /// Column in characters, from 1. Zero when the problem has no place in the text.
    pub column: usize,
    pub(super) span: Option<Span>,
    /// The dotted key whose absence is the problem. Not told if that key is there, but misspelt: that is told already.
    pub(super) missing: Option<String>,
}

impl Problem {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), help: None, line: 0, column: 0, span: Some(span), missing: None }
    }

    pub(super) fn without_place(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), help: None, line: 0, column: 0, span: None, missing: None }
    }

    pub(super) fn missing(mut self, key: impl Into<String>) -> Problem {
        self.missing = Some(key.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// All problems (or all warnings) of one text. Printed, each shows file, line, column, the line itself with a mark under
/// the place, and what to write instead.
#[derive(Clone, Debug)]
pub struct Problems {
    source: Arc<Source>,
    level: Severity,
    list: Vec<Problem>,
}

/// The file's name as it is shown, and its text with the secrets blotted out.
#[derive(Debug)]
pub(super) struct Source {
    name: PathBuf,
    text: String,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but the operator should know.
    Warning,
    /// Refused.
    Error,
}

impl Source {
    /// `secrets` are places whose characters are never shown.
    pub(super) fn new(name: &Path, text: &str, secrets: &[Span]) -> Arc<Source> {
        let hidden = |at: usize, c: char| c != '\n' && secrets.iter().any(|secret| secret.contains(&at));
        // Byte for byte, so that every place keeps its number.
        let text = text
            .char_indices()
            .flat_map(|(at, c)| if hidden(at, c) { vec!['*'; c.len_utf8()] } else { vec![c] })
            .collect();
        Arc::new(Source { name: name.to_owned(), text })
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        (before.matches('\n').count() + 1, column + 1)
    }
}

impl Problems {
    pub(super) fn new(source: &Arc<Source>, level: Severity, mut list: Vec<Problem>) -> Problems {
        for problem in &mut list {
            if let Some(span) = &problem.span {
                (problem.line, problem.column) = source.place(span.start);
            }
        }
        list.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        Problems { source: Arc::clone(source), level, list }
    }

    /// The problems in the order of their places.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// None.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as text; with `colour` as a terminal shows it.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let rendered: Vec<String> = self.list.iter().map(|problem| self.render_one(&renderer, problem)).collect();
        rendered.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let level = match self.level {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let name = self.source.name.display().to_string();
        let title = level.primary_title(problem.message.as_str());
        let mut group: Group<'_> = match &problem.span {
            None => title.element(Origin::path(name)),
            Some(span) => {
                let (line, shown, place) = self.lines_of(span);
                title.element(
                    Snippet::source(shown).line_start(line).path(name).annotation(AnnotationKind::Primary.span(place)),
                )
            }
        };
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// The first line that `span` touches: its number, its text, and the place within it. A problem of a long group is
    /// shown at its first line only.
    fn lines_of(&self, span: &Span) -> (usize, &str, Span) {
        let text = self.source.text.as_str();
        let start = span.start.min(text.len());
        let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let line_end = text.get(start..).and_then(|after| after.find('\n')).map_or(text.len(), |length| start + length);
        let (line, _) = self.source.place(start);
        let shown = text.get(line_start..line_end).unwrap_or_default().trim_end_matches('\r');
        let first = (start - line_start).min(shown.len());
        let last = (span.end.max(start) - line_start).clamp(first, shown.len());
        (line, shown, first..last)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))?;
        if self.level == Severity::Error && self.list.len() > 1 {
            write!(f, "\n\n{}: {} problems", self.source.name.display(), self.list.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
