//! What an agent says of itself: its options and actions, as XML (FenceAgentAPI).
//!
//! Only attributes of two kinds of tags are read, in one pass, without building anything: what a foreign program prints is
//! no place for a whole XML parser.

use std::collections::BTreeSet;

/// The most options of an agent; the longest list in the collection has some 90.
const NAMES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 128;

/// The names that an agent knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentMetadata {
    /// Its options, old spellings too.
    pub options: BTreeSet<String>,
    /// Its actions: `off`, `on`, `status`, ….
    pub actions: BTreeSet<String>,
}

impl AgentMetadata {
    /// Reads what an agent printed; what is not understood is passed over.
    #[must_use]
    pub fn parse(text: &str) -> AgentMetadata {
        let mut metadata = AgentMetadata::default();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('<') {
            // A `<` in between means that the tag before it was none.
            let end = after.find(['<', '>']).unwrap_or(after.len());
            let (tag, tail) = after.split_at(end);
            rest = tail;
            let (kind, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let (names, others) = match kind {
                "parameter" => (&mut metadata.options, attribute(attributes, "obsoletes")),
                "action" => (&mut metadata.actions, None),
                _ => continue,
            };
            for name in [attribute(attributes, "name"), others].into_iter().flatten() {
                if names.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX {
                    names.insert(name.to_owned());
                }
            }
        }
        metadata
    }
}

/// The value of one attribute, in quotes of either kind.
fn attribute<'a>(attributes: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, tail) = after.get(1..)?.split_once(quote)?;
        if name.trim() == wanted {
            return Some(value);
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_and_actions_are_read_and_everything_else_is_passed_over() {
        let metadata = AgentMetadata::parse(
            "<?xml version=\"1.0\" ?>\n<resource-agent name=\"fence_x\" ><longdesc>a < b, name=\"no\"</longdesc>\n\
             <parameters>\n\t<parameter name=\"ip\" unique=\"0\" required='1' obsoletes=\"ipaddr\">\n\
             \t\t<getopt mixed=\"-a, --ip=[ip]\" /><content type=\"string\" default=\"parameter\" />\n\t</parameter>\n\
             \t<parameter unique='0' name='plug'/>\n</parameters><actions><action name=\"off\" automatic=\"0\"/>\n\
             <action name=\"status\" /></actions>",
        );
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            (names(&metadata.options), names(&metadata.actions)),
            ("ip ipaddr plug".into(), "off status".into())
        );
    }

    #[test]
    fn a_flood_of_names_is_cut() {
        let text: String = (0..2_000).map(|number| format!("<parameter name=\"n{number}\"/>")).collect();
        assert_eq!(AgentMetadata::parse(&text).options.len(), NAMES_MAX);
        assert!(AgentMetadata::parse(&format!("<action name=\"{}\"/>", "x".repeat(1_000))).actions.is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[<>=\"' a-z/é]{0,60}", tag in "(parameter|action)") {
            let _ = AgentMetadata::parse(&text);
            let _ = AgentMetadata::parse(&format!("<{tag} {text}"));
        }
    }
}
