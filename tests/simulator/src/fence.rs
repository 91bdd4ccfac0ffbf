//! The devices that cut a host off: its power, switched from outside.

use failover_shared::decision::{Event, Incarnation, OperationId};

use super::host::role;
use super::item::Item;
use super::network::Way;
use super::seen::Sight;
use super::world::World;

/// How the device behaves next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// It does what it says.
    #[default]
    Works,
    /// It says that it could not.
    Fails,
    /// It works, and its answer is lost.
    TimesOut,
    /// It says done and did nothing: an assumption broken on purpose.
    Lies,
}

impl World {
    /// A core has its peer fenced.
    pub fn fence(&mut self, index: usize, operation: OperationId) {
        if let Some(incarnation) = self.hosts[index].incarnation() {
            self.after(100, 800, Item::FenceActs(index, incarnation, operation));
        }
    }

    /// A core has its fenced peer let back. The power is on already; what counts is whether it may.
    pub fn unfence(&mut self, index: usize, operation: OperationId) {
        let Some(incarnation) = self.hosts[index].incarnation() else { return };
        self.judge.s14_comes_back_anew(&self.hosts[index], &self.hosts[1 - index]);
        let result = if self.network.is_open(Way::Fence, index) {
            self.judge.saw(Sight::LetBack);
            Ok(())
        } else {
            Err("the device does not answer".to_string())
        };
        self.after(10, 800, Item::result(index, incarnation, Event::UnfenceDone { operation, result }));
    }

    /// The device acts.
    pub fn fence_acts(&mut self, index: usize, incarnation: Incarnation, operation: OperationId) {
        let device = std::mem::take(&mut self.devices[index]);
        let reached = self.network.is_open(Way::Fence, index) && self.hosts[index].powered;
        let acts = reached && matches!(device, Device::Works | Device::TimesOut);
        if acts {
            self.tell(|| format!("{} is fenced", role(1 - index)));
            self.judge.fenced(index, self.hosts[1 - index].boot);
            self.power_cut(1 - index);
        }
        let result = match device {
            Device::Works if reached => {
                self.judge.saw(Sight::FenceWorked);
                Ok("power".to_string())
            }
            Device::Lies if reached => {
                self.judge.fenced(index, self.hosts[1 - index].boot);
                self.judge.gives_leave("a fence device lied");
                Ok("power".to_string())
            }
            Device::TimesOut if reached => {
                self.judge.saw(Sight::FenceTimedOut);
                return;
            }
            _ => {
                self.judge.saw(Sight::FenceFailed);
                Err("the device does not answer".to_string())
            }
        };
        self.after(10, 100, Item::result(index, incarnation, Event::FenceDone { operation, result }));
    }
}
