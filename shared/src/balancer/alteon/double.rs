//! A double of an Alteon, for tests on a machine without one. **Not an Alteon**, and no proof that one behaves like it.
//!
//! It speaks the prompts, questions and tables that others have recorded from real devices. What a device says after a
//! successful `/oper/slb/dis` is not on record; the double says nothing, or, on request, something made up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How the double behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The user that newer devices ask for; `None` is the older generation, which asks for the password alone.
    pub user: Option<String>,
    /// The password.
    pub password: String,
    /// What stands between `>> ` and `Main# `, such as `lab_#1 - Standalone ADC - `.
    pub prompt_name: String,
    /// Every write is cut into pieces of this many bytes.
    pub piece_bytes: usize,
    /// Asked before the first prompt, one after the other, as recorded devices do.
    pub login_questions: Vec<String>,
    /// The order of the two questions of `/oper/slb/dis` without a letter is turned round.
    pub questions_reversed: bool,
    /// A question that no recorded device asks, put before each `/oper` command is done.
    pub unknown_question: Option<String>,
    /// Said after each `/oper/slb/dis` and `/oper/slb/ena`.
    pub says_after: String,
    /// Echoes what is typed, passwords too.
    pub echo: bool,
    /// Pages its output, after this many lines, until told `lines 0`; that command is unknown to it if `pages_always`.
    pub page_lines: usize,
    /// See `page_lines`.
    pub pages_always: bool,
    /// Somebody has left configuration changes unsaved: it asks on the way out.
    pub unsaved_changes: bool,
    /// Answers every `/oper` command that changes something with this.
    pub error: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            user: None,
            password: "slboper".to_owned(),
            prompt_name: String::new(),
            piece_bytes: 1024,
            login_questions: Vec::new(),
            questions_reversed: false,
            unknown_question: None,
            says_after: String::new(),
            echo: true,
            page_lines: 22,
            pages_always: false,
            unsaved_changes: false,
            error: None,
        }
    }
}

/// The double: real servers 1 to 4, all enabled by configuration. It ends when dropped.
#[derive(Debug)]
pub struct AlteonDouble {
    address: SocketAddr,
    device: Arc<Mutex<DeviceState>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct DeviceState {
    /// Operationally disabled. Forgotten at a reset.
    disabled: BTreeSet<u32>,
    /// Those whose sessions were removed.
    removed: BTreeSet<u32>,
    /// Those whose health check fails.
    failed: BTreeSet<u32>,
    commands: Vec<String>,
    sessions: usize,
}

const SERVERS: std::ops::RangeInclusive<u32> = 1..=4;

impl AlteonDouble {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(behaviour: Behaviour) -> io::Result<AlteonDouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let device = Arc::new(Mutex::new(DeviceState::default()));
        let shared = Arc::clone(&device);
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (device, behaviour) = (Arc::clone(&shared), behaviour.clone());
                sessions.spawn(async move {
                    lock(&device).sessions += 1;
                    // A client that leaves in the middle is its own matter.
                    let _ = Terminal::new(stream, behaviour, Arc::clone(&device)).serve().await;
                    lock(&device).sessions -= 1;
                });
            }
        });
        Ok(AlteonDouble { address, device, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It resets: every server is as configured again.
    pub fn reset(&self) {
        let mut device = lock(&self.device);
        device.disabled.clear();
        device.removed.clear();
    }

    /// Its health check of a server passes or fails.
    pub fn set_health(&self, number: u32, passes: bool) {
        let mut device = lock(&self.device);
        if passes {
            device.failed.remove(&number)
        } else {
            device.failed.insert(number)
        };
    }

    /// The servers that are operationally disabled.
    #[must_use]
    pub fn disabled(&self) -> Vec<u32> {
        lock(&self.device).disabled.iter().copied().collect()
    }

    /// The servers whose sessions were removed when they were disabled.
    #[must_use]
    pub fn removed(&self) -> Vec<u32> {
        lock(&self.device).removed.iter().copied().collect()
    }

    /// Every command it was given, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        lock(&self.device).commands.clone()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        lock(&self.device).sessions
    }
}

