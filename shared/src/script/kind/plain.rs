//! A program and its arguments, without a shell: nothing in them is expanded. Good if it exits 0.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use super::program::not_runnable;
use super::{Action, Call, Kind, Place, Program};
use crate::config::{Fields, Node, Read, Reader, leaf};
use crate::script::Operation;
use crate::script::user::RunAs;

/// Most words of one command.
const WORDS_MAX: usize = 256;

/// `Plain(command: ["/usr/bin/x", "argument"])`; as a resource `Plain(start: […], stop: […], status: […])`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plain {
    /// Program and arguments for each thing that it can be asked. Never empty, and none of them is.
    commands: BTreeMap<Action, Vec<String>>,
}

impl Plain {
    fn command(&self, action: Action) -> &[String] {
        self.commands.get(&action).map_or(&[], Vec::as_slice)
    }
}

impl Kind for Plain {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, place: Place) -> Read<Plain> {
        let example = "[\"/usr/bin/x\", \"argument\"]";
        let mut commands = BTreeMap::new();
        match place {
            Place::List(action) => {
                commands.insert(action, fields.required(reader, "command", example, words)?);
            }
            Place::Resource => {
                let start = fields.required(reader, "start", example, words);
                let stop = fields.required(reader, "stop", example, words);
                let status = fields.optional(reader, "status", words);
                commands.extend([(Action::Start, start?), (Action::Stop, stop?)]);
                commands.extend(status?.map(|command| (Action::Monitor, command)));
            }
        }
        Some(Plain { commands })
    }

    fn name(&self) -> String {
        let program = self.commands.values().next().and_then(|words| words.first());
        program.and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        self.command(action).join(" ")
    }

    fn can(&self, action: Action) -> bool {
        self.commands.contains_key(&action)
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let (program, arguments) = self.command(call.action).split_first().ok_or("it has no command")?;
        // A bare name is looked up in PATH; anything else starts at the service's folder.
        let program: OsString =
            if program.contains('/') { call.directory.join(program).into() } else { program.into() };
        Ok(Program::of(std::iter::once(program).chain(arguments.iter().map(Into::into))))
    }

    fn missing(&self, directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let programs = self.commands.values().filter_map(|words| words.first()).filter(|word| word.contains('/'));
        programs.filter_map(|word| not_runnable(&directory.join(word))).collect()
    }
}

fn words(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Vec<String>> {
    reader.list(node, path, (1, WORDS_MAX), leaf::text)
}
