//! The load balancer: one device with a target, told by either host, which repeats itself until the device says the same.

use failover_shared::decision::Epoch;

/// The device.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    /// Where the clients go, and by whose order.
    pub target: Option<(usize, Epoch)>,
    /// It refuses orders.
    pub refuses: bool,
    /// It obeys, and the answer is lost.
    pub is_mute: bool,
}

/// What one host wants of it until it wants something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Leaves it to the other host.
    #[default]
    Nothing,
    /// Clients come here.
    Here(Epoch),
    /// Clients go nowhere.
    Nowhere(Epoch),
}

impl Balancer {
    /// An order arrives. `Some(true)`: read back as wanted; `Some(false)`: refused; `None`: no answer.
    pub fn ordered(&mut self, host: usize, wish: Wish) -> Option<bool> {
        if self.refuses {
            return Some(false);
        }
        match wish {
            Wish::Here(epoch) => self.target = Some((host, epoch)),
            Wish::Nowhere(_) => self.target = None,
            Wish::Nothing => {}
        }
        (!self.is_mute).then_some(true)
    }
}