impl Drop for AlteonDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(device: &Mutex<DeviceState>) -> MutexGuard<'_, DeviceState> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session.
struct Terminal {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    behaviour: Behaviour,
    device: Arc<Mutex<DeviceState>>,
    page_lines: usize,
}

impl Terminal {
    fn new(stream: TcpStream, behaviour: Behaviour, device: Arc<Mutex<DeviceState>>) -> Terminal {
        // Pieces shall leave as pieces.
        let _ = stream.set_nodelay(true);
        let (input, output) = stream.into_split();
        let page_lines = behaviour.page_lines;
        Terminal { input: BufReader::new(input), output, behaviour, device, page_lines }
    }

    async fn serve(mut self) -> io::Result<()> {
        // WILL ECHO, WILL SUPPRESS-GO-AHEAD, DO TERMINAL-TYPE; then the answers are skipped wherever they come.
        self.output.write_all(&[255, 251, 1, 255, 251, 3, 255, 253, 24]).await?;
        if !self.log_in().await? {
            return self.say("\r\nAccess denied.\r\n").await;
        }
        for question in self.behaviour.login_questions.clone() {
            self.ask(&format!("\r\n{question}")).await?;
        }
        let mut menu = "Main";
        loop {
            let prompt = format!("\r\n>> {}{menu}# ", self.behaviour.prompt_name);
            let command = self.ask(&prompt).await?;
            lock(&self.device).commands.push(command.clone());
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["exit"] => break,
                ["lines", "0"] if !self.behaviour.pages_always => self.page_lines = usize::MAX,
                ["/oper/slb/dis", number, letter @ ..] => {
                    menu = "Server Load Balancing Operations";
                    self.disable(number, letter).await?;
                }
                ["/oper/slb/ena", number] => {
                    menu = "Server Load Balancing Operations";
                    self.enable(number).await?;
                }
                ["/oper/slb/cur"] => {
                    menu = "Server Load Balancing Operations";
                    self.current().await?;
                }
                ["/info/slb/real", number] => {
                    menu = "Server Load Balancing Information";
                    self.information(number).await?;
                }
                [] => {}
                _ => self.say(&format!("\r\nError: unknown command \"{command}\".")).await?,
            }
        }
        if self.behaviour.unsaved_changes {
            self.say("\r\nWARNING: There are unsaved configuration changes.").await?;
            self.ask("\r\nConfirm exit without saving? [y/n]: ").await?;
        }
        self.say("\r\nSession terminated.\r\n").await
    }

    async fn log_in(&mut self) -> io::Result<bool> {
        for _ in 0..3 {
            let mut right = true;
            let question = match self.behaviour.user.clone() {
                Some(user) => {
                    right = self.ask("\r\nusername: ").await? == user;
                    "password: "
                }
                None => "\r\nEnter password: ",
            };
            let password = self.ask(question).await?;
            if right && password == self.behaviour.password {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn disable(&mut self, number: &str, letter: &[&str]) -> io::Result<()> {
        let Some(number) = self.server(number).await? else { return Ok(()) };
        let mut remove = false;
        if letter.is_empty() {
            let mut questions =
                ["Allow cookie persistent HTTP sessions ?", "Mark existing sessions for removal from session table?"];
            if self.behaviour.questions_reversed {
                questions.reverse();
            }
            for question in questions {
                let yes = self.ask(&format!("\r\n{question} ")).await? == "y";
                remove |= yes && question.starts_with("Mark");
            }
        } else if !matches!(letter, ["n" | "p"]) {
            return self.say("\r\nError: bad argument.").await;
        }
        {
            let mut device = lock(&self.device);
            device.disabled.insert(number);
            if remove {
                device.removed.insert(number);
            }
        }
        self.say(&self.behaviour.says_after.clone()).await
    }

    async fn enable(&mut self, number: &str) -> io::Result<()> {
        let Some(number) = self.server(number).await? else { return Ok(()) };
        {
            let mut device = lock(&self.device);
            device.disabled.remove(&number);
            device.removed.remove(&number);
        }
        self.say(&self.behaviour.says_after.clone()).await
    }

    /// The number of a server that exists, unless this double is to ask or to fail first.
    async fn server(&mut self, number: &str) -> io::Result<Option<u32>> {
        if let Some(question) = self.behaviour.unknown_question.clone() {
            self.ask(&format!("\r\n{question}")).await?;
        }
        if let Some(error) = self.behaviour.error.clone() {
            self.say(&format!("\r\n{error}")).await?;
            return Ok(None);
        }
        match number.parse() {
            Ok(number) if SERVERS.contains(&number) => Ok(Some(number)),
            _ => {
                self.say("\r\nError: bad real server number.").await?;
                Ok(None)
            }
        }
    }

    async fn current(&mut self) -> io::Result<()> {
        let states: BTreeMap<u32, bool> = {
            let device = lock(&self.device);
            SERVERS.map(|number| (number, device.disabled.contains(&number))).collect()
        };
        let rows = states.iter().map(|(number, disabled)| {
            format!("  {number}: 192.0.2.{number}   {}", if *disabled { "disabled" } else { "enabled" })
        });
        let lines = std::iter::once("Current real server operational state:".to_owned()).chain(rows).collect();
        self.page(lines).await
    }

    async fn information(&mut self, number: &str) -> io::Result<()> {
        let (disabled, failed) = {
            let device = lock(&self.device);
            let known = |set: &BTreeSet<u32>| number.parse().is_ok_and(|number| set.contains(&number));
            (known(&device.disabled), known(&device.failed))
        };
        let state = match (disabled, failed) {
            (true, _) => "DISABLED",
            (false, true) => "FAILED",
            (false, false) => "up",
        };
        let row = format!("{number}: 192.0.2.{number}, 00:00:5e:00:01:24, vlan 1, port 2, health 4, {state}");
        self.page(vec![row, "    real ports:".to_owned(), format!("    script 2, {state}, current")]).await
    }

    /// Lines of output, with the pager's line in between.
    async fn page(&mut self, lines: Vec<String>) -> io::Result<()> {
        for (at, line) in lines.iter().enumerate() {
            if at > 0 && at % self.page_lines == 0 {
                self.say("\r\n\x1b[7mPress q to quit, any other key to continue\x1b[0m").await?;
                self.key().await?;
                self.say("\r                                          \r").await?;
            }
            self.say(&format!("\r\n{line}")).await?;
        }
        Ok(())
    }

    /// Writes, in pieces.
    async fn say(&mut self, text: &str) -> io::Result<()> {
        for piece in text.as_bytes().chunks(self.behaviour.piece_bytes.max(1)) {
            self.output.write_all(piece).await?;
            if piece.len() < text.len() {
                // The reader's turn, so that the pieces travel alone.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Writes a question or a prompt and reads one line.
    async fn ask(&mut self, text: &str) -> io::Result<String> {
        self.say(text).await?;
        let mut bytes = Vec::new();
        (&mut self.input).take(4096).read_until(b'\n', &mut bytes).await?;
        if !bytes.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let typed = typed(&bytes);
        if self.behaviour.echo {
            self.say(&typed).await?;
        }
        Ok(typed)
    }

    /// Reads one key.
    async fn key(&mut self) -> io::Result<()> {
        self.input.read_u8().await.map(drop)
    }
}

/// A line without its end and without the three-byte answers to the telnet options.
fn typed(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte == 255 {
            rest.nth(1);
        } else if !byte.is_ascii_control() {
            text.push(byte);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
