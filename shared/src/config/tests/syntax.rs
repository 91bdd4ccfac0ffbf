//! The own scanner beside the `ron` crate, and texts that nobody would write.

use proptest::prelude::*;

use super::super::load::parse_with;
use super::super::scan::scan;
use super::super::tree::{Kind, Node};
use super::*;

/// The own tree as the value that `ron` makes of the same text. Names of groups are dropped there too.
fn as_ron(node: &Node) -> ron::Value {
    match &node.kind {
        Kind::Text(text) => ron::Value::String(text.clone()),
        Kind::Number(digits) => ron::from_str(digits).unwrap(),
        Kind::Bool(value) => ron::Value::Bool(*value),
        Kind::Word(_) => ron::Value::Unit,
        Kind::List(items) => ron::Value::Seq(items.iter().map(as_ron).collect()),
        Kind::Group { name, fields } if name.as_deref() == Some("Some") => {
            ron::Value::Option(Some(Box::new(as_ron(&fields[0].value))))
        }
        Kind::Group { fields, .. } if fields.iter().all(|field| field.label.is_some()) => {
            let name = |node: &super::super::tree::Field| ron::Value::String(node.label.as_ref().unwrap().name.clone());
            ron::Value::Map(fields.iter().map(|field| (name(field), as_ron(&field.value))).collect())
        }
        Kind::Group { fields, .. } => ron::Value::Seq(fields.iter().map(|field| as_ron(&field.value)).collect()),
        Kind::Map(pairs) => ron::Value::Map(pairs.iter().map(|(key, value)| (as_ron(key), as_ron(value))).collect()),
        Kind::Other(what) => panic!("{what} in an example"),
    }
}

#[test]
fn the_own_tree_and_ron_read_the_same_out_of_every_example() {
    for text in examples::ALL {
        let own = as_ron(&scan(text).root.unwrap_or_else(|error| panic!("{}", error.message)));
        let ron: ron::Value = ron::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(format!("{own:#?}"), format!("{ron:#?}"));
    }
}

#[test]
fn the_one_liberty_is_needed_and_no_more_is_taken() {
    assert!(
        ron::from_str::<serde::de::IgnoredAny>("(fails: (3, of: 5))").is_err(),
        "RON knows it now: drop the liberty"
    );
    good(&changed("(3, of: 5)", "(3, /* rounds */ of : 5)"));
    let shown = refused(&changed("(3, of: 5)", "(3, off: 5)")).to_string();
    assert!(shown.contains("this is no RON"), "{shown}");
}

#[test]
fn deep_and_huge_texts_are_refused_quickly() {
    let deep = "(".repeat(100_000);
    assert!(read(&deep).is_err());
    assert!(read(&format!("Pair(name: {}{})", "[".repeat(100), "]".repeat(100))).is_err());
    assert!(read(&" ".repeat(257 * 1024)).is_err());
    assert!(read("").is_err());
}

proptest! {
    /// Mutations of a good text reach deeper than random ones.
    #[test]
    fn no_change_of_a_good_text_panics(at in 0..EVERYTHING.len(), length in 0..40_usize, put in "[-a-zA-Z0-9(){}\\[\\]\",:.'/#\\\\\r\n é]{0,6}") {
        let cut = |at: usize| (0..=at.min(EVERYTHING.len())).rev().find(|at| EVERYTHING.is_char_boundary(*at)).unwrap();
        let text = format!("{}{put}{}", &EVERYTHING[..cut(at)], &EVERYTHING[cut(at + length)..]);
        // A piece of an address may look like a name.
        let nobody = |_: &str| Ok(Vec::new());
        match parse_with(&text, Path::new("failover.ron"), Path::new("/etc/failover"), nobody) {
            Ok(loaded) => { let _ = loaded.warnings.to_string(); }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let _ = (problems.to_string(), problems.render(true));
            }
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = read(&text).map_err(|problems| problems.to_string());
    }

    /// `init` and `import` write foreign texts in Rust's own quoting; both readers must take them back unchanged.
    #[test]
    fn a_text_in_the_quoting_of_rust_is_read_back(text in any::<String>()) {
        let quoted = format!("{text:?}");
        prop_assert_eq!(&ron::from_str::<String>(&quoted).unwrap(), &text);
        prop_assert_eq!(scan(&quoted).root.unwrap().kind, Kind::Text(text));
    }

    /// Else a good text would be refused with a message of the scanner's own.
    #[test]
    fn a_text_that_ron_takes_has_a_tree(text in "[ab1(),:\\[\\]\" \n]{0,24}") {
        if ron::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            prop_assert!(scan(&text).root.is_ok(), "{text:?}");
        }
    }
}
