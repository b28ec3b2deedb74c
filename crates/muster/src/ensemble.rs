//! An ensemble: what the options of `run` and `submit` say about many tasks, and the tasks themselves, a part at a time.
//!
//! Files are staged here. A word or argument that names an existing file goes along, under the name it was given, so
//! that the command finds it in its sandbox where it would find it here; see [`staging`] for the names.

mod options;
mod staging;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use muster_proto::task::{
    BadWords, Command, FileRef, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template,
    When, Words as Argv,
};
use muster_proto::{BadPath, Digest, RelPath, Resources};

use crate::expand::{self, BadSources, Column, Group, Pattern, Row, Sources, Words};

pub use options::TaskArgs;
pub use staging::Stage;

use staging::{Below, Named};

/// Many tasks of one kind.
#[derive(Debug)]
pub struct Ensemble {
    sources: Sources,
    /// The command as it was written.
    command: Vec<String>,
    words: Words,
    /// The files of the command's own words.
    fixed: Vec<PathBuf>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    environment: Vec<(String, String)>,
    resources: Resources,
    policy: Policy,
    category: String,
}

/// A file that `--input` or `--unpack` names.
#[derive(Debug)]
struct Input {
    what: What,
    text: String,
    path: Pattern,
    /// Its name in the sandbox, if it was given.
    name: Option<Pattern>,
}

/// What becomes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It is a file or a directory there as it is here.
    Same,
    /// It is unpacked.
    Unpacked,
}

/// A file that `--output` or its like names.
#[derive(Debug)]
struct Output {
    name: Pattern,
    when: When,
}

/// Tasks, or a template, and the files they need.
#[derive(Debug)]
pub struct Prepared<T> {
    /// What is to be submitted.
    pub what: T,
    /// Contents that were not handed out before, and where they are.
    pub files: Vec<(Digest, PathBuf)>,
}

/// Why an ensemble makes no sense, or a file of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnsembleError {
    /// The arguments cannot be had.
    #[error(transparent)]
    Sources(#[from] BadSources),
    /// A command line cannot be executed.
    #[error("task {number}: {source}; give it a file instead")]
    Words {
        /// The task's number.
        number: u64,
        /// What is wrong.
        source: BadWords,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name cannot be used in a sandbox.
    #[error("{name:?} cannot be a file's name in a task's directory: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: BadPath,
    },
    /// Two files would have one name.
    #[error("task {number} would get both {} and {} as {name}; name one of them with --input PATH=NAME", one.display(), other.display())]
    SameName {
        /// The task's number; 0 for what all tasks get.
        number: u64,
        /// The name.
        name: RelPath,
        /// One file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// All tasks would write the same file.
    #[error(
        "every task would bring back {name} and only the last would be left; put a placeholder into --output or --output-dir, such as {{#}}"
    )]
    SharedOutput {
        /// The file.
        name: String,
    },
}

