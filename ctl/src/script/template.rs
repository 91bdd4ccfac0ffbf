//! The templates: our own examples, which the tests run. A further kind is one more entry of the table.

/// What `script new` writes for a kind, and how it is named in the configuration.
pub(super) struct Template {
    pub(super) kind: &'static str,
    pub(super) files: Files,
    /// An entry of `resources`, with NAME and PATH.
    pub(super) entry: &'static str,
    /// What it takes besides, for whoever has just begun.
    pub(super) needs: &'static str,
}

/// What lies at the script's place.
pub(super) enum Files {
    /// A program.
    Program(&'static str),
    /// A program in which its own name stands, as this word in the example.
    Named(&'static str, &'static str),
    /// A text that another program reads; its function has this name in the example.
    Function(&'static str, &'static str),
    /// A unit of systemd, which has this name in the example.
    Unit(&'static str, &'static str),
    /// A folder of programs.
    Folder(&'static [(&'static str, &'static str)]),
}

const COMPAT: &str = "it sources what `failoverctl compat install --root /` lays out";
const PLAIN: &str = include_str!("../../../scripts/examples/plain.sh");

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        kind: "plain",
        files: Files::Program(PLAIN),
        entry: r#"Plain(name: "NAME", start: ["PATH", "start"], stop: ["PATH", "stop"], status: ["PATH", "status"])"#,
        needs: "",
    },
    Template {
        kind: "cpms",
        files: Files::Program(PLAIN),
        entry: r#"Step(name: "NAME", start: "'PATH' start", stop: "'PATH' stop", status: "'PATH' status")"#,
        needs: "",
    },
    Template {
        kind: "failsafe1",
        files: Files::Program(include_str!("../../../scripts/examples/failsafe1.sh")),
        entry: r#"FailSafe1(name: "NAME", script: "PATH")"#,
        needs: COMPAT,
    },
    Template {
        kind: "failsafe2",
        files: Files::Folder(&[
            ("exclusive", include_str!("../../../scripts/examples/failsafe2/exclusive")),
            ("start", include_str!("../../../scripts/examples/failsafe2/start")),
            ("stop", include_str!("../../../scripts/examples/failsafe2/stop")),
            ("restart", include_str!("../../../scripts/examples/failsafe2/restart")),
            ("monitor", include_str!("../../../scripts/examples/failsafe2/monitor")),
        ]),
        entry: r#"FailSafe2(name: "NAME", resource_type: "PATH", attributes: {"command": "/bin/sleep 86400"})"#,
        needs: COMPAT,
    },
    Template {
        kind: "clumanager",
        files: Files::Function(include_str!("../../../scripts/examples/clumanager.sh"), "myapp"),
        entry: r#"ClusterManager(name: "NAME", script: "PATH", timeout: "60s")"#,
        needs: "it is read by bash",
    },
    Template {
        kind: "ocf",
        files: Files::Named(include_str!("../../../scripts/examples/ocf.sh"), "web"),
        entry: r#"Ocf(name: "NAME", agent: "PATH", parameters: {"state": "/run/NAME.running"})"#,
        needs: "in /usr/lib/ocf/resource.d/PROVIDER it is found by its short name, PROVIDER/NAME",
    },
    Template {
        kind: "lsb",
        files: Files::Named(include_str!("../../../scripts/examples/lsb.sh"), "myapp"),
        entry: r#"Lsb(name: "NAME", script: "PATH")"#,
        needs: "its place is /etc/init.d; init must not start it by itself: `update-rc.d NAME disable`",
    },
    Template {
        kind: "systemd",
        files: Files::Unit(include_str!("../../../scripts/examples/systemd.service"), "myapp"),
        entry: r#"Systemd(name: "NAME", unit: "NAME.service")"#,
        needs: "copy it to /etc/systemd/system and run `systemctl daemon-reload`; do not enable it",
    },
];

/// The kinds' words.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|template| template.kind)
}
