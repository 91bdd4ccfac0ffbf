//! The judges' messages: each says which one it is and can be checked whole, and a mailbox can be held against what was
//! accepted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Names one attempt to deliver one message.
///
/// The attempt belongs to the name: when the connection breaks after the data, LMTP does not say whether the message was
/// taken. A repetition is another attempt, so a mailbox with both is not a double that the pair has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId {
    /// The message.
    pub number: u32,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.attempt)
    }
}

const HEADER: &str = "X-Judge: ";

/// The whole text of a message. Its lines follow from its name, so that a reader can tell a torn one.
#[must_use]
pub fn text(id: MessageId) -> String {
    let mut text =
        format!("From: judge@lab\r\nSubject: message {id}\r\nMessage-ID: <{id}@judge.lab>\r\n{HEADER}{id}\r\n\r\n");
    for line in 0..8 + id.number % 5 {
        text += &format!(".{line} of message {id}: {}\r\n", "mail ".repeat(usize::try_from(line % 7).unwrap_or(0)));
    }
    text + "end\r\n"
}

/// Which message this is, if it is a judge's and whole. The server may have put its own header lines before it.
#[must_use]
pub fn recognise(found: &str) -> Option<MessageId> {
    let (number, attempt) = found.lines().find_map(|line| line.strip_prefix(HEADER))?.trim().split_once('.')?;
    let id = MessageId { number: number.parse().ok()?, attempt: attempt.parse().ok()? };
    let plain = |text: &str| text.lines().map(|line| format!("{line}\n")).collect::<String>();
    plain(found).ends_with(&plain(&text(id))).then_some(id)
}

/// How a mailbox compares with what was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Accepted, and not there.
    pub lost: Vec<MessageId>,
    /// There more than once.
    pub doubled: Vec<MessageId>,
    /// Files that are no whole message.
    pub torn: Vec<String>,
    /// Accepted and there, once.
    pub right: usize,
    /// There though no acceptance was heard: attempts that broke after the data. Not wrong.
    pub unheard: usize,
}

impl Count {
    /// Whether every accepted message is there exactly once, and nothing is torn.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.torn.is_empty()
    }
}

/// Holds a maildir against the accepted messages.
///
/// # Errors
/// When the maildir cannot be read.
pub fn exactly_once(accepted: &[MessageId], maildir: &Path) -> Result<Count> {
    let mut there: BTreeMap<MessageId, usize> = BTreeMap::new();
    let mut count = Count::default();
    for part in ["new", "cur"] {
        let folder = maildir.join(part);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            match recognise(&String::from_utf8_lossy(&fs::read(&path)?)) {
                Some(id) => *there.entry(id).or_default() += 1,
                None => count.torn.push(path.display().to_string()),
            }
        }
    }
    for id in accepted {
        match there.remove(id) {
            None => count.lost.push(*id),
            Some(1) => count.right += 1,
            Some(_) => count.doubled.push(*id),
        }
    }
    count.doubled.extend(there.iter().filter(|(_, copies)| **copies > 1).map(|(id, _)| *id));
    count.unheard = there.len();
    Ok(count)
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accepted and there once, {} there without a heard acceptance", self.right, self.unheard)?;
        for (what, ids) in [("LOST", &self.lost), ("DOUBLED", &self.doubled)] {
            if !ids.is_empty() {
                let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
                write!(f, "\n{what}: {}", names.join(" "))?;
            }
        }
        if !self.torn.is_empty() {
            write!(f, "\nTORN: {}", self.torn.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> MessageId {
        MessageId { number, attempt: 1 }
    }

    fn mailbox(messages: &[(&str, &str)]) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for part in ["new", "cur"] {
            fs::create_dir(folder.path().join(part))?;
        }
        for (name, text) in messages {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(folder)
    }

    #[test]
    fn a_lost_a_doubled_and_a_torn_message_are_each_found() -> Result<()> {
        let (one, two) = (text(id(1)), text(id(2)));
        let torn = &one[..one.len() - 8];
        let folder = mailbox(&[("new/a", &one), ("new/b", &two), ("cur/c", &two), ("cur/d", torn)])?;
        let count = exactly_once(&[id(1), id(2), id(3)], folder.path())?;
        assert_eq!((count.right, &count.lost[..], &count.doubled[..]), (1, &[id(3)][..], &[id(2)][..]));
        assert_eq!(count.torn.len(), 1);
        assert!(!count.is_right());
        Ok(())
    }

    #[test]
    fn a_message_is_recognised_behind_the_servers_own_header_lines_and_with_plain_line_ends() {
        let delivered = format!("Return-Path: <judge@lab>\n{}", text(id(7)).replace("\r\n", "\n"));
        assert_eq!(recognise(&delivered), Some(id(7)));
    }

    #[test]
    fn a_second_attempt_that_is_there_too_is_no_double() -> Result<()> {
        let again = MessageId { number: 1, attempt: 2 };
        let folder = mailbox(&[("new/a", &text(id(1))), ("new/b", &text(again))])?;
        let count = exactly_once(&[again], folder.path())?;
        assert!(count.is_right() && count.unheard == 1, "{count}");
        Ok(())
    }
}
