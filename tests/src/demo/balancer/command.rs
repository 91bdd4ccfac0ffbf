//! The commands of HAProxy's runtime socket that are understood, answered as HAProxy 2.6 does (management guide, 9.3).

use std::fmt::Write as _;

use super::fleet::{Admin, Backend, Fleet, Server};

/// The columns of `show servers state`, format 1.
const STATE_COLUMNS: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
                             srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health \
                             srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord \
                             srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";
const USAGE: &str = "'set server <srv> state' expects 'ready', 'drain' and 'maint'.";

/// The answer to one line.
pub(super) fn answer(fleet: &Fleet, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let told = match words[..] {
        ["set", "server", name, "state", state] => match state {
            "ready" => on_server(fleet, name, |server| server.set(Admin::Ready)),
            "drain" => on_server(fleet, name, |server| server.set(Admin::Drain)),
            "maint" => on_server(fleet, name, |server| server.set(Admin::Maintenance)),
            _ => USAGE.to_owned(),
        },
        ["shutdown", "sessions", "server", name] => on_server(fleet, name, Server::shut_sessions),
        ["show", "servers", "state"] => states(fleet, None),
        ["show", "servers", "state", backend] => states(fleet, Some(backend)),
        ["show", "stat"] => counts(fleet, None),
        ["show", "stat", backend, _types, _server] => counts(fleet, Some(backend)),
        _ => "Unknown command.".to_owned(),
    };
    if told.is_empty() { "\n".to_owned() } else { format!("{told}\n\n") }
}

fn on_server(fleet: &Fleet, name: &str, act: impl FnOnce(&mut Server)) -> String {
    let Some((backend, server)) = name.split_once('/') else { return "Require 'backend/server'.".to_owned() };
    fleet.with_named(backend, server, act).err().unwrap_or_default().to_owned()
}

fn states(fleet: &Fleet, name: Option<&str>) -> String {
    let rows = |(number, backend): (usize, &Backend)| {
        let mut text = String::new();
        for (place, server) in backend.servers.iter().enumerate() {
            // Bits of the admin state: 0x01 maintenance, 0x04 disabled by its configuration, 0x08 drain.
            let admin = match server.admin {
                Admin::Ready => 0,
                Admin::Drain => 0x08,
                Admin::Maintenance => 0x01,
            } | if server.disabled_at_start { 0x04 } else { 0 };
            // Bits of the check's state: 0x02 configured, 0x04 enabled, 0x08 paused.
            let check = 0x02 | 0x04 | if server.admin == Admin::Maintenance { 0x08 } else { 0 };
            let result = match server.last_check {
                None => 0,
                Some(false) => 2,
                Some(true) => 3,
            };
            let (running, address) = (if server.running { 2 } else { 0 }, server.address);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} {} {} {} {} {running} {admin} 1 1 0 6 {result} 3 {check} 0 0 0 - {} - 0 0 - - 0",
                number + 2,
                backend.name,
                place + 1,
                server.name,
                address.ip(),
                address.port()
            );
        }
        text
    };
    fleet.look(name, rows).map_or_else(
        || "Can't find backend.".to_owned(),
        |rows| format!("1\n{STATE_COLUMNS}\n{}", rows.concat().trim_end()),
    )
}

fn counts(fleet: &Fleet, name: Option<&str>) -> String {
    let rows = |(_, backend): (usize, &Backend)| {
        let rows = backend.servers.iter().map(|server| {
            let status = match (server.admin, server.running) {
                (Admin::Maintenance, _) => "MAINT",
                (Admin::Drain, _) => "DRAIN",
                (Admin::Ready, true) => "UP",
                (Admin::Ready, false) => "DOWN",
            };
            format!("{},{},0,0,{},{status},\n", backend.name, server.name, server.open_sessions())
        });
        rows.collect::<String>()
    };
    let rows = fleet.look(name, rows).unwrap_or_default();
    format!("# pxname,svname,qcur,qmax,scur,status,\n{}", rows.concat().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        let servers = vec![
            ("cfg1".to_owned(), std::net::SocketAddr::from(([127, 0, 0, 1], 110))),
            ("cfg2".to_owned(), std::net::SocketAddr::from(([127, 0, 0, 2], 110))),
        ];
        Fleet::new(vec![Backend::new("pop3".to_owned(), servers, &["cfg2".to_owned()])])
    }

    #[test]
    fn the_state_follows_the_commands_as_haproxy_shows_it() {
        let fleet = fleet();
        let row = |name: &str| {
            let text = answer(&fleet, "show servers state pop3");
            let row = text.lines().find(|line| line.contains(&format!(" {name} "))).map(str::to_owned).unwrap();
            row.split(' ').skip(5).take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((row("cfg1"), row("cfg2")), ("2 0".to_owned(), "0 5".to_owned()));
        assert_eq!(answer(&fleet, "set server pop3/cfg1 state maint"), "\n");
        assert_eq!(answer(&fleet, "set server pop3/cfg2 state ready"), "\n");
        assert_eq!((row("cfg1"), row("cfg2")), ("0 1".to_owned(), "2 4".to_owned()));
        assert_eq!(fleet.choose(0).map(|(server, _)| server), Some(1));
    }

    #[test]
    fn nonsense_is_refused_in_haproxys_words() {
        let fleet = fleet();
        assert_eq!(answer(&fleet, "set server pop3/cfg9 state ready"), "No such server.\n\n");
        assert_eq!(answer(&fleet, "set server web/cfg1 state ready"), "No such backend.\n\n");
        assert_eq!(answer(&fleet, "set server pop3/cfg1 state asleep"), format!("{USAGE}\n\n"));
        assert_eq!(answer(&fleet, "make coffee"), "Unknown command.\n\n");
    }

    #[test]
    fn a_server_that_fails_twice_is_down_until_a_check_passes() {
        let fleet = fleet();
        fleet.checked(0, 0, false);
        assert!(fleet.choose(0).is_some());
        fleet.checked(0, 0, false);
        assert!(fleet.choose(0).is_none());
        fleet.checked(0, 0, true);
        assert!(fleet.choose(0).is_some());
    }
}
