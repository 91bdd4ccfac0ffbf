//! Operators' questions and commands, from the control socket or passed on by the peer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use super::incoming::answer as answer_peer;
use super::turn::Driver;
use super::{Input, entries};
use crate::channel::Replies;
use crate::clock;
use crate::config::Probe;
use crate::control::{Asked, Reply, Request};
use crate::decision::{Command, Event, Millis, Role};
use crate::failpoint::failpoint;
use crate::wire::Message;

/// How long the peer may take to answer a question passed on.
const PEER_LIMIT: Duration = Duration::from_millis(800);
/// How long a managed port of the other host is tried before a person's word is taken.
const PORT_LIMIT: Duration = Duration::from_millis(800);
/// How many commands may wait for their answer.
const TICKETS_MAX: usize = 32;

/// Where the answer of a command goes.
pub(super) struct Ticket {
    to: AnswerTo,
    text: String,
    by: String,
}

enum AnswerTo {
    Operator(oneshot::Sender<Reply>),
    Peer(Replies),
}

impl Driver {
    pub(super) fn asked(&mut self, now: Millis, asked: Asked) {
        let Asked { request, reply } = asked;
        match request {
            Request::Status => answer(reply, Ok(self.status_json(now))),
            Request::History { after, count } => {
                let disk = self.disk.clone();
                tokio::spawn(async move {
                    let entries = disk.tail(after, count as usize).await;
                    answer(reply, serde_json::to_value(entries).map_err(|error| error.to_string()));
                });
            }
            Request::PeerHistory { count } => self.ask_peer(Message::History { count }, reply),
            Request::PeerStatus => self.ask_peer(Message::Status, reply),
            command => self.order(now, command, AnswerTo::Operator(reply)),
        }
    }

    /// A command that the peer's operator typed there and that belongs here.
    pub(super) fn peers_command(&mut self, now: Millis, command: serde_json::Value, reply: Replies) {
        match serde_json::from_value(command) {
            Ok(request) => self.order(now, request, AnswerTo::Peer(reply)),
            Err(error) => {
                answer_peer(&reply, Message::Error { text: format!("the command is not understood: {error}") });
            }
        }
    }

    fn order(&mut self, now: Millis, request: Request, to: AnswerTo) {
        if to.is_gone() {
            // Whoever asked has given up, perhaps long ago on a host that stood still; the situation is another one now.
            return;
        }
        let own = self.settings.role;
        let from_peer = matches!(to, AnswerTo::Peer(_));
        let host = match &request {
            Request::Move { to: host, .. } => *host,
            Request::ConfirmStopped { host, .. } => host.peer(),
            // Typed on either host; it belongs to the one that the service was to come to.
            Request::Abort { .. } if !from_peer && !self.node.state().duty().is_on_its_way() => own.peer(),
            _ => own,
        };
        if host != own {
            if from_peer {
                return to.answer(Err(format!("this host is the {own}")));
            }
            return self.pass_on(request, to);
        }
        match request {
            Request::Move { by, reason, dry_run, despite_config_difference, despite_old_copy, .. } => {
                let text = format!("move the service to the {own}: {reason}");
                let command = Command::MoveHere { by: by.clone(), reason, despite_config_difference, despite_old_copy };
                if dry_run {
                    return to.answer(self.dry_run(now, command));
                }
                self.command(now, command, Ticket { to, text, by });
            }
            Request::Abort { by } => {
                let ticket = Ticket { to, text: "abort".into(), by: by.clone() };
                self.command(now, Command::Abort { by }, ticket);
            }
            Request::StartAlone { by, reason, despite_old_copy } => {
                let text = format!("start-alone: {reason}");
                let command = Command::StartAlone { by: by.clone(), reason, despite_old_copy };
                self.command(now, command, Ticket { to, text, by });
            }
            Request::ConfirmStopped { host, by, reason, epoch } => self.confirm_stopped(host, by, reason, epoch, to),
            Request::Acknowledge { by } => {
                let ticket = Ticket { to, text: "ack".into(), by: by.clone() };
                self.command(now, Command::Acknowledge { by }, ticket);
            }
            Request::ForceOffline { by, reason } => {
                let text = format!("force-offline: {reason}");
                self.command(now, Command::ForceOffline { by: by.clone(), reason }, Ticket { to, text, by });
            }
            Request::MaintenanceOn { by, reason, span_ms } => {
                let text = format!("maintenance on for {}: {reason}", Millis(span_ms));
                let (span_ms, now_utc_s) = (Millis(span_ms), clock::utc_s());
                let command = Command::BeginMaintenance { by: by.clone(), reason, span_ms, now_utc_s };
                self.command(now, command, Ticket { to, text, by });
            }
            Request::MaintenanceOff { by, reason } => {
                let text = format!("maintenance off: {reason}");
                self.command(now, Command::EndMaintenance { by: by.clone(), reason }, Ticket { to, text, by });
            }
            Request::Status | Request::History { .. } | Request::PeerHistory { .. } | Request::PeerStatus => {
                to.answer(Err("a question cannot be passed on as a command".into()));
            }
        }
    }

