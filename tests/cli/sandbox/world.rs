//! Owns a sandbox' folder and the environment of all that runs in it, and clears both away at the
//! end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use super::running;

/// The binary under test.
pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_git-dispatch");

/// What the sandbox' user has configured. Housekeeping stays in the foreground, where it ends with
/// its command.
const CONFIGURATION: &str = "\
[user]\n\tname = Test User\n\temail = test@example.org\n\
[init]\n\tdefaultBranch = main\n\
[protocol \"file\"]\n\tallow = always\n\
[gc]\n\tautoDetach = false\n\
[maintenance]\n\tautoDetach = false\n";

/// What all handles into one sandbox share.
pub(super) struct World {
    root: PathBuf,
    environment: BTreeMap<String, String>,
    numbers: AtomicU32,
    /// Removed last, when nothing writes into it any more.
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Arc<World> {
        let folder = tempfile::Builder::new().prefix("git-dispatch-test-").tempdir().unwrap();
        // As git prints it, even where the folder for temporary files is behind a link.
        let root = folder.path().canonicalize().unwrap();
        for name in ["home", "tmp", "out"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let home = root.join("home");
        fs::write(home.join("gitconfig"), CONFIGURATION).unwrap();

        let mut environment = BTreeMap::new();
        let mut set =
            |name: &str, value: &Path| environment.insert(name.into(), value.to_str().unwrap().to_owned());
        set("HOME", &home);
        set("XDG_CONFIG_HOME", &home.join(".config"));
        set("XDG_DATA_HOME", &home.join(".local/share"));
        set("XDG_STATE_HOME", &home.join(".local/state"));
        set("XDG_CACHE_HOME", &home.join(".cache"));
        set("XDG_RUNTIME_DIR", &root.join("tmp"));
        set("TMPDIR", &root.join("tmp"));
        set("GIT_CONFIG_GLOBAL", &home.join("gitconfig"));
        set("GIT_CONFIG_NOSYSTEM", Path::new("1"));
        // A repository around the folder for temporary files is not ours.
        set("GIT_CEILING_DIRECTORIES", root.parent().unwrap());
        set("LC_ALL", Path::new("C.UTF-8"));
        set("TZ", Path::new("UTC"));
        set("RUST_BACKTRACE", Path::new("0"));
        let binaries = Path::new(BINARY).parent().unwrap().to_owned();
        let inherited = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([binaries].into_iter().chain(env::split_paths(&inherited))).unwrap();
        set("PATH", Path::new(&path));
        // What repositories are made as, where a test does not say: the suite runs as well with `reftable`, but for tests that
        // count processes (each write of refs is one), or look at the files of refs.
        if let Some(format) = env::var_os("GIT_DISPATCH_TEST_REFS") {
            set("GIT_DEFAULT_REF_FORMAT", Path::new(&format));
        }
        Arc::new(World { root, environment, numbers: AtomicU32::new(0), _folder: folder })
    }

    /// Returns the folder of everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the whole environment.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Adds a variable to the environment.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Returns a path that nobody has used yet.
    pub(super) fn fresh(&self, kind: &str) -> PathBuf {
        self.root.join("out").join(format!("{}.{kind}", self.numbers.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let home = format!("HOME={}", self.root.join("home").display());
        running::kill_all_with(&home);
    }
}
