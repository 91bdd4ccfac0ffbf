//! SIGTERM and SIGINT end the daemon, SIGHUP reloads its configuration. A second SIGTERM ends it at once.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// End; leave the service alone.
    End,
    /// Read the configuration again.
    Reload,
}

/// Starts the thread that waits for signals. It lives as long as the process.
///
/// # Errors
/// When the handlers cannot be installed or the system gives no thread.
pub(super) fn listen() -> std::io::Result<mpsc::Receiver<Signal>> {
    let ending = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // Registered first, so it sees the flag only at the second signal: a loop that hangs can still be ended.
        signal_hook::flag::register_conditional_default(signal, ending.clone())?;
        signal_hook::flag::register(signal, ending.clone())?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (sender, receiver) = mpsc::channel(8);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let meaning = if signal == SIGHUP { Signal::Reload } else { Signal::End };
            if sender.blocking_send(meaning).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
