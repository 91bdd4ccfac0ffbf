//! The demo's load balancer: forwards TCP from one front address for each backend, and understands as much of HAProxy's
//! runtime socket as a failover needs. Not for real traffic.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use clap::Parser;
use failover_tests::demo::balancer::{Backend, Fleet, serve};
use tokio::task::LocalSet;

/// The demo's load balancer
#[derive(Parser)]
struct Arguments {
    /// The runtime socket.
    #[arg(long)]
    socket: PathBuf,
    /// NAME,FRONT,SERVER=ADDRESS,SERVER=ADDRESS
    #[arg(long = "backend", required = true, value_parser = backend)]
    backends: Vec<Described>,
    /// Servers that begin in maintenance, in every backend.
    #[arg(long)]
    disabled: Vec<String>,
}

/// A backend as the command line describes it.
#[derive(Clone)]
struct Described {
    name: String,
    front: SocketAddr,
    servers: Vec<(String, SocketAddr)>,
}

fn backend(text: &str) -> Result<Described> {
    let mut parts = text.split(',');
    let name = parts.next().context("a backend needs a name")?.to_owned();
    let front = parts.next().context("a backend needs a front address")?.parse()?;
    let servers = parts.map(|part| {
        let (server, address) = part.split_once('=').context("write SERVER=ADDRESS")?;
        Ok((server.to_owned(), address.parse()?))
    });
    Ok(Described { name, front, servers: servers.collect::<Result<_>>()? })
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let backends = arguments.backends.into_iter();
    let backends = backends.map(|it| (it.front, Backend::new(it.name, it.servers, &arguments.disabled)));
    let (fronts, backends): (Vec<_>, Vec<_>) = backends.unzip();
    LocalSet::new().block_on(&runtime, serve(Rc::new(Fleet::new(backends)), &fronts, &arguments.socket))
}
