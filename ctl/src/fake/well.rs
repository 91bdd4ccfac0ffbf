//! The status of a pair that is well. Alone in its file, because the tests of the start scripts read it too.

use failover_shared::decision::{Duty, Epoch, Role, StateName, Verdict};
use failover_shared::status::{
    BalancerStatus, CheckStatus, ConfigStatus, GuardianStatus, PathStatus, PeerStatus, Status,
};

/// A pair that is well: the master cfg1 is active in epoch 7, the slave cfg2 stands by; as `role` sees it.
pub(crate) fn status(role: Role) -> Status {
    let host = |role: Role| if role == Role::Master { "cfg1" } else { "cfg2" }.to_string();
    let duty = |role: Role| if role == Role::Master { Duty::Active } else { Duty::Standby };
    let state = if role == Role::Master { StateName::Active } else { StateName::Standby };
    Status {
        version: "0.1.0".into(),
        pair: "mail".into(),
        host: host(role),
        role,
        utc: "2026-11-21T06:45:12Z".into(),
        state,
        state_age_ms: 183_000,
        way_out: state.way_out().into(),
        duty: duty(role),
        epoch: Epoch(7),
        owned: if role == Role::Master { Epoch(7) } else { Epoch(6) },
        proofs: vec!["Ack".into(), "Operator".into()],
        guarantee: "never two actives, as long as the person who confirms a stop is right".into(),
        risks: Vec::new(),
        withheld: None,
        locked: None,
        maintenance: None,
        frozen: false,
        isolated: false,
        tilt_for_ms: None,
        service: if role == Role::Master { Verdict::Passed } else { Verdict::Unknown },
        peer: PeerStatus {
            host: host(role.peer()),
            role: role.peer(),
            heard_age_ms: Some(120),
            silent: false,
            duty: Some(duty(role.peer())),
            epoch: Some(Epoch(7)),
            service: Some(if role == Role::Slave { Verdict::Passed } else { Verdict::Unknown }),
            ready: Some(true),
            maintenance: Some(false),
            paths: vec![PathStatus { name: "192.0.2.12 - 192.0.2.11".into(), heard_age_ms: Some(120) }],
            channel_open: true,
        },
        checks: vec![CheckStatus {
            name: "pop3".into(),
            vantage: "local".into(),
            verdict: Verdict::Passed,
            last: "message read in 2 ms".into(),
            age_ms: Some(900),
            stale_after_ms: Some(10_000),
            failures: "0 of the last 3 failed, 3 are a failure".into(),
        }],
        not_ready: Vec::new(),
        readiness_age_ms: Some(4_000),
        copies: Vec::new(),
        arbiter: None,
        guardian: GuardianStatus { pid: Some(4_711), answered_age_ms: Some(300), ..GuardianStatus::default() },
        fence: Vec::new(),
        fenced: None,
        clocks_differ_ms: 0,
        clocks_beyond_drift: false,
        balancer: BalancerStatus {
            kind: "haproxy".into(),
            wanted: None,
            view: Some("cfg1 up, cfg2 down".into()),
            age_ms: Some(2_000),
            diverged: None,
        },
        config: ConfigStatus { digest: "00ab12".into(), equal: Some(true), ..ConfigStatus::default() },
        timers: Default::default(),
        step: None,
        last_reason: Some("Nothing runs here and the peer is heard: standing by.".into()),
        pages_waiting: 0,
        troubles: Vec::new(),
        counters: Default::default(),
    }
}
