//! POP3 dialogues a second from one core, against the demo's mail server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use failover_shared::check::pop3::{Request, dialogue};
use failover_shared::check::{Encryption, Password, Record};

use super::Row;

/// Holds `count` dialogues one after the other.
///
/// # Errors
/// When one fails.
pub fn dialogues(_folder: &Path, count: u32) -> Result<Row> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(serve(stream))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let password = Password::new("tweet");
    let begun = Instant::now();
    let times = runtime.block_on(async {
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(one(address, &password).await?);
        }
        anyhow::Ok(times)
    })?;
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    let note = format!(
        "{rate:.0} a second (budget 1,000), one after the other, against a server of the bench's own on the other core"
    );
    Ok(Row::of("a POP3 dialogue (connect, login, STAT, RETR, QUIT)", Some(Duration::from_millis(1)), times, &note))
}

async fn one(address: SocketAddr, password: &Password) -> Result<Duration> {
    let begun = Instant::now();
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = Request { user: "canary", password, encryption: Encryption::None, expect: Some("sings") };
    dialogue(stream, &request, &mut Record::brief()).await?;
    Ok(begun.elapsed())
}

/// Answers a dialogue, command by command.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0_u8; 512];
    let answers: [&[u8]; 6] = [
        b"+OK ready\r\n",
        b"+OK\r\n",
        b"+OK logged in\r\n",
        b"+OK 1 40\r\n",
        b"+OK 40 octets\r\nSubject: x\r\n\r\nthe canary sings\r\n.\r\n",
        b"+OK bye\r\n",
    ];
    for answer in answers {
        stream.write_all(answer)?;
        if stream.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
    Ok(())
}
