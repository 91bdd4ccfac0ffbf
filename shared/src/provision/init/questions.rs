//! What is asked, in words. The tool that asks only walks through this list.

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Its word: also the name of the tool's flag.
    pub key: &'static str,
    /// The question as it is put.
    pub text: &'static str,
    /// What hangs on the answer.
    pub help: &'static str,
    /// The answer to choose from; empty for a free answer.
    pub choices: &'static [Choice],
    /// Taken when the answer is empty. `None`: it must be answered. `Some("")`: it may be left out.
    pub default: Option<&'static str>,
}

/// One answer to choose.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What is typed.
    pub key: &'static str,
    /// What it means.
    pub text: &'static str,
}

/// What silence of the active host shall mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A person confirms that the silent host is stopped.
    Person,
    /// The arbiter's lease runs out.
    Lease,
    /// A device cuts the silent host off.
    Fence,
    /// The other host starts after the time-out; two may then be active.
    Timeout,
}

/// The questions, in the order in which they are put.
pub const QUESTIONS: &[Question] = &[
    Question {
        key: "pair",
        text: "What is the pair called?",
        help: "The name stands in every message, so that two pairs on one network never mix.",
        choices: &[],
        default: Some("mail"),
    },
    Question {
        key: "master",
        text: "Which host runs the service when all is well (host name)?",
        help: "As `hostname` prints it there.",
        choices: &[],
        default: None,
    },
    Question {
        key: "master-address",
        text: "What is its own address?",
        help: "An address that stays with this host; not the one that moves or that the balancer has.",
        choices: &[],
        default: None,
    },
    Question {
        key: "slave",
        text: "Which host stands by (host name)?",
        help: "As `hostname` prints it there.",
        choices: &[],
        default: None,
    },
    Question {
        key: "slave-address",
        text: "What is its own address?",
        help: "An address that stays with this host; not the one that moves or that the balancer has.",
        choices: &[],
        default: None,
    },
    Question {
        key: "second-path",
        text: "Is there a second link between the hosts (master's and slave's address on it, with a comma)?",
        help: "With one link only, a pulled cable looks like a dead host. Leave it empty if there is none.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "silence",
        text: "When the active host falls silent, nobody can tell whether it is dead or only cut off. What shall happen?",
        help: "Two hosts that write to one store at the same time can destroy it. Waiting keeps the store safe and the \
               service down; going on keeps the service up and risks the store.",
        choices: &[
            Choice {
                key: "wait",
                text: "Wait for a person, who makes sure that the silent host is stopped and says so (`failoverctl \
                       confirm-stopped`). Nothing is ever started twice.",
            },
            Choice {
                key: "lease",
                text: "Let its lease run out: the active host renews it in a folder that both reach, and stops the service \
                       when it cannot. After about a minute the other starts. Needs a watchdog device on both hosts, and \
                       hosts that are never paused, so no virtual machines.",
            },
            Choice {
                key: "fence",
                text: "Cut it off by a device that both reach (its power, its hypervisor, the filer's export), read that \
                       back, and start. Takes seconds.",
            },
            Choice {
                key: "act",
                text: "Start on the other host after the time-out, as CPMS did. If the silent host was only cut off, two are \
                       active; every status line says so.",
            },
        ],
        default: None,
    },
    Question {
        key: "lease-path",
        text: "In which folder do the hosts keep the lease?",
        help: "On storage that both have mounted all the time, with an export and a mount point of its own: not below the \
               folder that is mounted only where the service runs.",
        choices: &[],
        default: Some("/mnt/failover-lease"),
    },
    Question {
        key: "watchdog",
        text: "Which watchdog device resets a host that does not let go (`none` if there is none)?",
        help: "With `none`, a host that stands still as a whole and goes on later can run the service beside its peer; the \
               configuration then says so.",
        choices: &[],
        default: Some("/dev/watchdog"),
    },
    Question {
        key: "fence-agent",
        text: "Which fence agent drives the device?",
        help: "A program of the fence-agents collection, for example fence_ipmilan for a management board, fence_virsh for \
               libvirt, fence_apc_snmp for a power strip. Own commands can be written into the file afterwards.",
        choices: &[],
        default: Some("fence_ipmilan"),
    },
    Question {
        key: "fence-options",
        text: "What is the agent told in both cases (name=value, with commas)?",
        help: "For example `lanplus=1, username=failover`. Its password goes into the file fence.options, mode 0600, as a \
               line `password=…`.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "fence-master",
        text: "What points the agent at the master (name=value, with commas)?",
        help: "For example `ip=192.0.2.31`, the address of its management board, or `plug=1`.",
        choices: &[],
        default: None,
    },
    Question {
        key: "fence-slave",
        text: "What points the agent at the slave?",
        help: "As for the master; it cannot be the same.",
        choices: &[],
        default: None,
    },
    Question {
        key: "start",
        text: "Which commands start the service, in order (separated by ` ;; `)?",
        help: "Run one after the other on the host that takes over; relative names start at the configuration's folder.",
        choices: &[],
        default: Some("./scripts/start_1.sh"),
    },
    Question {
        key: "stop",
        text: "Which commands stop it, in order (separated by ` ;; `)?",
        help: "Run one after the other on the host that gives the service away.",
        choices: &[],
        default: Some("./scripts/shutdown_1.sh"),
    },
    Question {
        key: "process",
        text: "Which process is there as long as the service runs (its name, as `ps -e` shows it)?",
        help: "A stop counts only when no such process is left: an exit code alone proves nothing.",
        choices: &[],
        default: None,
    },
    Question {
        key: "ports",
        text: "On which TCP ports does the service answer (with commas)?",
        help: "They are checked while it runs, and must be closed after it stopped.",
        choices: &[],
        default: Some("110,143"),
    },
    Question {
        key: "mount",
        text: "Which folder is mounted only where the service runs?",
        help: "It must be unmounted before the other host starts. Leave it empty if the store stays mounted on both.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "canary",
        text: "Which mailbox may the checks read (user name)?",
        help: "Mail is then checked as a user reads it: login, list, read a message. Its password goes into the file \
               canary.pass, mode 0600. Leave it empty to check only whether the ports answer.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "haproxy",
        text: "Where is HAProxy's runtime socket (path, or host:port)?",
        help: "Leave it empty for another balancer or none; see docs/config.md, key `balancer`.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "backend",
        text: "Which backends of HAProxy hold the two hosts, under their host names (with commas)?",
        help: "Asked only for HAProxy. Other server names can be written into the file afterwards.",
        choices: &[],
        default: Some("pop3"),
    },
    Question {
        key: "page",
        text: "Who is paged (mail addresses, with commas)?",
        help: "Leave it empty if nobody; then a blocked move waits until someone looks.",
        choices: &[],
        default: Some(""),
    },
    Question {
        key: "relays",
        text: "Over which mail relays (host or host:port, with commas)?",
        help: "Asked only when someone is paged. Name one that does not hang on this service.",
        choices: &[],
        default: Some("localhost"),
    },
];

