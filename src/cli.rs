//! The command line: options that every command has, the list of commands, and what happens around one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::ambient::Ambient;
use crate::commands::{self, Context};
use crate::exec::Signals;
use crate::exit::{self, Exit};
use crate::ui::Ui;

/// Turn a git remote into the queue, lock service, status board and result store of a fleet of workers.
#[derive(Debug, Parser)]
#[command(
    name = "git-dispatch",
    bin_name = "git dispatch",
    version,
    propagate_version = true,
    max_term_width = 100,
    // Ours says what git lets through: `git dispatch --help` opens a manual page.
    disable_help_flag = true,
    after_help = "Start with `git dispatch demo`, or in a repository of yours:\n  \
                  git dispatch enqueue specs/*.md && git dispatch run && git dispatch collect"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, action = clap::ArgAction::Append)]
    pub folders: Vec<PathBuf>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more of what happens
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub color: Color,
    /// Print help; --help, behind a command, says more and has examples
    #[arg(short, long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

impl Global {
    /// The options before any was read.
    pub const fn unread(json: bool) -> Self {
        Self { folders: vec![], json, quiet: false, verbose: false, color: Color::Auto, help: None }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands; what each is, is told by its arguments' own doc comment, which is its help.
#[expect(missing_docs, reason = "the help is the doc comment of the arguments")]
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(about = "Setting up: write git-dispatch.toml and name this node")]
    Init(commands::init::Args),
    #[command(about = "Setting up: see what is wrong, here and on the remote, and mend it")]
    Doctor(commands::doctor::Args),
    #[command(about = "Setting up: see a whole day of work in a scratch folder")]
    Demo(commands::demo::Args),
    #[command(about = "Setting up: print completions for a shell")]
    Completions(commands::completions::Args),
    #[command(about = "Setting up: print or install manual pages")]
    Man(commands::man::Args),
    #[command(about = "The queue: put specs on it")]
    Enqueue(commands::enqueue::Args),
    #[command(about = "The queue: see it")]
    List(commands::list::Args),
    #[command(about = "The queue: see everything of one task")]
    Show(commands::show::Args),
    #[command(about = "The queue: see at a glance what needs a person, what runs, what is left")]
    Status(commands::status::Args),
    #[command(about = "The queue: read the output of a task")]
    Logs(commands::logs::Args),
    #[command(about = "The queue: call tasks off for good")]
    Cancel(commands::cancel::Args),
    #[command(about = "The queue: make failed, conflicting or cancelled tasks pending again")]
    Retry(commands::retry::Args),
    #[command(about = "The queue: wait until tasks are past running")]
    Wait(commands::wait::Args),
    #[command(about = "Working: claim tasks and run them until nothing is left")]
    Run(commands::run::Args),
    #[command(about = "Working: claim tasks for yourself, without running them")]
    Claim(commands::claim::Args),
    #[command(about = "Working: publish what you made on a task branch")]
    Finish(commands::finish::Args),
    #[command(about = "Working: give back what you claimed")]
    Release(commands::release::Args),
    #[command(about = "Working: say from inside a slot that the task there has ended")]
    Done(commands::done::Args),
    #[command(about = "Working: join the tmux session in which a task is worked on")]
    Attach(commands::attach::Args),
    #[command(hide = true)]
    StartAgent(commands::start_agent::Args),
    #[command(about = "Working: push one task to one node")]
    Assign(commands::assign::Args),
    #[command(about = "Working: assign what can be pushed to nodes with a free slot")]
    Schedule(commands::schedule::Args),
    #[command(about = "Working: let a node, or the fleet, take no new work")]
    Pause(commands::pause::PauseArgs),
    #[command(about = "Working: let a node, or the fleet, take work again")]
    Resume(commands::pause::ResumeArgs),
    #[command(about = "Working: see the nodes of the fleet")]
    Nodes(commands::nodes::Args),
    #[command(about = "Working: take the claims of lost nodes back")]
    Reap(commands::reap::Args),
    #[command(about = "Working: see the results that wait in this clone for the hub")]
    Outbox(commands::outbox::Args),
    #[command(about = "Merging: merge finished work into the target, in order")]
    Collect(commands::collect::Args),
    #[command(about = "Merging: carry tasks and results as files, to nodes that never see the hub")]
    Bundle(commands::bundle::Args),
    #[command(about = "Merging: see which finished tasks would conflict, before anything is merged")]
    Conflicts(commands::conflicts::Args),
    #[command(about = "Merging: remove what is past its time")]
    Gc(commands::gc::Args),
    #[command(about = "Automation: put specs that are dropped into folders on the queue")]
    Inbox(commands::inbox::Args),
    #[command(about = "Automation: keep the queue filled by a generator that looks at what was done")]
    Factory(commands::factory::Args),
    #[command(about = "Looking: see the fleet live, in the terminal")]
    Top(commands::top::Args),
    #[command(about = "Looking: see the events of all tasks")]
    Log(commands::log::Args),
    #[command(about = "Looking: see what was done, also as a page or as Markdown")]
    Report(commands::report::Args),
    #[command(about = "Looking: see where a task stands, as Markdown for an issue")]
    Comment(commands::comment::Args),
    #[command(about = "Looking: what an error code means, and what to do")]
    Explain(commands::explain::Args),
    #[command(hide = true)]
    CompleteWords(commands::completions::WordsArgs),
}

