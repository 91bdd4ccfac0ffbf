//! One open connection as the client uses it: requests go out, answers find their askers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::wire::{Envelope, HeaderSource, LINE_BYTES_MAX, Message, decode, encode, version_is_spoken};

use super::client::RequestError;
use super::lines::LineReader;

/// Requests that may be under way at once.
const UNDER_WAY_MAX: usize = 64;
/// How long one line may take to be written.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// A request, and where its answer goes.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) message: Message,
    pub(super) progress: Option<mpsc::Sender<Message>>,
    pub(super) answer: oneshot::Sender<Result<Message, RequestError>>,
}

/// Whoever waits for an answer, by the request's number. Dropping one tells its asker that the connection closed.
type Askers = Mutex<BTreeMap<u64, Asker>>;

struct Asker {
    progress: Option<mpsc::Sender<Message>>,
    answer: oneshot::Sender<Result<Message, RequestError>>,
}

/// Talks until the connection ends; tells why it ended. `first` is sent before what waits in `orders`.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite,
    first: Option<Order>,
    orders: &mut mpsc::Receiver<Order>,
    headers: &HeaderSource,
) -> String {
    let (reader, writer) = tokio::io::split(stream);
    let askers = Askers::default();
    // Two loops side by side: a peer that does not read must not keep its answers from being read.
    tokio::select! {
        why = read_answers(reader, &askers, headers) => why,
        why = write_requests(writer, first, orders, &askers, headers) => why,
    }
}

async fn read_answers(stream: impl AsyncRead + Unpin, askers: &Askers, headers: &HeaderSource) -> String {
    let mut lines = LineReader::new(stream, LINE_BYTES_MAX);
    loop {
        let Envelope { header, reply_to, message, .. } = match lines.next(decode).await {
            Ok(Ok(envelope)) => envelope,
            Ok(Err(error)) => return error.to_string(),
            Err(error) => return error.to_string(),
        };
        if header.pair != headers.pair() || header.role != headers.role().peer() || !version_is_spoken(header.version) {
            return "it answered in the name of another pair, role or version".to_owned();
        }
        let Some(request) = reply_to else { continue };
        let mut askers = askers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Message::ShutdownProgress { .. } = message {
            if let Some(progress) = askers.get(&request).and_then(|asker| asker.progress.as_ref()) {
                // Progress moves no timer: what the asker has no room for is not missed.
                let _ = progress.try_send(message);
            }
        } else if let Some(asker) = askers.remove(&request) {
            let answer = match message {
                Message::Error { text } => Err(RequestError::Refused(text)),
                message => Ok(message),
            };
            // The asker may have given up by now.
            let _ = asker.answer.send(answer);
        }
    }
}

async fn write_requests(
    mut stream: impl AsyncWrite + Unpin,
    mut first: Option<Order>,
    orders: &mut mpsc::Receiver<Order>,
    askers: &Askers,
    headers: &HeaderSource,
) -> String {
    let mut number = 0;
    loop {
        let order = match first.take() {
            Some(order) => Some(order),
            None => orders.recv().await,
        };
        let Some(Order { message, progress, answer }) = order else {
            return "this host closed it".to_owned();
        };
        number += 1;
        let envelope = Envelope { header: headers.header(number), id: number, reply_to: None, message };
        let line = match encode(&envelope) {
            Ok(line) => line,
            Err(error) => {
                // The asker may have given up by now.
                let _ = answer.send(Err(RequestError::Refused(error.to_string())));
                continue;
            }
        };
        if !ask(askers, number, Asker { progress, answer }) {
            continue;
        }
        let write = async {
            stream.write_all(&line).await?;
            stream.flush().await
        };
        match timeout(WRITE_MAX, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("nothing could be sent for {} s", WRITE_MAX.as_secs()),
        }
    }
}

/// Notes who waits for this request. `false`, and the asker is told, if too many are under way.
fn ask(askers: &Askers, number: u64, asker: Asker) -> bool {
    let mut askers = askers.lock().unwrap_or_else(PoisonError::into_inner);
    askers.retain(|_, asker| !asker.answer.is_closed());
    if askers.len() >= UNDER_WAY_MAX {
        let refused = RequestError::Refused("too many requests are under way".to_owned());
        let _ = asker.answer.send(Err(refused));
        return false;
    }
    askers.insert(number, asker);
    true
}
