//! The demo's mail server: POP3 and LMTP over maildirs, as small as the demo needs it. Not for real mail.
//!
//! It writes its process number to a file when both ports listen, runs until it is killed, and keeps nothing in memory:
//! what it has accepted lies in the store.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

/// More connections at a time are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// A client that says nothing for this long is let go.
const IDLE_MAX: Duration = Duration::from_secs(60);
const LINE_BYTES_MAX: u64 = 4 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The demo's mail server
#[derive(Parser)]
struct Arguments {
    /// The name in the greeting.
    #[arg(long)]
    host: String,
    /// The address of both ports.
    #[arg(long)]
    address: IpAddr,
    #[arg(long)]
    pop3_port: u16,
    #[arg(long)]
    lmtp_port: u16,
    /// The folder of the maildirs, one a user.
    #[arg(long)]
    store: PathBuf,
    /// Lines of user:password.
    #[arg(long)]
    users: PathBuf,
    /// Gets the process number once both ports listen.
    #[arg(long)]
    pid_file: PathBuf,
}

/// What every connection needs.
struct Server {
    host: String,
    store: PathBuf,
    users: Vec<(String, String)>,
    delivered: AtomicUsize,
    connections: AtomicUsize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let users = fs::read_to_string(&arguments.users).context("read the users")?;
    let users = users.lines().filter_map(|line| line.split_once(':'));
    let server = Arc::new(Server {
        host: arguments.host,
        store: arguments.store,
        users: users.map(|(user, password)| (user.to_owned(), password.to_owned())).collect(),
        delivered: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
    });
    let listen = |port| TcpListener::bind(SocketAddr::new(arguments.address, port)).context("listen");
    let (pop3, lmtp) = (listen(arguments.pop3_port)?, listen(arguments.lmtp_port)?);
    fs::write(&arguments.pid_file, format!("{}\n", std::process::id())).context("write the process number")?;
    let for_lmtp = Arc::clone(&server);
    std::thread::spawn(move || accept(&lmtp, &for_lmtp, Server::lmtp));
    accept(&pop3, &server, Server::pop3);
    Ok(())
}

/// Serves each connection in a thread of its own, for ever.
fn accept(listener: &TcpListener, server: &Arc<Server>, serve: fn(&Server, &mut Line) -> Result<()>) {
    for stream in listener.incoming().flatten() {
        if server.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            server.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let server = Arc::clone(server);
        std::thread::spawn(move || {
            if let Ok(mut line) = Line::new(stream) {
                // A client that leaves early, or speaks nonsense, is nobody's trouble.
                let _ = serve(&server, &mut line);
            }
            server.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// A connection that speaks in lines.
struct Line(BufReader<TcpStream>);

impl Line {
    fn new(stream: TcpStream) -> io::Result<Line> {
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_write_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Line(BufReader::new(stream)))
    }

    fn read(&mut self) -> Result<String> {
        let mut line = Vec::new();
        (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            bail!("the client left, or its line is too long");
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{text}\r\n").as_bytes())?)
    }
}

impl Server {
    /// RFC 1939 without deletion: the demo only reads.
    fn pop3(&self, client: &mut Line) -> Result<()> {
        client.say(&format!("+OK demo-mail on {} ready", self.host))?;
        let (mut user, mut mailbox) = (String::new(), None);
        loop {
            let line = client.read()?;
            let (verb, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            match (verb.to_ascii_uppercase().as_str(), &mailbox) {
                ("QUIT", _) => return client.say("+OK bye"),
                ("CAPA", _) => client.say("+OK\r\nUSER\r\n.")?,
                ("NOOP", _) => client.say("+OK")?,
                ("USER", None) => {
                    rest.clone_into(&mut user);
                    client.say("+OK")?;
                }
                ("PASS", None) => {
                    if self.users.iter().any(|(name, password)| *name == user && password == rest) {
                        mailbox = Some(messages(&self.store.join(&user))?);
                        client.say("+OK logged in")?;
                    } else {
                        client.say("-ERR [AUTH] refused")?;
                    }
                }
                ("STAT", Some(messages)) => {
                    let bytes: u64 = messages.iter().map(|path| fs::metadata(path).map_or(0, |data| data.len())).sum();
                    client.say(&format!("+OK {} {bytes}", messages.len()))?;
                }
                ("RETR", Some(messages)) => {
                    let chosen = rest.parse::<usize>().ok().and_then(|number| messages.get(number.checked_sub(1)?));
                    match chosen.and_then(|path| fs::read_to_string(path).ok()) {
                        Some(text) => client.say(&format!("+OK\r\n{}.", stuffed(&text)))?,
                        None => client.say("-ERR no such message")?,
                    }
                }
                _ => client.say("-ERR not known here")?,
            }
        }
    }

    /// RFC 2033. 250 after the data means: on the disk, under its final name.
    fn lmtp(&self, client: &mut Line) -> Result<()> {
        client.say(&format!("220 {} demo-mail LMTP", self.host))?;
        let mut receivers: Vec<String> = Vec::new();
        loop {
            let line = client.read()?;
            let upper = line.to_ascii_uppercase();
            if upper.starts_with("QUIT") {
                return client.say("221 bye");
            } else if upper.starts_with("LHLO") {
                client.say(&format!("250 {}", self.host))?;
            } else if upper.starts_with("MAIL FROM:") {
                receivers.clear();
                client.say("250 ok")?;
            } else if upper.starts_with("RCPT TO:") {
                let user = line.split(['<', '>']).nth(1).unwrap_or_default();
                if self.users.iter().any(|(name, _)| name == user) {
                    receivers.push(user.to_owned());
                    client.say("250 ok")?;
                } else {
                    client.say("550 no such user")?;
                }
            } else if upper == "DATA" && !receivers.is_empty() {
                client.say("354 go on")?;
                let text = read_message(client)?;
                // One answer for each receiver, in order: RFC 2033, section 4.2.
                for user in receivers.drain(..) {
                    match self.deliver(&user, &text) {
                        Ok(()) => client.say("250 delivered")?,
                        Err(_) => client.say("451 the store refused")?,
                    }
                }
            } else {
                client.say("503 not now")?;
            }
        }
    }

    /// Writes aside, syncs, renames: a maildir never shows half a message.
    fn deliver(&self, user: &str, text: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let number = self.delivered.fetch_add(1, Ordering::Relaxed);
        let name = format!("{now:020}.{}_{number}.{}", std::process::id(), self.host);
        let maildir = self.store.join(user);
        let aside = maildir.join("tmp").join(&name);
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(aside, maildir.join("new").join(name))?;
        File::open(maildir.join("new"))?.sync_all()?;
        Ok(())
    }
}

/// The messages of a maildir, oldest first: the names begin with the time.
fn messages(maildir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for part in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(part))? {
            found.push(entry?.path());
        }
    }
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    Ok(found)
}

/// A message as POP3 sends it: CR LF after each line, and lines that begin with a dot get another (RFC 1939, section 3).
fn stuffed(text: &str) -> String {
    text.lines().map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect()
}

fn read_message(client: &mut Line) -> Result<String> {
    let mut text = String::new();
    loop {
        let line = client.read()?;
        if line == "." {
            return Ok(text);
        }
        text += line.strip_prefix('.').unwrap_or(&line);
        text += "\r\n";
        if text.len() > MESSAGE_BYTES_MAX {
            bail!("the message is too long");
        }
    }
}