/// The answers so far.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    given: std::collections::BTreeMap<&'static str, String>,
}

impl Answers {
    /// Takes one answer; an empty one stands for the question's default.
    ///
    /// # Errors
    /// In words: no such question, none of the choices, or an answer that is needed.
    pub fn set(&mut self, key: &str, answer: &str) -> Result<(), String> {
        let Some(question) = QUESTIONS.iter().find(|question| question.key == key) else {
            return Err(format!("there is no question `{key}`"));
        };
        let answer = answer.trim();
        let taken = match (answer, question.default) {
            ("", None) => return Err(format!("`{key}` needs an answer: {}", question.text)),
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        if !question.choices.is_empty() && !question.choices.iter().any(|choice| choice.key == taken) {
            let keys: Vec<&str> = question.choices.iter().map(|choice| choice.key).collect();
            return Err(format!("`{taken}` is none of: {}", keys.join(", ")));
        }
        self.given.insert(question.key, taken.to_owned());
        Ok(())
    }

    /// Whether a question still has to be put: it is not answered, and the answers so far do not make it needless.
    #[must_use]
    pub fn wants(&self, question: &Question) -> bool {
        let needless = match question.key {
            "backend" => self.get("haproxy").is_empty(),
            "relays" => self.get("page").is_empty(),
            "lease-path" | "watchdog" => self.silence() != Some(Silence::Lease),
            "fence-agent" | "fence-options" | "fence-master" | "fence-slave" => self.silence() != Some(Silence::Fence),
            _ => false,
        };
        !needless && !self.given.contains_key(question.key)
    }

    /// The answer to a question, or its default.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        let default = || QUESTIONS.iter().find(|question| question.key == key).and_then(|question| question.default);
        self.given.get(key).map(String::as_str).or_else(default).unwrap_or_default()
    }

    /// The answer to a question, cut at commas.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.get(key).split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// The command lines of a question, cut at ` ;; `.
    #[must_use]
    pub fn commands(&self, key: &str) -> Vec<&str> {
        self.get(key).split(";;").map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// What silence shall mean; `None` as long as it is not answered.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        match self.get("silence") {
            "wait" => Some(Silence::Person),
            "lease" => Some(Silence::Lease),
            "fence" => Some(Silence::Fence),
            "act" => Some(Silence::Timeout),
            _ => None,
        }
    }
}
