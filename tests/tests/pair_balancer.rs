//! HAProxy is down, or refuses, while the service moves.

use anyhow::{Result, ensure};
use failover_shared::decision::Role;
use failover_tests::lab::service::haproxy;
use failover_tests::pair::{Pair, Setup};

#[test]
fn a_balancer_that_is_down_during_the_move_is_shown_as_diverged_and_repaired_when_it_is_back() -> Result<()> {
    let test = "a_balancer_that_is_down_during_the_move_is_shown_as_diverged_and_repaired_when_it_is_back";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.balancer_dies()?;
    // Exit 1: done, with the balancer diverged.
    let output = pair.ctl(Role::Slave, &["takeover"])?;
    ensure!(output.status.code() == Some(1), "{output}");
    pair.wait_active(Role::Slave)?;
    let status = pair.wait_for(Role::Slave, "the divergence", |status| status.balancer.diverged.is_some())?;
    ensure!(status.severity() as u8 == 1, "a diverged balancer is not shown as degraded: {status:?}");
    // It comes back with its file's opinion: the master in, the slave out.
    pair.balancer_returns()?;
    pair.wait_for(Role::Slave, "the repair", |status| status.balancer.diverged.is_none())?;
    pair.wait_readable()
}

#[test]
fn a_balancer_that_refuses_does_not_hold_up_the_service() -> Result<()> {
    let test = "a_balancer_that_refuses_does_not_hold_up_the_service";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.lab.balancer.refuse_port(haproxy::ADMIN_PORT)?;
    // Exit 1: done, with the balancer diverged.
    let output = pair.ctl(Role::Slave, &["takeover"])?;
    ensure!(output.status.code() == Some(1), "{output}");
    pair.wait_active(Role::Slave)?;
    pair.wait_for(Role::Slave, "the divergence", |status| status.balancer.diverged.is_some())?;
    pair.lab.balancer.accept_port(haproxy::ADMIN_PORT)?;
    pair.wait_for(Role::Slave, "the repair", |status| status.balancer.diverged.is_none())?;
    pair.wait_readable()
}

#[test]
fn a_change_by_hand_on_the_balancer_is_put_right() -> Result<()> {
    let Some(pair) = Pair::begin("a_change_by_hand_on_the_balancer_is_put_right", &Setup::default())? else {
        return Ok(());
    };
    haproxy::set_state(&pair.lab, "cfg1", "maint")?;
    pair.wait_readable()
}
