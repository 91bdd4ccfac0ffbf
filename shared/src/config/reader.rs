//! Reads values out of the tree by key: collects problems instead of stopping at the first, and notes for each key where
//! its value came from.

use std::collections::BTreeMap;
use std::path::Path;

use super::problem::Problem;
use super::scan::scan;
use super::suggest::nearest;
use super::tree::{Field, Kind, Node, Span};

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
pub(super) type Read<T> = Option<T>;

/// Collects what is found while a tree is read.
pub(super) struct Reader<'a> {
    pub(super) base: &'a Path,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) values: Vec<Value>,
    /// Every key that was asked for, with the name of its group: the schema as the code has it.
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeSet<(&'static str, &'static str)>,
    in_default: bool,
}

/// A leaf that was read.
pub(super) struct Value {
    pub(super) key: String,
    pub(super) shown: String,
    /// `None` for a default.
    pub(super) span: Option<Span>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base: &'a Path) -> Reader<'a> {
        Reader {
            base,
            problems: Vec::new(),
            warnings: Vec::new(),
            values: Vec::new(),
            #[cfg(test)]
            asked: std::collections::BTreeSet::new(),
            in_default: false,
        }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, warning: Problem) {
        self.warnings.push(warning);
    }

    /// Notes the value of a leaf.
    pub(super) fn note(&mut self, key: &str, node: &Node, shown: impl Into<String>) {
        let span = if self.in_default { None } else { Some(node.span.clone()) };
        self.values.push(Value { key: key.to_owned(), shown: shown.into(), span });
    }

    /// Notes a default that depends on other values.
    pub(super) fn note_default(&mut self, key: &str, shown: impl Into<String>) {
        self.values.push(Value { key: key.to_owned(), shown: shown.into(), span: None });
    }

    /// Notes that another kind of value belongs here.
    pub(super) fn wrong_kind<T>(&mut self, node: &Node, wanted: &str, example: &str) -> Read<T> {
        let problem =
            Problem::at(node.span.clone(), format!("{wanted} is expected here, not {}", node.kind_in_words()));
        self.problem(problem.help(format!("write, for example, {example}")));
        None
    }

    /// The entries of a group whose entries have names. `what` is the group's name, which may be left out in the text.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, path: &str, what: &'static str) -> Read<Fields<'n>> {
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
        Some(self.named(fields, &node.span, path, what))
    }

    fn named<'n>(&mut self, fields: &'n [Field], span: &Span, path: &str, what: &'static str) -> Fields<'n> {
        let mut entries: BTreeMap<&'n str, Entry<'n>> = BTreeMap::new();
        for field in fields {
            let Some(label) = &field.label else {
                let problem = Problem::at(field.value.span.clone(), format!("a value without a key in `{what}`"));
                self.problem(problem.help("write `key: value`"));
                continue;
            };
            if let Some(first) = entries.get(label.name.as_str()) {
                let problem = Problem::at(label.span.clone(), format!("the key `{}` stands here twice", label.name));
                let same = first.field.value.kind == field.value.kind;
                self.problem(problem.help(if same {
                    "remove one of the two"
                } else {
                    "remove the one that is not meant"
                }));
                continue;
            }
            entries.insert(&label.name, Entry { field, span: label.span.clone() });
        }
        Fields { path: path.to_owned(), what, span: span.clone(), entries, known: Vec::new() }
    }

    /// A variant: its word, and what stands in its parentheses. `known` are the words that this place knows.
    pub(super) fn variant<'n>(&mut self, node: &'n Node, known: &[&'static str]) -> Read<Variant<'n>> {
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
    pub(super) fn variant_fields<'n>(&mut self, variant: &Variant<'n>, path: &str) -> Fields<'n> {
        self.named(variant.fields, &variant.node.span, path, variant.word)
    }

    /// The one value in a variant's parentheses.
    pub(super) fn payload<'n>(&mut self, variant: &Variant<'n>, example: &str) -> Read<&'n Node> {
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
    pub(super) fn no_payload(&mut self, variant: &Variant<'_>) -> Read<()> {
        if variant.bare {
            return Some(());
        }
        let message = format!("`{}` takes nothing in parentheses", variant.word);
        self.problem(Problem::at(variant.node.span.clone(), message).help(format!("write `{}`", variant.word)));
        None
    }

    /// A list of `least` to `most` entries. Wrong entries are noted and make the whole list `None`.
    pub(super) fn list<T>(
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
        let read: Vec<Read<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| read(self, item, &format!("{path}[{}]", item_name(item, index))))
            .collect();
        read.into_iter().collect()
    }
}

/// Names an entry of a list: by its `name` if it has one, else by its number from 1.
pub(super) fn item_name(item: &Node, index: usize) -> String {
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
pub(super) struct Variant<'n> {
    pub(super) word: &'static str,
    pub(super) node: &'n Node,
    pub(super) fields: &'n [Field],
    bare: bool,
}

struct Entry<'n> {
    field: &'n Field,
    span: Span,
}

