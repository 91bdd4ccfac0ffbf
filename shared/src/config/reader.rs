//! Reads values out of the tree by key: collects problems instead of stopping at the first, and notes for each key where
//! its value came from.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::fields::Fields;
use super::problem::Problem;
use super::suggest::nearest;
use super::tree::{Field, Kind, Node, Span};
use crate::script::kind::Agents;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written in the file, in this line.
    Written {
        /// From 1.
        line: usize,
    },
    /// Not written: the program's default.
    Default,
}

/// One value of the whole configuration, as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Dotted key: `timing.beat`, `checks[pop3].port`.
    pub key: String,
    /// The value, as RON shows it.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A value on its way from the text to the model: `None` means that a problem was noted.
pub(crate) type Read<T> = Option<T>;

/// Asks for the addresses of a host name.
pub(crate) type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Collects what is found while a tree is read.
pub(crate) struct Reader<'a> {
    pub(crate) base: &'a Path,
    pub(crate) lookup: Lookup,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) values: Vec<Value>,
    /// What the resource agents tell of themselves.
    pub(crate) agents: Agents,
    /// An agent did not tell how long it takes: it is not here, or did not answer in time.
    pub(crate) has_silent_agent: bool,
    /// Dotted keys that are there under a wrong name.
    pub(crate) misspelt: BTreeSet<String>,
    /// Every key that was asked for, with the name of its group: the schema as the code has it.
    #[cfg(test)]
    pub(crate) asked: BTreeSet<(&'static str, &'static str)>,
    pub(crate) in_default: bool,
}

/// A leaf that was read.
pub(crate) struct Value {
    pub(crate) key: String,
    pub(crate) shown: String,
    /// `None` for a default.
    pub(crate) span: Option<Span>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(base: &'a Path, lookup: Lookup) -> Reader<'a> {
        Reader {
            base,
            lookup,
            problems: Vec::new(),
            warnings: Vec::new(),
            values: Vec::new(),
            agents: Agents::default(),
            has_silent_agent: false,
            misspelt: BTreeSet::new(),
            #[cfg(test)]
            asked: BTreeSet::new(),
            in_default: false,
        }
    }

    pub(crate) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A sum of limits that does not hold. Where an agent kept silent the same file may be right a moment later, or on the
    /// other host: it is warned of then, since a refused configuration keeps the daemon from a running service.
    pub(crate) fn broken_sum(&mut self, problem: Problem) {
        if self.has_silent_agent { self.warn(problem) } else { self.problem(problem) }
    }

    pub(crate) fn warn(&mut self, warning: Problem) {
        self.warnings.push(warning);
    }

    /// Drops what only follows from a misspelt key. To be called when everything is read.
    pub(crate) fn drop_consequences(&mut self) {
        let misspelt = &self.misspelt;
        self.problems.retain(|problem| problem.missing.as_ref().is_none_or(|key| !misspelt.contains(key)));
    }

    /// Notes the value of a leaf.
    pub(crate) fn note(&mut self, key: &str, node: &Node, shown: impl Into<String>) {
        let span = if self.in_default { None } else { Some(node.span.clone()) };
        self.values.push(Value { key: key.to_owned(), shown: shown.into(), span });
    }

    /// Notes a default that depends on other values.
    pub(crate) fn note_default(&mut self, key: &str, shown: impl Into<String>) {
        self.values.push(Value { key: key.to_owned(), shown: shown.into(), span: None });
    }

    /// Notes that another kind of value belongs here.
    pub(crate) fn wrong_kind<T>(&mut self, node: &Node, wanted: &str, example: &str) -> Read<T> {
        let problem =
            Problem::at(node.span.clone(), format!("{wanted} is expected here, not {}", node.kind_in_words()));
        self.problem(problem.help(format!("write, for example, {example}")));
        None
    }

    /// The entries of a group whose entries have names. `what` is the group's name, which may be left out in the text.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, path: &str, what: &'static str) -> Read<Fields<'n>> {
        let Kind::Group { name, fields } = &node.kind else {
            return self.wrong_kind(node, &format!("`{what}(…)`"), &format!("`{what}(key: value, …)`"));
        };
        if let Some(name) = name
            && name != what
        {
            let problem = Problem::at(node.span.clone(), format!("`{what}(…)` is expected here, not `{name}(…)`"));
            self.problem(problem.help(format!("write `{what}(…)`, or leave the name out: `(…)`")));
            return None;
        }
        Some(Fields::collect(self, fields, &node.span, path, what))
    }

