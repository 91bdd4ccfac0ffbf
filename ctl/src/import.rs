//! `failoverctl import`: a configuration of CPMS, translated. It is read, never run.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use failover_shared::config::{ImportAnswers, import_cpms, parse};

use crate::exit::Exit;
use crate::out::{Out, Tone};

/// More than any old file has.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Flags of `import`. What the old file does not know; what is not given becomes a marked placeholder.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The old file: failover_config.txt
    file: PathBuf,
    /// Write the new text there, not to the output; a file that is there already is left as it is
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The pair's name
    #[arg(long)]
    pair: Option<String>,
    /// The master's host name
    #[arg(long)]
    master: Option<String>,
    /// The master's own address
    #[arg(long)]
    master_address: Option<String>,
    /// The slave's own address
    #[arg(long)]
    slave_address: Option<String>,
    /// The address of REMOTE_POP3_HOST, through which the mail is checked as well
    #[arg(long)]
    pop3_address: Option<String>,
    /// The mailbox that the POP3 check reads
    #[arg(long)]
    canary: Option<String>,
    /// The name of a process that is there as long as the service runs
    #[arg(long)]
    process: Option<String>,
}

/// The notes go to `notes`, so that the text alone can be put into a file.
pub(crate) fn run(arguments: &Arguments, out: &mut Out<'_>, notes: &mut Out<'_>) -> anyhow::Result<Exit> {
    let text = read(&arguments.file)?;
    let answers = ImportAnswers {
        pair: arguments.pair.clone(),
        master_name: arguments.master.clone(),
        master_address: arguments.master_address.clone(),
        slave_address: arguments.slave_address.clone(),
        pop3_address: arguments.pop3_address.clone(),
        canary_user: arguments.canary.clone(),
        process: arguments.process.clone(),
    };
    let imported = match import_cpms(&text, &answers) {
        Ok(imported) => imported,
        Err(problems) => {
            notes.line(problems.render(notes.is_terminal()))?;
            return Ok(Exit::Failed);
        }
    };
    let place = arguments.output.as_deref();
    match place {
        None => out.part(&imported.ron)?,
        Some(path) => {
            write_new(path, &imported.ron)?;
            out.line(format!("written: {}", path.display()))?;
        }
    }
    for note in &imported.notes {
        notes.folded(&notes.paint(Tone::Warning, "note:"), 6, note)?;
    }
    let name = place.unwrap_or(Path::new("failover.ron"));
    let base = name.parent().unwrap_or(Path::new("."));
    match parse(&imported.ron, name, base) {
        Ok(_) => {
            notes.folded("next:", 6, &format!("look at all of it: failoverctl check {}", name.display()))?;
            Ok(Exit::Ok)
        }
        Err(problems) => {
            let count = problems.list().len();
            let next = format!(
                "{count} places are still to be filled in before it is accepted: failoverctl check {} names them",
                name.display()
            );
            notes.folded("next:", 6, &next)?;
            Ok(Exit::Warning)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut bytes = Vec::new();
    let length =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).with_context(cannot)?;
    anyhow::ensure!(length as u64 <= FILE_BYTES_MAX, "{} is longer than {FILE_BYTES_MAX} bytes", path.display());
    // Old files hold comments in old encodings; the keys are plain.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let cannot = || format!("{} is not written; is it there already?", path.display());
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).with_context(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())
}
