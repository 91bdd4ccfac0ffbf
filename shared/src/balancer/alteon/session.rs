//! One telnet session with an Alteon: login, commands, the questions that the device asks in between, and the way out.
//!
//! The device is read as `rancid`, `oxidized` and others have recorded it. It may cut its text anywhere, so nothing is
//! decided before the last, unterminated line looks like the end of a turn *and* nothing more comes for a moment.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::BalancerError;
use super::super::error::excerpt;
use super::telnet::{Telnet, line};
use crate::secret::Secret;

/// What one session reads at most; `/info/slb/real` answers with a few lines.
const SESSION_BYTES_MAX: usize = 256 * 1024;
/// How long the device must be silent before a prompt or a known question counts as its last word.
const SETTLE: Duration = Duration::from_millis(30);
/// The same for a question that nobody knows: it could be the start of a line of output.
const SETTLE_UNKNOWN: Duration = Duration::from_millis(500);
/// How long the way out may take; what was to be done is done by then.
const EXIT_LIMIT: Duration = Duration::from_secs(1);

/// A session that is logged in.
pub(super) struct Session<'a> {
    stream: TcpStream,
    telnet: Telnet,
    /// What the device said since the last command.
    text: String,
    bytes_read: usize,
    at: &'a str,
}

/// Who logs in.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) password: &'a Secret,
}

/// What the device waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The next command.
    Prompt,
    /// A user name.
    User,
    /// A password.
    Password,
    /// Any key: there is more.
    Pager,
    /// May cookies keep their sessions? Belongs to `/oper/slb/dis`.
    KeepCookies,
    /// Shall sessions be removed? Belongs to `/oper/slb/dis`.
    RemoveSessions,
    /// One of the questions whose answer is always the same.
    Always(&'static str),
    /// A question that nobody knows.
    Unknown,
}

impl<'a> Session<'a> {
    /// Connects and logs in, by password alone or by user and password, as the device's generation wants it.
    pub(super) async fn open(at: &'a str, login: Login<'_>) -> Result<Session<'a>, BalancerError> {
        let unreachable = |source| BalancerError::Unreachable { at: at.to_owned(), source };
        let stream = TcpStream::connect(at).await.map_err(unreachable)?;
        let mut session = Session { stream, telnet: Telnet::default(), text: String::new(), bytes_read: 0, at };
        session.log_in(login).await?;
        // Whether it is understood does not matter: a pager is answered, too.
        session.command("lines 0", false).await?;
        Ok(session)
    }

    async fn log_in(&mut self, login: Login<'_>) -> Result<(), BalancerError> {
        let refused = || BalancerError::LoginRefused { at: self.at.to_owned() };
        let (refused, mut password_sent) = (refused(), false);
        loop {
            let turn = match self.turn(SETTLE_UNKNOWN).await {
                // Some releases just hang up on a wrong password.
                Err(BalancerError::Unreachable { .. }) if password_sent => return Err(refused),
                turn => turn?,
            };
            match turn {
                Turn::Prompt => return Ok(()),
                Turn::User | Turn::Password if password_sent => return Err(refused),
                Turn::User => {
                    let Some(user) = login.user else {
                        let reason = format!("balancer: the Alteon at {} asks for a user; set `user`", self.at);
                        return Err(BalancerError::Settings(reason));
                    };
                    self.answer(&line(user.as_bytes())).await?;
                }
                Turn::Password => {
                    password_sent = true;
                    self.answer(&line(login.password.expose())).await?;
                }
                Turn::Pager => self.answer(b" ").await?,
                Turn::Always(answer) => self.answer(&line(answer.as_bytes())).await?,
                Turn::KeepCookies | Turn::RemoveSessions | Turn::Unknown => {
                    return Err(self.not_understood("the login", Some(login.password)));
                }
            }
        }
    }

    /// Gives one command and returns what the device says until it prompts again, without the echo of the command.
    /// `remove_sessions` answers the question that `/oper/slb/dis` may ask.
    pub(super) async fn command(&mut self, command: &str, remove_sessions: bool) -> Result<String, BalancerError> {
        self.text.clear();
        self.send(&line(command.as_bytes())).await?;
        loop {
            match self.turn(SETTLE_UNKNOWN).await? {
                Turn::Prompt => break,
                Turn::Pager => self.answer(b" ").await?,
                Turn::KeepCookies => self.answer(&line(b"n")).await?,
                Turn::RemoveSessions => self.answer(&line(if remove_sessions { b"y" } else { b"n" })).await?,
                Turn::Always(answer) => self.answer(&line(answer.as_bytes())).await?,
                Turn::User | Turn::Password | Turn::Unknown => return Err(self.not_understood(command, None)),
            }
        }
        let said = self.text.lines().filter(|line| !is_prompt(line) && line.trim() != command);
        Ok(said.collect::<Vec<_>>().join("\n"))
    }

    /// Leaves from a prompt, so that one of the device's few sessions is free again. Nothing is saved on the way out.
    /// Not for a session that stands before an unknown question: whatever is typed there would be its answer.
    pub(super) async fn exit(mut self) {
        let leave = async {
            self.text.clear();
            self.send(&line(b"exit")).await?;
            // Ends when the device hangs up, which it does as an error.
            loop {
                match self.turn(SETTLE).await? {
                    Turn::Always(answer) => self.answer(&line(answer.as_bytes())).await?,
                    // The question that follows this warning is not on record; `n` is what others answer.
                    Turn::Unknown if self.text.contains("unsaved configuration changes") => {
                        self.answer(&line(b"n")).await?
                    }
                    _ => return Ok(()),
                }
            }
        };
        // Whatever goes wrong here, closing the connection is all that is left to do.
        let _: Result<Result<(), BalancerError>, _> = timeout(EXIT_LIMIT, leave).await;
    }

    /// Reads until the device waits for something; an unknown question counts after that much silence.
    async fn turn(&mut self, settle_unknown: Duration) -> Result<Turn, BalancerError> {
        let mut chunk = [0; 1024];
        loop {
            let turn = classify(last_line(&self.text));
            let settle = match turn {
                Some(Turn::Unknown) => settle_unknown,
                Some(_) => SETTLE,
                None => Duration::MAX,
            };
            // Reading is cancel safe: bytes are taken whole or not at all.
            let count = match (timeout(settle, self.stream.read(&mut chunk)).await, turn) {
                (Ok(count), _) => count.map_err(|source| self.unreachable(source))?,
                (Err(_), Some(turn)) => return Ok(turn),
                (Err(_), None) => continue,
            };
            self.take(chunk.get(..count).unwrap_or_default()).await?;
        }
    }

    /// Takes in what was read; nothing means the end of the session.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), BalancerError> {
        if bytes.is_empty() {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it ended the session");
            return Err(self.unreachable(source));
        }
        self.bytes_read += bytes.len();
        if self.bytes_read > SESSION_BYTES_MAX {
            return Err(BalancerError::TooLong { command: "telnet".to_owned(), bytes_max: SESSION_BYTES_MAX });
        }
        let mut reply = Vec::new();
        self.telnet.take(bytes, &mut self.text, &mut reply);
        if reply.is_empty() { Ok(()) } else { self.send(&reply).await }
    }

    /// Answers a question and takes it out of what the device said.
    async fn answer(&mut self, bytes: &[u8]) -> Result<(), BalancerError> {
        let kept = self.text.len() - last_line(&self.text).len();
        self.text.truncate(kept);
        self.send(bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), BalancerError> {
        self.stream.write_all(bytes).await.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: io::Error) -> BalancerError {
        BalancerError::Unreachable { at: self.at.to_owned(), source }
    }

    /// Only the question itself is told, and never a password that the device echoed into it.
    fn not_understood(&self, command: &str, password: Option<&Secret>) -> BalancerError {
        let mut question = last_line(&self.text).to_owned();
        if let Some(password) = password.and_then(|password| password.expose_text()) {
            question = question.replace(password, "(password)");
        }
        BalancerError::NotUnderstood { command: command.to_owned(), answer: excerpt(&question) }
    }
}