    /// A variant: its word, and what stands in its parentheses. `known` are the words that this place knows.
    pub(crate) fn variant<'n>(&mut self, node: &'n Node, known: &[&'static str]) -> Read<Variant<'n>> {
        let (name, fields): (&str, &[Field]) = match &node.kind {
            Kind::Word(word) => (word, &[]),
            Kind::Group { name: Some(name), fields } => (name, fields),
            _ => {
                return self.wrong_kind(node, &format!("one of {}", in_words(known)), &format!("`{}`", known.first()?));
            }
        };
        match known.iter().find(|word| **word == name) {
            Some(word) => Some(Variant { word, node, fields, bare: matches!(node.kind, Kind::Word(_)) }),
            None => {
                let span = node.span.start..node.span.start + name.len();
                let problem = Problem::at(span, format!("`{name}` is not known here"));
                self.problem(match nearest(name, known.iter().copied()) {
                    Some(word) => problem.help(format!("did you mean `{word}`?")),
                    None => problem.help(format!("known here: {}", in_words(known))),
                });
                None
            }
        }
    }

    /// The entries of a variant whose entries have names.
    pub(crate) fn variant_fields<'n>(&mut self, variant: &Variant<'n>, path: &str) -> Fields<'n> {
        Fields::collect(self, variant.fields, &variant.node.span, path, variant.word)
    }

    /// The one value in a variant's parentheses.
    pub(crate) fn payload<'n>(&mut self, variant: &Variant<'n>, example: &str) -> Read<&'n Node> {
        match variant.fields {
            [Field { label: None, value }] => Some(value),
            _ => {
                let message = format!("`{}` takes one value in parentheses", variant.word);
                self.problem(Problem::at(variant.node.span.clone(), message).help(format!("write `{example}`")));
                None
            }
        }
    }

    /// Says so if a bare word got parentheses.
    pub(crate) fn no_payload(&mut self, variant: &Variant<'_>) -> Read<()> {
        if variant.bare {
            return Some(());
        }
        let message = format!("`{}` takes nothing in parentheses", variant.word);
        self.problem(Problem::at(variant.node.span.clone(), message).help(format!("write `{}`", variant.word)));
        None
    }

    /// A list of `least` to `most` entries. Wrong entries are noted and make the whole list `None`.
    pub(crate) fn list<T>(
        &mut self,
        node: &Node,
        path: &str,
        (least, most): (usize, usize),
        mut read: impl FnMut(&mut Reader<'_>, &Node, &str) -> Read<T>,
    ) -> Read<Vec<T>> {
        let Kind::List(items) = &node.kind else {
            return self.wrong_kind(node, "a list", "`[…, …]`");
        };
        if items.len() < least {
            let message =
                if items.is_empty() { "this list is empty".to_owned() } else { "this list is too short".to_owned() };
            self.problem(Problem::at(node.span.clone(), message).help(format!("at least {least} is needed")));
            return None;
        }
        if items.len() > most {
            let message = format!("this list has {} entries, at most {most} are allowed", items.len());
            self.problem(Problem::at(node.span.clone(), message));
            return None;
        }
        if items.is_empty() {
            self.note(path, node, "[]");
        }
        let read: Vec<Read<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| read(self, item, &format!("{path}[{}]", item_name(item, index))))
            .collect();
        read.into_iter().collect()
    }
}

/// Names an entry of a list: by its `name` if it has one, else by its number from 1.
pub(crate) fn item_name(item: &Node, index: usize) -> String {
    if let Kind::Group { fields, .. } = &item.kind {
        for field in fields {
            if let (Some(label), Kind::Text(name)) = (&field.label, &field.value.kind)
                && label.name == "name"
            {
                return name.clone();
            }
        }
    }
    (index + 1).to_string()
}

/// A variant as it stands in the text.
pub(crate) struct Variant<'n> {
    pub(crate) word: &'static str,
    pub(crate) node: &'n Node,
    pub(crate) fields: &'n [Field],
    bare: bool,
}

pub(crate) fn in_words(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