/// The named entries of one group, taken out one by one; [`Fields::finish`] names what nobody asked for.
pub(super) struct Fields<'n> {
    pub(super) path: String,
    pub(super) span: Span,
    what: &'static str,
    entries: BTreeMap<&'n str, Entry<'n>>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The dotted key of an entry.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where a value stands, or the group if it is not written.
    pub(super) fn place(&self, key: &str) -> Span {
        self.entries.get(key).map_or_else(|| self.span.clone(), |entry| entry.field.value.span.clone())
    }

    /// Where a value of a group within this one stands; else that group; else this one.
    pub(super) fn place_within(&self, outer: &str, inner: &str) -> Span {
        let Some(entry) = self.entries.get(outer) else { return self.span.clone() };
        if let Kind::Group { fields, .. } = &entry.field.value.kind {
            for field in fields {
                if field.label.as_ref().is_some_and(|label| label.name == inner) {
                    return field.value.span.clone();
                }
            }
        }
        entry.field.value.span.clone()
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Makes a key known that is not read here.
    pub(super) fn known(&mut self, key: &'static str) {
        self.known.push(key);
    }

    fn ask(&mut self, _reader: &mut Reader<'_>, key: &'static str) -> Option<&'n Node> {
        #[cfg(test)]
        _reader.asked.insert((self.what, key));
        self.known.push(key);
        self.entries.get(key).map(|entry| &entry.field.value)
    }

    /// A key that must be written. `example` is shown when it is not.
    pub(super) fn required<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&mut Reader<'_>, &Node, &str) -> Read<T>,
    ) -> Read<T> {
        match self.ask(reader, key) {
            Some(node) => read(reader, node, &self.key(key)),
            None => {
                let message = format!("`{}` needs the key `{key}`", self.what);
                reader.problem(
                    Problem::at(self.span.clone(), message).help(format!("add, for example, `{key}: {example}`")),
                );
                None
            }
        }
    }

    /// A key with a default, given as RON text.
    pub(super) fn or<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        default: &str,
        read: impl FnOnce(&mut Reader<'_>, &Node, &str) -> Read<T>,
    ) -> Read<T> {
        if let Some(node) = self.ask(reader, key) {
            return read(reader, node, &self.key(key));
        }
        let node = scan(default).root.ok()?;
        let outer = std::mem::replace(&mut reader.in_default, true);
        let value = read(reader, &node, &self.key(key));
        reader.in_default = outer;
        value
    }

    /// A key whose default is made of other values; `shown` is that default as RON.
    pub(super) fn or_value<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        default: Read<T>,
        shown: &str,
        read: impl FnOnce(&mut Reader<'_>, &Node, &str) -> Read<T>,
    ) -> Read<T> {
        if let Some(node) = self.ask(reader, key) {
            return read(reader, node, &self.key(key));
        }
        if default.is_some() {
            reader.note_default(&self.key(key), shown);
        }
        default
    }

    /// A key that may be missing: the inner `None`. `Some(x)` and `None` may be written too, as RON does.
    pub(super) fn optional<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &Node, &str) -> Read<T>,
    ) -> Read<Option<T>> {
        let node = match self.ask(reader, key) {
            None => {
                reader.note_default(&self.key(key), "None");
                return Some(None);
            }
            Some(node) => node,
        };
        match &node.kind {
            Kind::Word(word) if word == "None" => {
                reader.note(&self.key(key), node, "None");
                Some(None)
            }
            Kind::Group { name: Some(name), fields } if name == "Some" && fields.len() == 1 => {
                read(reader, &fields.first()?.value, &self.key(key)).map(Some)
            }
            _ => read(reader, node, &self.key(key)).map(Some),
        }
    }

    /// A key that a later version will know: refused, and said so.
    pub(super) fn later(&mut self, reader: &mut Reader<'_>, key: &'static str, what: &str) {
        if let Some(entry) = self.entries.remove(key) {
            let problem = Problem::at(entry.span, format!("`{key}` comes with a later version of this program"));
            reader.problem(problem.help(format!("{what}; remove this key until then")));
        }
    }

    /// Names the keys that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for (name, entry) in &self.entries {
            if self.known.contains(name) {
                continue;
            }
            let problem = Problem::at(entry.span.clone(), format!("`{}` knows no key `{name}`", self.what));
            let lower = name.to_lowercase();
            let missing = self.known.iter().copied().filter(|known| !self.entries.contains_key(known));
            reader.problem(if let Some(file_key) = secret_file_key(&lower, &self.known) {
                problem.help(format!(
                    "a secret never stands in this file: put it in a file of mode 0600 and write `{file_key}: \"FILE\"`"
                ))
            } else if let Some(key) = nearest(name, missing) {
                problem.help(format!("did you mean `{key}`?"))
            } else {
                problem.help(format!("known here: {}", in_words(&self.known)))
            });
        }
    }
}

/// Whether a key's name says that its value is a secret: then its value is never shown.
pub(super) fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    !key.ends_with("_file") && ["pass", "secret", "token"].iter().any(|word| key.contains(word))
}

fn secret_file_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if !names_a_secret(key) {
        return None;
    }
    known.iter().copied().find(|known| known.ends_with("password_file"))
}

pub(super) fn in_words(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
