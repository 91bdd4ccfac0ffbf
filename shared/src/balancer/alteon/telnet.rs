//! The telnet protocol as far as a terminal needs it that wants no options (RFC 854), and the few escape sequences that
//! the pager wraps its line in.

/// "Interpret as command".
pub(super) const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
/// Start and end of an option's own dialogue.
const SB: u8 = 250;
const SE: u8 = 240;
const ESCAPE: u8 = 0x1b;

/// Turns what the device sends into text, byte by byte, wherever the network cut it.
#[derive(Debug, Default)]
pub(super) struct Telnet {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After `IAC`.
    Command,
    /// After `IAC` and one of the four verbs.
    Option(u8),
    /// Within `IAC SB … IAC SE`.
    Dialogue,
    /// After an `IAC` within that.
    DialogueCommand,
    /// After the escape character.
    Escape,
    /// Within a control sequence (ECMA-48): ends with the first byte from `@` to `~`.
    Sequence,
}

impl Telnet {
    /// Takes bytes in: text goes to `text`, without carriage returns; refusals of offered and wanted options to `reply`.
    pub(super) fn take(&mut self, bytes: &[u8], text: &mut String, reply: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, IAC) => State::Command,
                (State::Text, ESCAPE) => State::Escape,
                (State::Text, byte) => {
                    show(byte, text);
                    State::Text
                }
                (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
                (State::Command, SB) => State::Dialogue,
                // Doubled, it stands for itself; alone, the other commands mean nothing to a program.
                (State::Command, IAC) => {
                    show(IAC, text);
                    State::Text
                }
                (State::Command, _) => State::Text,
                (State::Option(verb), option) => {
                    match verb {
                        WILL => reply.extend([IAC, DONT, option]),
                        DO => reply.extend([IAC, WONT, option]),
                        // An answer to an answer would go round for ever.
                        _ => {}
                    }
                    State::Text
                }
                (State::Dialogue, IAC) => State::DialogueCommand,
                (State::Dialogue, _) => State::Dialogue,
                (State::DialogueCommand, SE) => State::Text,
                (State::DialogueCommand, _) => State::Dialogue,
                (State::Escape, b'[') => State::Sequence,
                (State::Escape, _) => State::Text,
                (State::Sequence, b'@'..=b'~') => State::Text,
                (State::Sequence, _) => State::Sequence,
            };
        }
    }
}

/// Text of an Alteon is ASCII; anything else is shown as something that no pattern matches.
fn show(byte: u8, text: &mut String) {
    match byte {
        b'\n' | b'\t' | b' '..=b'~' => text.push(char::from(byte)),
        0x80.. => text.push(char::REPLACEMENT_CHARACTER),
        // Carriage return, NUL after it, bell, backspace.
        _ => {}
    }
}

/// A line as it goes to the device.
pub(super) fn line(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 2 + 2);
    for &byte in text {
        bytes.push(byte);
        if byte == IAC {
            bytes.push(IAC);
        }
    }
    bytes.extend(*b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, however it is cut.
    fn taken(bytes: &[u8]) -> (String, Vec<u8>) {
        let (mut whole, mut reply) = (String::new(), Vec::new());
        Telnet::default().take(bytes, &mut whole, &mut reply);
        let (mut pieces, mut replies, mut telnet) = (String::new(), Vec::new(), Telnet::default());
        for byte in bytes {
            telnet.take(std::slice::from_ref(byte), &mut pieces, &mut replies);
        }
        assert_eq!((&whole, &reply), (&pieces, &replies));
        (whole, reply)
    }

    #[test]
    fn every_option_is_refused_once_and_leaves_no_trace_in_the_text() {
        let (text, reply) = taken(&[b'a', IAC, DO, 24, IAC, WILL, 1, b'b', IAC, WONT, 1, IAC, DONT, 3, IAC, 241, b'c']);
        assert_eq!(text, "abc");
        assert_eq!(reply, [IAC, WONT, 24, IAC, DONT, 1]);
    }

    #[test]
    fn dialogues_escape_sequences_and_carriage_returns_vanish() {
        let mut bytes = vec![IAC, SB, 24, b'x', IAC, IAC, b'y', IAC, SE];
        bytes.extend(b"\x1b[7mPress q\x1b[0m\r\0\r\nnext\x07");
        assert_eq!(taken(&bytes).0, "Press q\nnext");
    }

    #[test]
    fn a_doubled_command_byte_is_a_byte() {
        assert_eq!(taken(&[IAC, IAC]).0, "\u{fffd}");
        assert_eq!(line(&[b'a', IAC]), [b'a', IAC, IAC, b'\r', b'\n']);
    }
}