    fn command(&mut self, now: Millis, command: Command, ticket: Ticket) {
        if self.tickets.len() >= TICKETS_MAX {
            return ticket.to.answer(Err("too many commands are under way; try again".into()));
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(number, ticket);
        self.step(now, Event::Command { ticket: number, command });
    }

    /// The core's answer to a command.
    pub(super) fn answer_ticket(&mut self, number: u64, result: Result<String, String>) {
        let Some(Ticket { to, text, by }) = self.tickets.remove(&number) else { return };
        self.disk.note(entries::command(&text, &by, &result));
        to.answer(result.map(serde_json::Value::String));
    }

    /// Whether a move here would be accepted, told by a copy of the core that is then thrown away.
    fn dry_run(&self, now: Millis, command: Command) -> Reply {
        let mut copy = self.node.clone();
        let mut actions = Vec::new();
        copy.step(now, Event::Command { ticket: 0, command }, &mut actions);
        let answer = actions.into_iter().find_map(|action| match action {
            crate::decision::Action::Reply { ticket: 0, result } => Some(result),
            _ => None,
        });
        answer.unwrap_or_else(|| Err("the move was neither accepted nor refused".into())).map(serde_json::Value::String)
    }

    /// A word about the other host is taken only after its managed ports were tried.
    fn confirm_stopped(
        &mut self,
        host: Role,
        by: String,
        reason: String,
        epoch: Option<crate::decision::Epoch>,
        to: AnswerTo,
    ) {
        let address = self.loaded.config.host(host).service_address;
        let ports: Vec<SocketAddr> = self
            .loaded
            .config
            .checks
            .iter()
            .filter_map(|check| port(&check.probe))
            .map(|port| SocketAddr::new(address, port))
            .collect();
        let text = format!("confirm-stopped {host}: {reason}");
        if self.tickets.len() >= TICKETS_MAX {
            return to.answer(Err("too many commands are under way; try again".into()));
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, Ticket { to, text, by: by.clone() });
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let mut port_answers = false;
            for port in ports {
                let connect = tokio::time::timeout(PORT_LIMIT, tokio::net::TcpStream::connect(port));
                port_answers |= matches!(connect.await, Ok(Ok(_)));
            }
            let command = Command::ConfirmStopped { host, by, reason, epoch, port_answers };
            // The loop is gone: so is everybody who waits for the answer.
            let _ = inputs.send(Input::Core(Event::Command { ticket, command })).await;
        });
    }

    /// The host that has to act is the other one.
    fn pass_on(&self, request: Request, to: AnswerTo) {
        let AnswerTo::Operator(reply) = to else { return };
        match serde_json::to_value(&request) {
            Ok(command) => self.ask_peer(Message::Command { command }, reply),
            Err(error) => answer(reply, Err(error.to_string())),
        }
    }

    fn ask_peer(&self, message: Message, reply: oneshot::Sender<Reply>) {
        let peer = self.peer.clone();
        let name = self.loaded.config.host(self.settings.role.peer()).name.clone();
        let is_command = matches!(message, Message::Command { .. });
        tokio::spawn(async move {
            if is_command {
                failpoint("order-before");
            }
            let answered = match peer.request(message, PEER_LIMIT, None).await {
                Ok(Message::Reply { body }) => Ok(body),
                Ok(Message::Error { text }) => Err(text),
                Ok(_) => Err(format!("{name} answered something else than asked")),
                Err(error) => Err(format!("{name} could not be asked: {error}")),
            };
            if is_command {
                failpoint("order-after");
            }
            answer(reply, answered);
        });
    }

    /// The newest entries of the own journal, for the peer.
    pub(super) fn history_for_peer(&self, count: u32, reply: Replies) {
        let disk = self.disk.clone();
        tokio::spawn(async move {
            let mut entries = disk.tail(0, count as usize).await;
            let mut body = serde_json::to_value(&entries).unwrap_or_default();
            // A line of the channel has a bound; the oldest entries give way.
            while body.to_string().len() > crate::wire::LINE_BYTES_MAX / 2 && !entries.is_empty() {
                entries.drain(..entries.len().div_ceil(2));
                body = serde_json::to_value(&entries).unwrap_or_default();
            }
            answer_peer(&reply, Message::Reply { body });
        });
    }
}

impl AnswerTo {
    fn is_gone(&self) -> bool {
        match self {
            AnswerTo::Operator(reply) => reply.is_closed(),
            AnswerTo::Peer(reply) => reply.is_closed(),
        }
    }

    fn answer(self, result: Reply) {
        match (self, result) {
            (AnswerTo::Operator(reply), result) => answer(reply, result),
            (AnswerTo::Peer(reply), Ok(body)) => {
                answer_peer(&reply, Message::Reply { body });
            }
            (AnswerTo::Peer(reply), Err(text)) => {
                answer_peer(&reply, Message::Error { text });
            }
        }
    }
}

fn answer(reply: oneshot::Sender<Reply>, result: Reply) {
    // Who asked may have gone away meanwhile.
    let _ = reply.send(result);
}

fn port(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Port { port } => Some(*port),
        Probe::Pop3(mail) | Probe::Imap(mail) => Some(mail.port),
        Probe::Command(_) | Probe::Resource(_) => None,
    }
}
