//! What is laid out, file by file. A further old system adds its entries here.

use std::borrow::Cow;
use std::path::Path;

use failover_shared::script::kind::cluster_manager;

use super::resource_types::resource_types;

/// Something that scripts expect at a fixed place.
pub(super) struct Piece {
    /// Where, below the root.
    pub(super) path: Cow<'static, str>,
    pub(super) what: What,
}

/// What it is.
pub(super) enum What {
    /// A folder.
    Folder,
    /// A file that scripts source or copy.
    Text(String),
    /// A program.
    Program(String),
    /// Another name for a file of the host.
    Link(Cow<'static, str>),
}

/// Everything, in the order in which it is made. `program` is failoverctl, in full.
pub(super) fn pieces(program: &Path) -> Vec<Piece> {
    let quoted = format!("'{}'", program.to_string_lossy().replace('\'', r"'\''"));
    let wrapper = |words: &str| What::Program(format!("#!/bin/sh\nexec {quoted} compat {words} \"$@\"\n"));
    let mut pieces = vec![
        piece("/sbin/sh", link("/bin/sh")),
        piece("/sbin/killall", What::Program(killall(&quoted))),
        // Where psmisc is not installed: `killall -0 NAME` asks whether a process is there.
        piece("/usr/bin/killall", wrapper("killall --")),
        piece("/var/ha/actions", What::Folder),
        piece("/var/ha/resources", What::Folder),
        piece("/var/ha/logs", What::Folder),
        piece("/usr/lib/failsafe", What::Folder),
        piece("/usr/lib/failsafe/ha_cfginfo", wrapper("cfginfo")),
        piece("/usr/lib/failsafe/ha_cfgsum", wrapper("cfgsum")),
        piece("/usr/lib/failsafe/ha_logger", What::Program(LOGGER.to_owned())),
        piece("/var/ha/actions/common.vars", What::Text(COMMON_VARS.to_owned())),
        piece("/var/ha/resources/appclass", What::Program(TEMPLATE.to_owned())),
        piece("/usr/lib/failsafe/bin", What::Folder),
        piece("/usr/lib/failsafe/bin/ha_exec2", wrapper("exec2 --")),
        piece("/usr/lib/failsafe/bin/ha_cilog", What::Program(LOGGER.to_owned())),
        piece("/usr/lib/failsafe/bin/ha_ifdadmin", action(include_str!("commands/ha_ifdadmin.sh"))),
        piece("/usr/lib/failsafe/bin/ha_macconfig2", action(include_str!("commands/ha_macconfig2.sh"))),
        piece("/usr/lib/failsafe/bin/ha_statd2", action(include_str!("commands/ha_statd2.sh"))),
        piece("/usr/lib/failsafe/bin/haStatus", wrapper("hastatus --")),
        piece("/usr/lib/failsafe/bin/cmgr", wrapper("cmgr --")),
        piece("/usr/lib/failsafe/bin/cluster_mgr", link("cmgr")),
        piece("/usr/lib/failsafe/common_scripts", What::Folder),
        piece("/usr/lib/failsafe/common_scripts/scriptlib", What::Text(SCRIPTLIB.to_owned())),
        piece("/usr/lib/failsafe/policies", What::Folder),
        piece("/usr/lib/failsafe/policies/ordered", What::Program(ORDERED.to_owned())),
        piece("/usr/lib/failsafe/resource_types", What::Folder),
        piece(
            "/usr/lib/failsafe/resource_types/template/exclusive",
            action(include_str!("../../../scripts/examples/failsafe2/exclusive")),
        ),
        piece(
            "/usr/lib/failsafe/resource_types/template/start",
            action(include_str!("../../../scripts/examples/failsafe2/start")),
        ),
        piece(
            "/usr/lib/failsafe/resource_types/template/stop",
            action(include_str!("../../../scripts/examples/failsafe2/stop")),
        ),
        piece(
            "/usr/lib/failsafe/resource_types/template/restart",
            action(include_str!("../../../scripts/examples/failsafe2/restart")),
        ),
        piece(
            "/usr/lib/failsafe/resource_types/template/monitor",
            action(include_str!("../../../scripts/examples/failsafe2/monitor")),
        ),
        // Where IRIS FailSafe 2 had the same things.
        piece("/var/cluster/ha/common_scripts", link("/usr/lib/failsafe/common_scripts")),
        piece("/var/cluster/ha/policies", link("/usr/lib/failsafe/policies")),
        piece("/var/cluster/ha/resource_types", link("/usr/lib/failsafe/resource_types")),
        piece("/var/cluster/ha/comm", What::Folder),
        piece("/var/cluster/ha/log", link("/var/log/failover")),
        piece("/usr/cluster/bin", link("/usr/lib/failsafe/bin")),
        piece("/usr/lib/clumanager", What::Folder),
        piece("/usr/lib/clumanager/services", What::Folder),
        piece("/usr/lib/clumanager/library.sh", What::Text(cluster_manager::LIBRARY.to_owned())),
        piece("/usr/lib/clumanager/template", What::Text(USER_SCRIPT.to_owned())),
        piece("/usr/sbin/clustat", wrapper("clustat --")),
        piece("/usr/sbin/sgicm-config-cluster-cmd", wrapper("sgicm --")),
    ];
    pieces.extend(resource_types());
    pieces
}

pub(super) fn piece(path: impl Into<Cow<'static, str>>, what: What) -> Piece {
    Piece { path: path.into(), what }
}

pub(super) fn link(target: impl Into<Cow<'static, str>>) -> What {
    What::Link(target.into())
}

fn action(text: &str) -> What {
    What::Program(text.to_owned())
}

/// Only `-k` is IRIS's alone; everything else goes to the host's own killall(1), whose default signal, unlike that of
/// IRIS, is TERM: a person who types `killall NAME` here must not be surprised by this file's being found first. Where
/// `/sbin` and `/usr/bin` are one folder, the host's own may be this very file.
fn killall(quoted: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # killall -k SECONDS, as IRIS has it; all else is for the host's own killall.\n\
         case \" $*\" in\n\
         *' -k'*) ;;\n\
         *) [ -x /usr/bin/killall ] && ! [ /usr/bin/killall -ef \"$0\" ] && exec /usr/bin/killall \"$@\" ;;\n\
         esac\n\
         exec {quoted} compat killall -- \"$@\"\n"
    )
}

/// Messages go to the step's own output, so to journal and script log, and to syslog where there is one.
const LOGGER: &str = "#!/bin/sh\n\
                      # ${LOGGER} of failover scripts.\n\
                      echo \"$*\" >&2\n\
                      logger -t failsafe -- \"$*\" >/dev/null 2>&1 </dev/null\n\
                      exit 0\n";

const COMMON_VARS: &str = include_str!("common.vars");

/// Where authors of FailSafe 1 begin; also our own example of that kind.
const TEMPLATE: &str = include_str!("../../../scripts/examples/failsafe1.sh");

const SCRIPTLIB: &str = include_str!("scriptlib");

const ORDERED: &str = include_str!("../../../scripts/examples/failsafe2/ordered");

/// Where authors of Cluster Manager begin; also our own example of that kind.
const USER_SCRIPT: &str = include_str!("../../../scripts/examples/clumanager.sh");
