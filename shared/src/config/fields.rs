//! The named entries of one group: read by key, with defaults, and everything that nobody asked for is named.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::reader::{Read, Reader, in_words};
use super::scan::scan;
use super::suggest::nearest;
use super::tree::{Field, Kind, Node, Span};

/// Parts of names whose values are secrets; the last four are those of fence agents.
const SECRET_WORDS: [&str; 7] = ["pass", "secret", "token", "community", "apikey", "api_key", "access_key"];

struct Entry<'n> {
    field: &'n Field,
    span: Span,
}

/// The named entries of one group, taken out one by one; [`Fields::finish`] names what nobody asked for.
pub(crate) struct Fields<'n> {
    pub(crate) path: String,
    pub(crate) span: Span,
    what: &'static str,
    entries: BTreeMap<&'n str, Entry<'n>>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Sorts the entries of a group by their names. `what` is the group's name in messages.
    pub(crate) fn collect(
        reader: &mut Reader<'_>,
        fields: &'n [Field],
        span: &Span,
        path: &str,
        what: &'static str,
    ) -> Fields<'n> {
        let mut entries: BTreeMap<&'n str, Entry<'n>> = BTreeMap::new();
        for field in fields {
            let Some(label) = &field.label else {
                let problem = Problem::at(field.value.span.clone(), format!("a value without a key in `{what}`"));
                reader.problem(problem.help("write `key: value`"));
                continue;
            };
            if let Some(first) = entries.get(label.name.as_str()) {
                let problem = Problem::at(label.span.clone(), format!("the key `{}` stands here twice", label.name));
                let same = first.field.value.kind == field.value.kind;
                reader.problem(problem.help(if same {
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

    /// The dotted key of an entry.
    pub(crate) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where a value stands, or the group if it is not written.
    pub(crate) fn place(&self, key: &str) -> Span {
        self.entries.get(key).map_or_else(|| self.span.clone(), |entry| entry.field.value.span.clone())
    }

    /// Where a value of a group within this one stands; else that group; else this one.
    pub(crate) fn place_within(&self, outer: &str, inner: &str) -> Span {
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
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Makes a key known that is not read here.
    pub(crate) fn known(&mut self, key: &'static str) {
        self.known.push(key);
    }

    fn ask(&mut self, _reader: &mut Reader<'_>, key: &'static str) -> Option<&'n Node> {
        #[cfg(test)]
        _reader.asked.insert((self.what, key));
        self.known.push(key);
        self.entries.get(key).map(|entry| &entry.field.value)
    }

    /// A key that must be written. `example` is shown when it is not.
    pub(crate) fn required<T>(
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
                let problem = Problem::at(self.span.clone(), message).missing(self.key(key));
                reader.problem(problem.help(format!("add, for example, `{key}: {example}`")));
                None
            }
        }
    }

    /// A key with a default, given as RON text.
    pub(crate) fn or<T>(
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
    pub(crate) fn or_value<T>(
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
    pub(crate) fn optional<T>(
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

    /// Names the keys that nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for (name, entry) in &self.entries {
            if self.known.contains(name) {
                continue;
            }
            let problem = Problem::at(entry.span.clone(), format!("`{}` knows no key `{name}`", self.what));
            let lower = name.to_lowercase();
            let missing = self.known.iter().copied().filter(|known| !self.entries.contains_key(known));
            let problem = if let Some(file_key) = secret_file_key(&lower, &self.known) {
                reader.misspelt.insert(self.key(file_key));
                problem.help(format!(
                    "a secret never stands in this file: put it in a file of mode 0600 and write `{file_key}: \"FILE\"`"
                ))
            } else if let Some(key) = nearest(name, missing) {
                reader.misspelt.insert(self.key(key));
                problem.help(format!("did you mean `{key}`?"))
            } else {
                problem.help(format!("known here: {}", in_words(&self.known)))
            };
            reader.problem(problem);
        }
    }
}

/// Whether a key's name says that its value is a secret: then its value is never shown.
pub(crate) fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let named_elsewhere = key.ends_with("_file") || key.ends_with("_script");
    !named_elsewhere && SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn secret_file_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if !names_a_secret(key) {
        return None;
    }
    known.iter().copied().find(|known| known.ends_with("password_file"))
}