/// What stands after the last line end.
fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or_default()
}

/// `>> Main# `, `>> name_#1 - Standalone ADC - Main# `: a `#` within it is no end, and so the blank counts.
fn is_prompt(line: &str) -> bool {
    line.starts_with(">> ") && line.ends_with("# ")
}

/// What the device waits for, if its last line is a prompt or a question.
fn classify(line: &str) -> Option<Turn> {
    if is_prompt(line) {
        return Some(Turn::Prompt);
    }
    let text = line.trim().to_ascii_lowercase();
    let asks = text.ends_with([':', '?', ']']);
    let known = [
        ("press q to quit, any other key to continue", true, Turn::Pager),
        ("allow cookie persistent http sessions", asks, Turn::KeepCookies),
        ("mark existing sessions for removal from session table", asks, Turn::RemoveSessions),
        // Notes of the switch's software at the login.
        ("display now", asks, Turn::Always("no")),
        ("confirm seeing above note", asks, Turn::Always("y")),
        ("would you like to run \"set up\"", asks, Turn::Always("n")),
        ("display private keys", asks, Turn::Always("n")),
        ("confirm sync to peer", asks, Turn::Always("n")),
        // Relatives of the device that have two command lines: the one with menus is ours.
        ("select command line interface mode", asks, Turn::Always("ibmnos-cli")),
        ("password:", text.ends_with("password:"), Turn::Password),
        ("username:", text.ends_with("username:"), Turn::User),
        ("login:", text.ends_with("login:"), Turn::User),
    ];
    if let Some((_, _, turn)) = known.iter().find(|(part, ends, _)| *ends && text.contains(part)) {
        return Some(*turn);
    }
    (text.contains('?') || text.contains("[y/n]")).then_some(Turn::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_prompts_are_prompts_and_no_part_of_them_is() {
        for prompt in [
            ">> Main# ",
            ">> 5412_28.1.11_#1 - Standalone ADC - Main# ",
            ">> Server Load Balancing Information# ",
            ">> Real server group 1# ",
        ] {
            assert_eq!(classify(prompt), Some(Turn::Prompt), "{prompt:?}");
            for end in 0..prompt.len() {
                assert_eq!(classify(&prompt[..end]), None, "{:?}", &prompt[..end]);
            }
        }
    }

    #[test]
    fn recorded_questions_have_their_turns() {
        for (line, turn) in [
            ("Enter password: ", Turn::Password),
            ("username: ", Turn::User),
            ("Press q to quit, any other key to continue", Turn::Pager),
            ("Allow cookie persistent HTTP sessions ?", Turn::KeepCookies),
            ("Mark existing sessions for removal from session table? [y/n]: ", Turn::RemoveSessions),
            ("Confirm seeing above note [y]:", Turn::Always("y")),
            ("Would you like to run \"Set Up\" to configure the switch? [y/n] ", Turn::Always("n")),
            ("Confirm Sync to Peer [y/n]: ", Turn::Always("n")),
            ("Really delete everything? ", Turn::Unknown),
            ("Erase flash [y/n]:", Turn::Unknown),
        ] {
            assert_eq!(classify(line), Some(turn), "{line:?}");
        }
        for line in ["", "1:", "1: 10.0.0.1 enabled", "real ports:", "Password accepted", ">> ", "Enter passw"] {
            assert_eq!(classify(line), None, "{line:?}");
        }
    }
}
