//! The operational switch of an Alteon (Alteon WebSystems, Nortel, Radware), over its command line by telnet.
//!
//! `/oper/slb/dis` and `/oper/slb/ena` act at once and are forgotten when the device resets. The configuration is never
//! touched, nothing is applied and nothing saved: `apply` would also apply what somebody else has pending. The account
//! "SLB Operator" is enough. Telnet carries the password in clear text: this belongs on a management network.
//!
//! Not tested against a real device. What it says after a successful `/oper/slb/dis` is not on record, so the driver
//! does not look at it: it looks for errors, and reads the state back.

#[cfg(any(test, feature = "doubles"))]
pub mod double;
mod session;
mod telnet;

use std::sync::{Mutex, PoisonError};

use super::error::excerpt;
use super::{Admin, BalancerError, Device, Seen, View, Wanted};
use crate::decision::{Epoch, Role};
use crate::secret::Secret;
use session::{Login, Session};

/// The numbers of the pair's two real servers on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServers {
    /// The master's.
    pub master: u32,
    /// The slave's.
    pub slave: u32,
}

impl RealServers {
    fn number(self, host: Role) -> u32 {
        match host {
            Role::Master => self.master,
            Role::Slave => self.slave,
        }
    }
}

/// The device. Each call is one session of its own, and one at a time: it has few.
#[derive(Debug)]
pub struct Alteon {
    address: String,
    user: Option<String>,
    password: Secret,
    numbers: RealServers,
    drop_sessions: bool,
    session: tokio::sync::Mutex<()>,
    drained: Mutex<Drained>,
}

/// The hosts that were last sent into a drain. The device shows a drained server as disabled and no more.
#[derive(Clone, Copy, Debug, Default)]
struct Drained {
    master: bool,
    slave: bool,
}

impl Drained {
    fn of(&mut self, host: Role) -> &mut bool {
        match host {
            Role::Master => &mut self.master,
            Role::Slave => &mut self.slave,
        }
    }
}

impl Alteon {
    /// A driver for the device at `address` (`host:port`). With `drop_sessions`, a host that goes down loses the
    /// sessions that it has ("fastage").
    ///
    /// # Errors
    /// [`BalancerError::Settings`] for a user or a password of more than one line, and for two equal numbers.
    pub fn new(
        address: &str,
        user: Option<&str>,
        password: Secret,
        numbers: RealServers,
        drop_sessions: bool,
    ) -> Result<Alteon, BalancerError> {
        let settings = |reason: &str| Err(BalancerError::Settings(format!("balancer: {reason}")));
        if user.is_some_and(|user| user.chars().any(char::is_control)) {
            return settings("the Alteon's user must be one line");
        }
        if password.expose().iter().any(|byte| byte.is_ascii_control()) {
            return settings("the Alteon's password must be one line");
        }
        if numbers.master == numbers.slave {
            return settings("master and slave must be two real servers of the Alteon");
        }
        Ok(Alteon {
            address: address.to_owned(),
            user: user.map(str::to_owned),
            password,
            numbers,
            drop_sessions,
            session: tokio::sync::Mutex::new(()),
            drained: Mutex::default(),
        })
    }

    async fn open(&self) -> Result<Session<'_>, BalancerError> {
        Session::open(&self.address, Login { user: self.user.as_deref(), password: &self.password }).await
    }

    fn drained<T>(&self, look: impl FnOnce(&mut Drained) -> T) -> T {
        look(&mut self.drained.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn information(&self, host: Role) -> String {
        format!("/info/slb/real {}", self.numbers.number(host))
    }

    /// One host, out of the answers to `/oper/slb/cur` and `/info/slb/real`.
    fn see(&self, host: Role, current: &str, information: &str) -> Seen {
        let number = self.numbers.number(host);
        let admin = match row(current, number).and_then(|row| row.split_whitespace().next_back()) {
            Some(word) if word.eq_ignore_ascii_case("enabled") => Admin::Up,
            Some(word) if word.eq_ignore_ascii_case("disabled") => {
                if self.drained(|drained| *drained.of(host)) {
                    Admin::Drain
                } else {
                    Admin::Down
                }
            }
            _ => Admin::Unknown,
        };
        let health = row(information, number).and_then(|row| row.rsplit(',').next());
        let serving = match health.map(|word| word.trim().to_ascii_lowercase()).as_deref() {
            Some("up") => Some(true),
            Some("failed" | "down") => Some(false),
            _ => None,
        };
        Seen { admin, serving, sessions: None }
    }
}

impl Device for Alteon {
    async fn set(&self, host: Role, wanted: Wanted, _epoch: Epoch) -> Result<(), BalancerError> {
        let number = self.numbers.number(host);
        let (command, remove) = match wanted {
            Wanted::Up => (format!("/oper/slb/ena {number}"), false),
            // Without a letter the device asks for what the letters cannot say: that sessions shall be removed.
            Wanted::Down if self.drop_sessions => (format!("/oper/slb/dis {number}"), true),
            Wanted::Down | Wanted::Drain => (format!("/oper/slb/dis {number} n"), false),
        };
        let _alone = self.session.lock().await;
        let mut session = self.open().await?;
        // A failed dialogue is hung up on: nothing is typed into a question that is not understood.
        let answer = session.command(&command, remove).await?;
        session.exit().await;
        without_error(&command, answer)?;
        self.drained(|drained| *drained.of(host) = wanted == Wanted::Drain);
        Ok(())
    }

    async fn observe(&self) -> Result<View, BalancerError> {
        let _alone = self.session.lock().await;
        let mut session = self.open().await?;
        let current = session.command("/oper/slb/cur", false).await?;
        let (of_master, of_slave) = (self.information(Role::Master), self.information(Role::Slave));
        let master = session.command(&of_master, false).await?;
        let slave = session.command(&of_slave, false).await?;
        session.exit().await;
        let current = without_error("/oper/slb/cur", current)?;
        let (master, slave) = (without_error(&of_master, master)?, without_error(&of_slave, slave)?);
        Ok(View { master: self.see(Role::Master, &current, &master), slave: self.see(Role::Slave, &current, &slave) })
    }
}

/// There is no word for success; these are the words for its opposite.
fn without_error(command: &str, answer: String) -> Result<String, BalancerError> {
    let refusal =
        answer.lines().find(|line| ["Error: ", "Try later: ", "Can't "].iter().any(|word| line.contains(word)));
    match refusal {
        Some(line) => Err(BalancerError::Refused { command: command.to_owned(), answer: excerpt(line) }),
        None => Ok(answer),
    }
}

/// What stands after `number:` in the line of that real server.
fn row(answer: &str, number: u32) -> Option<&str> {
    answer.lines().find_map(|line| {
        let (start, rest) = line.split_once(':')?;
        (start.trim().parse() == Ok(number)).then_some(rest)
    })
}

#[cfg(test)]
mod tests;
