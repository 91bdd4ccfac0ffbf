//! The word to stop early, given once and seen by everyone who holds it.

use tokio::sync::watch;

/// Gives the word.
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<bool>);

/// Waits for the word.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

/// A handle and what it cancels. A handle that is dropped without a word cancels nothing.
#[must_use]
pub fn cancel() -> (CancelHandle, Cancel) {
    let (sender, receiver) = watch::channel(false);
    (CancelHandle(sender), Cancel(receiver))
}

impl CancelHandle {
    /// Gives the word. Giving it again changes nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// One that nobody can cancel.
    #[must_use]
    pub fn never() -> Cancel {
        cancel().1
    }

    /// Whether the word was given.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the word is given; never, if nobody is left to give it. May be dropped at any await.
    pub async fn cancelled(&mut self) {
        if self.0.wait_for(|given| *given).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
