//! The text of a configuration as a tree of values that know where they stand. The `ron` crate judges the syntax and
//! stops at the first error; this tree keeps positions, so that every problem of a file can be told at once.

use std::ops::Range;

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `"text"`, or a raw string.
    Text(String),
    /// A number as it is written.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// A bare word, as `Ack`.
    Word(String),
    /// `Name(…)` or `(…)`: a struct, a tuple or a variant.
    Group { name: Option<String>, fields: Vec<Field> },
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`: the options of a fence agent.
    Map(Vec<(Node, Node)>),
    /// A kind of value that no key wants, in words.
    Other(&'static str),
}

/// One entry of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) label: Option<Label>,
    pub(crate) value: Node,
}

/// The name in front of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) span: Span,
}

impl Node {
    /// The kind in words, for "a number is expected, this is …".
    pub(crate) fn kind_in_words(&self) -> String {
        match &self.kind {
            Kind::Text(_) => "a text in quotes".into(),
            Kind::Number(_) => "a number".into(),
            Kind::Bool(_) => "true or false".into(),
            Kind::Word(word) => format!("the word `{word}`"),
            Kind::Group { name: Some(name), .. } => format!("`{name}(…)`"),
            Kind::Group { name: None, .. } => "a group in parentheses".into(),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map in braces".into(),
            Kind::Other(what) => (*what).into(),
        }
    }

    /// The value as text of one fixed form: no comments, no layout, named entries in the order of their names. Equal
    /// values give equal texts.
    pub(crate) fn canonical(&self) -> String {
        let mut out = String::new();
        self.write_canonical(&mut out);
        out
    }

    fn write_canonical(&self, out: &mut String) {
        match &self.kind {
            Kind::Text(text) => out.push_str(&format!("{text:?}")),
            Kind::Number(digits) => out.push_str(digits),
            Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Kind::Word(word) => out.push_str(word),
            Kind::Group { name, fields } => {
                out.push_str(name.as_deref().unwrap_or_default());
                let mut fields: Vec<&Field> = fields.iter().collect();
                // Stable: entries without a name keep their order.
                fields.sort_by_key(|field| field.label.as_ref().map(|label| label.name.as_str()));
                out.push('(');
                for field in fields {
                    if let Some(label) = &field.label {
                        out.push_str(&label.name);
                        out.push(':');
                    }
                    field.value.write_canonical(out);
                    out.push(',');
                }
                out.push(')');
            }
            Kind::List(items) => {
                out.push('[');
                for item in items {
                    item.write_canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Kind::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.canonical(), value)).collect();
                pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
                out.push('{');
                for (key, value) in pairs {
                    out.push_str(&key);
                    out.push(':');
                    value.write_canonical(out);
                    out.push(',');
                }
                out.push('}');
            }
            Kind::Other(what) => out.push_str(what),
        }
    }
}
