//! Bringing back what tasks left, to where Python wants it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_node::client::{Client, ClientError, Target};
use muster_proto::RelPath;
use muster_proto::outcome::{Outcome, Ran, ReturnedFile, Stream, Verdict};
use muster_proto::task::FileRef;

use crate::outcome::{self, Brought, Known, Text};
use crate::spec::Landing;

/// Brings files of outcomes.
#[derive(Debug)]
pub struct Bringer {
    streams: PathBuf,
}

/// An outcome and what is known of its task.
type Ours = ((Known, Vec<Landing>), Outcome);

/// Files by the directory they go to.
type Wanted = BTreeMap<PathBuf, Vec<Target>>;

impl Bringer {
    /// Long streams are kept in `streams` until they are read.
    pub fn new(streams: PathBuf) -> Bringer {
        Bringer { streams }
    }

    /// Brings the files of `ours`. A task whose files cannot be written here says so in its outcome.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn bring(
        &self,
        client: &Client,
        ours: Vec<Ours>,
    ) -> Result<Vec<outcome::Outcome>, ClientError> {
        let mut together = Wanted::new();
        let mut alone = Vec::with_capacity(ours.len());
        for ((_, landings), outcome) in &ours {
            let (wanted, brought) = match &outcome.verdict {
                Verdict::Ran { ran, .. } => self.wanted(outcome, ran, landings),
                Verdict::GivenUp(_) | Verdict::Cancelled => Default::default(),
            };
            for (root, targets) in &wanted {
                together
                    .entry(root.clone())
                    .or_default()
                    .extend(targets.iter().cloned());
            }
            alone.push((wanted, brought));
        }
        let all = get(client, together).await;
        let mut ended = Vec::with_capacity(ours.len());
        for (((known, _), outcome), (wanted, mut brought)) in ours.into_iter().zip(alone) {
            if all.is_err()
                && let Err(error) = get(client, wanted).await
            {
                match error {
                    ClientError::File { .. }
                    | ClientError::Absent { .. }
                    | ClientError::Transfer(_) => brought.flaw = Some(error.to_string()),
                    ClientError::Unreachable { .. }
                    | ClientError::Refused { .. }
                    | ClientError::Version { .. }
                    | ClientError::NotTaken(_)
                    | ClientError::TooLarge { .. }
                    | ClientError::InputChanged { .. } => return Err(error),
                }
            }
            ended.push(outcome::Outcome::of(known, &outcome, brought));
        }
        Ok(ended)
    }

    /// What is to be brought for one outcome, and what will then have been.
    fn wanted(&self, outcome: &Outcome, ran: &Ran, landings: &[Landing]) -> (Wanted, Brought) {
        let mut wanted = Wanted::new();
        let mut brought = Brought::default();
        let mut met = vec![false; landings.len()];
        for file in &ran.outputs {
            let found = landings
                .iter()
                .position(|landing| landing.covers(file.name.as_str()));
            if let Some(at) = found {
                met[at] = true;
            }
            let path = found.and_then(|at| landings[at].place(file.name.as_str()));
            match path.as_deref().map(|path| target(path, file)) {
                Some(Some((root, target))) => wanted.entry(root).or_default().push(target),
                Some(None) => brought.flaw = Some(format!("{} cannot be a file's name", file.name)),
                None => {}
            }
            let name = file.name.as_str().to_owned();
            brought.outputs.push((name, path, file.file.bytes));
        }
        let unmet = landings.iter().zip(met);
        let unmet = unmet.filter(|(landing, met)| landing.required && !met);
        brought.missing = unmet.map(|(landing, _)| landing.name.clone()).collect();
        let mut text = |stream: &Stream, kind: &str| match stream.file {
            None if stream.tail.is_empty() => Text::Empty,
            None => Text::Here(stream.tail.clone()),
            Some(digest) => {
                let name = format!("{}.{kind}", outcome.task);
                let file = FileRef {
                    digest,
                    bytes: stream.bytes,
                };
                if let Ok(name) = RelPath::new(&name) {
                    let executable = false;
                    wanted
                        .entry(self.streams.clone())
                        .or_default()
                        .push(Target {
                            name,
                            file,
                            executable,
                        });
                }
                Text::File(self.streams.join(name))
            }
        };
        brought.stdout = text(&ran.stdout, "stdout");
        brought.stderr = text(&ran.stderr, "stderr");
        (wanted, brought)
    }
}

impl Landing {
    /// Whether a file that came back under `name` is what was declared.
    fn covers(&self, name: &str) -> bool {
        let Some((dir, last)) = split(&self.name).filter(|(_, last)| is_pattern(last)) else {
            return self.below(name).is_some();
        };
        let rest = match dir {
            "" => Some(name),
            dir => name
                .strip_prefix(dir)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        // The worker has matched the pattern; here it is enough that none of the others fits better.
        rest.is_some() && !last.is_empty()
    }

    fn below<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.strip_prefix(&self.name)?;
        if rest.is_empty() {
            return Some(rest);
        }
        rest.strip_prefix('/')
    }

    /// Where a file that came back under `name` goes: a file to the path, those of a directory or pattern below it.
    fn place(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.as_ref()?;
        let (dir, last) = split(&self.name)?;
        if is_pattern(last) {
            let rest = name.strip_prefix(dir).unwrap_or(name);
            return Some(path.join(rest.trim_start_matches('/')));
        }
        match self.below(name) {
            Some("") | None => Some(path.clone()),
            Some(rest) => Some(path.join(rest)),
        }
    }
}

/// The directory of a name, and what is after it.
fn split(name: &str) -> Option<(&str, &str)> {
    Some(name.rsplit_once('/').unwrap_or(("", name)))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// A file as its directory and its name there.
fn target(path: &Path, file: &ReturnedFile) -> Option<(PathBuf, Target)> {
    let name = RelPath::new(path.file_name()?.to_str()?).ok()?;
    let root = path.parent()?.to_owned();
    let target = Target {
        name,
        file: file.file,
        executable: file.executable,
    };
    Some((root, target))
}

async fn get(client: &Client, wanted: Wanted) -> Result<(), ClientError> {
    for (root, targets) in wanted {
        client.get_files(&root, &targets).await?;
    }
    Ok(())
}
