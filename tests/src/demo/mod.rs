//! The demo: a whole pair, two acts, and a time line of what happened. Its mail server, balancer and reader are small
//! programs of its own (`src/bin/demo-*.rs`); with `--real` it plays the same acts with Dovecot and HAProxy in the lab.

mod acts;
pub mod balancer;
pub mod cleanup;
mod journal;
mod loopback;
mod real;
mod stage;
mod timeline;

use sha2::{Digest as _, Sha256};

pub use acts::play;
pub use loopback::Loopback;
pub use real::Real;
pub use stage::{MASTER, Place, SLAVE, Stage};
pub use timeline::Timeline;

/// The digest of a message's own part: from the demo's first header line on, as a server puts its own lines before it.
/// The first eight bytes are enough to show; nobody attacks the demo.
#[must_use]
pub fn digest(message: &str) -> String {
    let own = message.find(stage::FIRST_LINE).map_or(message, |start| &message[start..]);
    let plain: String = own.lines().map(|line| format!("{line}\n")).collect();
    Sha256::digest(plain.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_sees_the_text_and_not_the_line_ends_or_the_servers_lines() {
        let sent = format!("{}\r\n\r\nhello\r\n", stage::FIRST_LINE);
        let found = format!("Received: by somebody\n{}\n\nhello\n", stage::FIRST_LINE);
        assert_eq!(digest(&sent), digest(&found));
        assert_ne!(digest(&sent), digest(&sent.replace("hello", "hullo")));
    }
}
