//! Parameters whose values are secrets: the configuration names the files that hold them.

use std::path::PathBuf;

use crate::config::{Node, Problem, Read, Reader, RonKind, leaf};

/// Most of them.
const FILES_MAX: usize = 16;

/// `{"password": "vip.pass"}`: each parameter once, and in none of the two lists twice.
pub(super) fn files(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    plain: &[(String, String)],
) -> Read<Vec<(String, PathBuf)>> {
    let RonKind::Map(pairs) = &node.kind else {
        return reader.wrong_kind(node, "a map in braces", "`{\"password\": \"vip.pass\"}`");
    };
    if pairs.len() > FILES_MAX {
        let problem = Problem::at(node.span.clone(), format!("an agent has at most {FILES_MAX} secrets"));
        reader.problem(problem.help("write the others into `parameters`"));
        return None;
    }
    if pairs.is_empty() {
        reader.note(path, node, "{}");
    }
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for (key, value) in pairs {
        let RonKind::Text(name) = &key.kind else {
            return reader.wrong_kind(key, "a name in quotes", "`\"password\"`");
        };
        if plain.iter().any(|(known, _)| known == name) || files.iter().any(|(known, _)| known == name) {
            let problem = Problem::at(key.span.clone(), format!("the parameter {name:?} stands here twice"));
            reader.problem(problem.help("remove one of the two"));
            return None;
        }
        // Not by the parameter's own name: what is called like a secret is shown by its name only, and this is a path.
        let path = leaf::path(reader, value, &format!("{path}.{name}_file"))?;
        files.push((name.clone(), path));
    }
    Some(files)
}
