//! Dovecot as a shop runs it: POP3, IMAP and LMTP on the real ports, mail in maildirs on the shared store, everything else
//! of its own on each host.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::lab::{Host, Lab};

/// The configuration file on a host.
pub const CONFIG: &str = "/etc/failover/dovecot.conf";
/// The user whose mail the judges deliver and read.
pub const USER: &str = "mary";
/// Her password.
pub const PASSWORD: &str = "lamb";
/// The user of the health checks, with one known message.
pub const CANARY: &str = "canary";
/// Its password.
pub const CANARY_PASSWORD: &str = "tweet";
/// Text that the canary's message holds.
pub const CANARY_TEXT: &str = "the canary sings";

/// `mail:mail` of Debian: owns the maildirs, on every host by the same number.
const MAIL_ID: u32 = 8;

/// Puts Dovecot's configuration on both hosts, and both users' maildirs on the store, the canary with its message.
///
/// # Errors
/// When a file cannot be written.
pub fn install(lab: &Lab) -> Result<()> {
    for host in lab.pair() {
        // A reader can tell by the greeting which host it was led to.
        let text = format!("{CONFIGURATION}login_greeting = Dovecot on {} ready.\n", host.name());
        host.write(CONFIG, &text, 0o644)?;
        let users = format!("{USER}:{{PLAIN}}{PASSWORD}\n{CANARY}:{{PLAIN}}{CANARY_PASSWORD}\n");
        host.write("/etc/failover/dovecot.users", &users, 0o644)?;
    }
    for user in [USER, CANARY] {
        let home = lab.store().join(user);
        for part in ["", "cur", "new", "tmp"] {
            let folder = home.join(part);
            fs::create_dir_all(&folder)?;
            own(&folder)?;
        }
    }
    let message = lab.store().join(CANARY).join("new/1000000000.M1.canary");
    fs::write(&message, format!("From: canary@lab\r\nSubject: {CANARY_TEXT}\r\n\r\n{CANARY_TEXT}\r\n"))?;
    own(&message)?;
    fs::set_permissions(lab.store(), fs::Permissions::from_mode(0o755))?;
    own(&lab.store())
}

/// Starts Dovecot on a host the short way, past the scripts: store mounted, service answering.
///
/// # Errors
/// When it does not run within 10 s.
pub fn start(host: &Host) -> Result<()> {
    host.run(&["/bin/sh", "-c", "mountpoint -q /mail || mount --bind /store /mail"])?;
    host.run(&["dovecot", "-c", CONFIG])?;
    crate::wait::wait_until("Dovecot's greeting", Duration::from_secs(10), || {
        let greeting =
            host.output(&["/bin/bash", "-c", "head -c 3 </dev/tcp/127.0.0.1/110"], Duration::from_secs(3))?;
        Ok(greeting.stdout == "+OK")
    })
}

fn own(path: &Path) -> Result<()> {
    chown(path, Some(MAIL_ID), Some(MAIL_ID)).with_context(|| format!("give {} to the mail user", path.display()))
}

/// Login processes serve many connections: the judges connect hundreds of times a second, and a process for each would
/// measure the fork instead of the failover. Their many logins without a password are not logged (`info`).
const CONFIGURATION: &str = r#"# Dovecot of the lab: the same on both hosts.
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
log_path = /var/log/dovecot.log
info_log_path = /dev/null
protocols = pop3 imap lmtp
listen = *
ssl = no
disable_plaintext_auth = no
mail_location = maildir:/mail/%u
first_valid_uid = 8
first_valid_gid = 8
mail_max_userip_connections = 200
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u /etc/failover/dovecot.users
}
userdb {
  driver = static
  args = uid=8 gid=8 home=/mail/%u allow_all_users=yes
}
service pop3-login {
  service_count = 0
  process_min_avail = 1
  client_limit = 1000
  process_limit = 4
  inet_listener pop3 {
    port = 110
  }
  inet_listener pop3s {
    port = 0
  }
}
service imap-login {
  service_count = 0
  inet_listener imap {
    port = 143
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = *
    port = 24
  }
}
service stats {
  client_limit = 2000
}
protocol lmtp {
  postmaster_address = postmaster@lab
}
"#;