impl Ensemble {
    /// What `args` say; reads the files of arguments that they name.
    ///
    /// # Errors
    /// They make no sense, or a file of arguments cannot be read.
    pub fn new(args: &TaskArgs) -> Result<Ensemble, EnsembleError> {
        let (command, sources) = sources(args)?;
        let mut fixed = Vec::new();
        let mut words = Vec::new();
        for (at, word) in command.iter().enumerate() {
            let shown =
                match Named::own_word(word).filter(|_| !Pattern::new(word, &sources).has_holes()) {
                    // A program without a slash is looked for in PATH, wherever the task runs.
                    Some(named) if at > 0 || word.contains('/') => {
                        fixed.push(PathBuf::from(word));
                        named.as_word(at == 0)
                    }
                    Some(_) | None => word.clone(),
                };
            words.push(shown);
        }
        let input = |what| {
            let sources = &sources;
            move |text: &String| Input::new(what, text, sources)
        };
        let unpacked = args.unpack.iter().map(input(What::Unpacked));
        let inputs = args.inputs.iter().map(input(What::Same)).chain(unpacked);
        let outputs = [
            (When::Always, &args.outputs),
            (When::Success, &args.output_on_success),
            (When::Failure, &args.output_on_failure),
        ];
        let output = |(when, names): (When, &'_ Vec<String>)| {
            let patterns = names.iter().map(|name| Pattern::new(name, &sources));
            patterns.map(|name| Output { name, when }).collect()
        };
        let outputs: Vec<Vec<Output>> = outputs.into_iter().map(output).collect();
        let program = Path::new(&command[0]).file_name();
        let program = program.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Ensemble {
            words: Words::new(&words, &sources),
            fixed,
            inputs: inputs.collect(),
            outputs: outputs.into_iter().flatten().collect(),
            environment: args.environment.clone(),
            resources: args.resources(),
            policy: args.policy(),
            category: args.category.clone().unwrap_or(program),
            command: words,
            sources,
        })
    }

    /// How many tasks there are.
    pub fn len(&self) -> u64 {
        self.sources.len()
    }

    /// What each task occupies.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// A text of the command line whose placeholders each task fills.
    pub fn pattern(&self, text: &str) -> Pattern {
        Pattern::new(text, &self.sources)
    }

    /// Refuses outputs of which every task would overwrite the one before.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn check_outputs(&self, output_dir: &Pattern) -> Result<(), EnsembleError> {
        if self.len() <= 1 || output_dir.has_holes() {
            return Ok(());
        }
        let shared =
            |output: &&Output| !output.name.has_holes() && !is_pattern(&self.text(&output.name));
        match self.outputs.iter().find(shared) {
            Some(output) => Err(EnsembleError::SharedOutput {
                name: self.text(&output.name),
            }),
            None => Ok(()),
        }
    }

    /// What all tasks have in common.
    ///
    /// # Errors
    /// A file cannot be read, or a name cannot be used.
    pub fn template(&self, stage: &mut Stage) -> Result<Prepared<Template>, EnsembleError> {
        let row = Row {
            number: 0,
            values: Vec::new(),
        };
        let mut files = Sandbox::new(0);
        for path in &self.fixed {
            let named = Named::of(&path.to_string_lossy())?;
            files.put(stage, named.name, path)?;
        }
        for input in self.inputs.iter().filter(|input| !input.has_holes()) {
            input.put(stage, &mut files, &row, &row)?;
        }
        // Tasks with arguments bring words of their own; these are for people who look into the journal.
        let words = Argv::new(&self.command);
        let template = Template {
            command: Command::Exec(
                words.map_err(|source| EnsembleError::Words { number: 0, source })?,
            ),
            environment: self.environment.clone(),
            inputs: files.inputs(),
            outputs: self.declared(&row, Holes::Without)?,
            resources: self.resources,
            policy: self.policy.clone(),
            category: self.category.clone(),
        };
        Ok(Prepared {
            what: template,
            files: stage.take_files(),
        })
    }

    /// The tasks of `range`, counted from 0, with their files hashed. Blocks for as long as reading them takes.
    ///
    /// # Errors
    /// A file cannot be read, or a name cannot be used.
    pub fn tasks(
        &self,
        stage: &mut Stage,
        range: Range<u64>,
    ) -> Result<Prepared<Vec<TaskBody>>, EnsembleError> {
        let mut tasks = Vec::new();
        for row in range.filter_map(|at| self.sources.row(at)) {
            tasks.push(self.task(stage, row)?);
        }
        Ok(Prepared {
            what: tasks,
            files: stage.take_files(),
        })
    }

    fn task(&self, stage: &mut Stage, given: Row) -> Result<TaskBody, EnsembleError> {
        let mut files = Sandbox::new(given.number);
        let shown = shown(&given)?;
        for value in given.values.iter().filter(|value| Named::is_file(value)) {
            files.put(stage, Named::of(value)?.name, Path::new(value))?;
        }
        for input in self.inputs.iter().filter(|input| input.has_holes()) {
            input.put(stage, &mut files, &given, &shown)?;
        }
        let outputs = self.declared(&shown, Holes::With)?;
        let words = self.words.fill(&shown);
        for word in &self.words.filled(&shown) {
            let output = outputs
                .iter()
                .any(|output| output.name.as_str() == word.as_str());
            // What an earlier run has brought back is no input of this one.
            if let Some(named) =
                Named::own_word(word).filter(|named| !output && named.is_as_given())
            {
                files.put(stage, named.name, Path::new(word))?;
            }
        }
        let words = if self.sources.is_empty() {
            Argv::default()
        } else {
            Argv::new(&words).map_err(|source| EnsembleError::Words {
                number: given.number,
                source,
            })?
        };
        Ok(TaskBody {
            words,
            inputs: files.inputs().into(),
            outputs: outputs.into(),
        })
    }

    /// The command line of the task at `at`, as it is executed; empty past the end.
    pub fn command_of(&self, at: u64) -> Vec<String> {
        let row = self.shown_row(at);
        row.map_or_else(Vec::new, |row| self.words.fill(&row))
    }

    /// `pattern`, which came from [`Ensemble::pattern`], for the task at `at`.
    pub fn fill(&self, pattern: &Pattern, at: u64) -> String {
        let row = self.shown_row(at);
        row.map_or_else(String::new, |row| pattern.fill(&row))
    }

    fn shown_row(&self, at: u64) -> Option<Row> {
        let row = self.sources.row(at)?;
        Some(shown(&row).unwrap_or(row))
    }

    fn declared(&self, row: &Row, holes: Holes) -> Result<Vec<OutputFile>, EnsembleError> {
        let wanted = self
            .outputs
            .iter()
            .filter(|output| output.name.has_holes() == (holes == Holes::With));
        wanted
            .map(|output| {
                let text = output.name.fill(row);
                let name = staging::inside(&text)?;
                // A pattern says what may be there, and a task that failed has left what it could.
                let need = match output.when {
                    When::Failure => Need::Optional,
                    When::Always | When::Success if is_pattern(&text) => Need::Optional,
                    When::Always | When::Success => Need::Required,
                };
                let when = output.when;
                Ok(OutputFile { name, need, when })
            })
            .collect()
    }

    fn text(&self, pattern: &Pattern) -> String {
        pattern.fill(&Row {
            number: 0,
            values: Vec::new(),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holes {
    With,
    Without,
}

impl Input {
    /// Reads `PATH` or `PATH=NAME`; a file that is there by the whole text has no other name.
    fn new(what: What, text: &str, sources: &Sources) -> Input {
        let split = text.rsplit_once('=').filter(|_| !Path::new(text).exists());
        let (path, name) = split.map_or((text, None), |(path, name)| (path, Some(name)));
        Input {
            what,
            text: text.to_owned(),
            path: Pattern::new(path, sources),
            name: name.map(|name| Pattern::new(name, sources)),
        }
    }

    fn has_holes(&self) -> bool {
        self.path.has_holes() || self.name.as_ref().is_some_and(Pattern::has_holes)
    }

    /// Puts it, or all the files below it, into a sandbox: found by the arguments as `given`, named as `shown`.
    fn put(
        &self,
        stage: &mut Stage,
        files: &mut Sandbox,
        given: &Row,
        shown: &Row,
    ) -> Result<(), EnsembleError> {
        let path = self.path.fill(given);
        let name = match (&self.name, self.what) {
            (Some(name), _) => staging::inside(&name.fill(shown))?,
            (None, What::Same) => Named::of(&path)?.name,
            (None, What::Unpacked) => {
                staging::inside(&without_tar(Named::of(&path)?.name.as_str()))?
            }
        };
        let path = Path::new(&path);
        if self.what == What::Unpacked {
            let (file, _) = stage.file(path)?;
            return files.enter(name, path, file, Form::Archive);
        }
        let failed = |source| EnsembleError::File {
            path: PathBuf::from(&self.text),
            source,
        };
        let Below { alone, together } = staging::files_below(path, &name).map_err(failed)?;
        for (path, name) in alone {
            let name = staging::inside(&name)?;
            files.put(stage, name, &path)?;
        }
        if !together.is_empty() {
            let pack = stage.pack(&together).map_err(failed)?;
            files.enter(name, path, pack, Form::Archive)?;
        }
        Ok(())
    }
}

/// What one task finds when it starts.
struct Sandbox {
    number: u64,
    files: BTreeMap<RelPath, (PathBuf, InputFile)>,
}

impl Sandbox {
    fn new(number: u64) -> Sandbox {
        Sandbox {
            number,
            files: BTreeMap::new(),
        }
    }

    fn put(&mut self, stage: &mut Stage, name: RelPath, path: &Path) -> Result<(), EnsembleError> {
        let (file, executable) = stage.file(path)?;
        let form = if executable {
            Form::Program
        } else {
            Form::Data
        };
        self.enter(name, path, file, form)
    }

    fn enter(
        &mut self,
        name: RelPath,
        path: &Path,
        file: FileRef,
        form: Form,
    ) -> Result<(), EnsembleError> {
        let input = InputFile {
            name: name.clone(),
            file,
            form,
        };
        match self.files.get(&name) {
            Some((one, there)) if there.file != file => Err(EnsembleError::SameName {
                number: self.number,
                name,
                one: one.clone(),
                other: path.to_owned(),
            }),
            Some(_) => Ok(()),
            None => {
                self.files.insert(name, (path.to_owned(), input));
                Ok(())
            }
        }
    }

    fn inputs(self) -> Vec<InputFile> {
        self.files.into_values().map(|(_, input)| input).collect()
    }
}

/// The name of an archive without what says that it is one.
fn without_tar(name: &str) -> String {
    let endings = [".tar.gz", ".tgz", ".tar"].into_iter();
    let mut stems = endings.filter_map(|ending| name.strip_suffix(ending));
    stems
        .find(|stem| !stem.is_empty() && !stem.ends_with('/'))
        .map_or_else(|| format!("{name}.unpacked"), str::to_owned)
}

/// The arguments as the command sees them: files by their names in the sandbox.
fn shown(given: &Row) -> Result<Row, EnsembleError> {
    let shown = |value: &String| match Named::is_file(value) {
        true => Ok(Named::of(value)?.shown),
        false => Ok(value.clone()),
    };
    Ok(Row {
        number: given.number,
        values: given
            .values
            .iter()
            .map(shown)
            .collect::<Result<_, EnsembleError>>()?,
    })
}

/// The command's own words and the sources of arguments that follow them or that options name.
fn sources(args: &TaskArgs) -> Result<(Vec<String>, Sources), EnsembleError> {
    let mut read = |file: &str| {
        let mut text = String::new();
        match file {
            "-" => std::io::stdin().read_to_string(&mut text)?,
            _ => std::fs::File::open(file)?.read_to_string(&mut text)?,
        };
        Ok(text)
    };
    let mut groups = Vec::new();
    if let Some(array) = &args.array {
        groups.push(Group::from(Column::array(array)?));
    }
    let read_named = |file: &String| {
        read(file).map_err(|source| BadSources::File {
            file: file.clone(),
            source,
        })
    };
    if let Some(file) = &args.each_line {
        let lines = read_named(file)?.lines().map(str::to_owned).collect();
        groups.push(Group::from(Column::listed(lines)));
    }
    if let Some(file) = &args.from_csv {
        groups.push(Group::table(file, &read_named(file)?)?);
    }
    let (command, more) = expand::split(&args.command, &mut read)?;
    groups.extend(more);
    Ok((command, Sources::new(groups)?))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests;
