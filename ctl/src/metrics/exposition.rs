//! Prometheus' text format: each family described once, with all its values below it.

use std::fmt::Write as _;

/// What a family's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, until the daemon starts anew.
    Counter,
}

/// Families in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: Vec<Family>,
}

/// One name with its values.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    values: String,
}

impl Exposition {
    /// The family of this name, without the common prefix.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Family {
        let place = self.families.iter().position(|family| family.name == name).unwrap_or(self.families.len());
        if place == self.families.len() {
            self.families.push(Family { name, kind, help, values: String::new() });
        }
        &mut self.families[place]
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, values } in &self.families {
            let kind = match kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            let _ = write!(text, "# HELP failover_{name} {help}\n# TYPE failover_{name} {kind}\n{values}");
        }
        text
    }
}

impl Family {
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.values, "failover_{}{labels} {value}", self.name);
    }

    pub(super) fn flag(&mut self, labels: &[(&str, &str)], value: bool) {
        self.add(labels, f64::from(u8::from(value)));
    }
}

/// The format knows three escapes in a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