/// The definition of the commands, with the examples of each in its long help.
pub fn command() -> clap::Command {
    commands::examples::added(Cli::command())
}

/// Reads a command line.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut plain = Cli::command();
    let matches = match plain.try_get_matches_from_mut(&arguments) {
        // Only help shows the examples, and adding them takes as long as all the rest.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => command().try_get_matches_from(arguments)?,
        matches => matches?,
    };
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut plain))
}

/// Takes the world in, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    let Ok(ambient) = Ambient::system() else {
        return Exit::Failed.into();
    };
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    match parse(arguments) {
        Ok(cli) => run(cli, ambient).into(),
        Err(error) => {
            let ui = Ui::plain(&ambient, wants_json);
            let exit = ui.usage(&error);
            ui.conclude(exit).into()
        }
    }
}

fn run(cli: Cli, mut ambient: Ambient) -> Exit {
    for folder in &cli.global.folders {
        ambient.cwd = ambient.cwd.join(folder);
    }
    let ui = Ui::new(&cli.global, &ambient);
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return ui.failure(&miette::miette!("signals cannot be handled: {error}")),
    };
    let context = Context { ambient, ui, signals };
    let command = cli.command.unwrap_or(Command::Status(commands::status::Args::default()));
    let result = carry_out(&context, command);
    let exit = match (context.signals.exit_code(), &result) {
        // Whatever came of it, the caller's shell wants to know that a signal ended it.
        (Some(code), result) => {
            if let Err(error) = result {
                context.ui.failure(error);
            }
            Exit::Signal(code)
        }
        (None, Ok(exit)) => *exit,
        (None, Err(error)) => context.ui.failure(error),
    };
    context.ui.conclude(exit)
}

fn carry_out(context: &Context, command: Command) -> commands::Outcome {
    match command {
        Command::Init(args) => commands::init::run(context, &args),
        Command::Doctor(args) => commands::doctor::run(context, &args),
        Command::Demo(args) => commands::demo::run(context, &args),
        Command::Comment(args) => commands::comment::run(context, &args),
        Command::Factory(args) => commands::factory::run(context, &args),
        Command::Inbox(args) => commands::inbox::run(context, &args),
        Command::Enqueue(args) => commands::enqueue::run(context, &args),
        Command::List(args) => commands::list::run(context, &args),
        Command::Show(args) => commands::show::run(context, &args),
        Command::Status(args) => commands::status::run(context, &args),
        Command::Logs(args) => commands::logs::run(context, &args),
        Command::Cancel(args) => commands::cancel::run(context, &args),
        Command::Retry(args) => commands::retry::run(context, &args),
        Command::Wait(args) => commands::wait::run(context, &args),
        Command::Run(args) => commands::run::run(context, &args),
        Command::Claim(args) => commands::claim::run(context, &args),
        Command::Finish(args) => commands::finish::run(context, &args),
        Command::Release(args) => commands::release::run(context, &args),
        Command::Done(args) => commands::done::run(context, &args),
        Command::Attach(args) => commands::attach::run(context, &args),
        Command::StartAgent(args) => commands::start_agent::run(context, &args),
        Command::Assign(args) => commands::assign::run(context, &args),
        Command::Schedule(args) => commands::schedule::run(context, &args),
        Command::Pause(args) => commands::pause::pause(context, &args),
        Command::Resume(args) => commands::pause::resume(context, &args),
        Command::Nodes(args) => commands::nodes::run(context, &args),
        Command::Reap(args) => commands::reap::run(context, &args),
        Command::Outbox(args) => commands::outbox::run(context, &args),
        Command::Collect(args) => commands::collect::run(context, &args),
        Command::Bundle(args) => commands::bundle::run(context, &args),
        Command::Gc(args) => commands::gc::run(context, &args),
        Command::Conflicts(args) => commands::conflicts::run(context, &args),
        Command::Log(args) => commands::log::run(context, &args),
        Command::Top(args) => commands::top::run(context, &args),
        Command::Report(args) => commands::report::run(context, &args),
        Command::Explain(args) => commands::explain::run(context, &args),
        Command::Completions(args) => commands::completions::run(context, &args),
        Command::Man(args) => commands::man::run(context, &args),
        Command::CompleteWords(args) => commands::completions::words(context, &args),
    }
}

/// Decides the exit code of an error.
pub fn exit_of(error: &miette::Report) -> Exit {
    exit::of_error(error.code().map(|code| code.to_string()).as_deref())
}
