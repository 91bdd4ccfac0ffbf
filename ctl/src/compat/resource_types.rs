//! The resource types that came with FailSafe or could be bought for it, as far as they have a meaning here.

#[cfg(test)]
mod tests;

use super::pieces::{Piece, What, link, piece};

const FOLDER: &str = "/usr/lib/failsafe/resource_types";
const ACTIONS: [&str; 5] = ["exclusive", "start", "stop", "restart", "monitor"];

/// Each type with its functions.
const TYPES: [(&str, &str); 8] = [
    ("IP_address", include_str!("../../../scripts/examples/failsafe2/types/IP_address")),
    ("MAC_address", include_str!("../../../scripts/examples/failsafe2/types/MAC_address")),
    ("NFS", include_str!("../../../scripts/examples/failsafe2/types/NFS")),
    ("Samba", include_str!("../../../scripts/examples/failsafe2/types/Samba")),
    ("application", include_str!("../../../scripts/examples/failsafe2/types/application")),
    ("filesystem", include_str!("../../../scripts/examples/failsafe2/types/filesystem")),
    ("statd_unlimited", include_str!("../../../scripts/examples/failsafe2/types/statd_unlimited")),
    ("volume", include_str!("../../../scripts/examples/failsafe2/types/volume")),
];

/// What is an application with commands of its own: its type had scripts of its maker.
const APPLICATIONS: [&str; 5] = ["DMF", "INFORMIX_DB", "Netscape_web", "Oracle_DB", "TMF"];

/// The folders of all types. Five links to one script and a file of functions make a type.
pub(super) fn resource_types() -> Vec<Piece> {
    let program = |text: &str| What::Program(text.to_owned());
    let mut pieces = vec![
        piece(
            "/usr/lib/failsafe/common_scripts/action",
            program(include_str!("../../../scripts/examples/failsafe2/types/action")),
        ),
        piece(
            "/usr/lib/failsafe/common_scripts/monitor",
            program(include_str!("../../../scripts/examples/failsafe2/types/monitor")),
        ),
    ];
    for (name, functions) in TYPES {
        let folder = format!("{FOLDER}/{name}");
        pieces.push(piece(format!("{folder}/functions"), What::Text(functions.to_owned())));
        let action = |action| piece(format!("{folder}/{action}"), link("../../common_scripts/action"));
        pieces.extend(ACTIONS.map(action));
    }
    pieces.extend(APPLICATIONS.map(|name| piece(format!("{FOLDER}/{name}"), link("application"))));
    pieces
}
