//! Owns the ways to a hub: a path, `http://`, `git://` and ssh, each served on this machine alone with the programs of the
//! hub's side replaced by `service.sh`, which misbehaves when told to.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::front::Front;
use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, eventually};
use crate::steps::shown;

/// Where Debian and others put it; it wants to be started by its whole path.
const SSHD: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"];

/// A way to a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Path,
    Http,
    Daemon,
    Ssh,
}

/// A hub that is served.
pub(crate) struct Served {
    /// Its address.
    pub(crate) url: String,
    /// What commands that speak to it are given beside the sandbox' environment.
    pub(crate) environment: Vec<(String, String)>,
    /// What the programs of the hub's side go by.
    state: PathBuf,
    /// Ends with this handle.
    _front: Option<Front>,
    server: Option<Running>,
}

impl Transport {
    /// Says why it cannot be had here, if so.
    pub(crate) fn missing(self) -> Option<&'static str> {
        (self == Transport::Ssh && sshd().is_none()).then_some("no sshd is installed (package openssh-server)")
    }

    /// Serves the sandbox' hub.
    pub(crate) fn serve(self, sandbox: &Sandbox) -> Served {
        let programs = Programs::install(sandbox);
        let hub = sandbox.hub().path().to_owned();
        let mut served = Served {
            url: shown(&hub).to_owned(),
            environment: Vec::new(),
            state: programs.state.clone(),
            _front: None,
            server: None,
        };
        match self {
            Transport::Path => served.environment = vec![programs.exec_path()],
            Transport::Http => {
                let backend = Path::new(&programs.real_exec).join("git-http-backend");
                let environment = [
                    programs.exec_path(),
                    ("PATH".into(), programs.path.clone()),
                    ("HOME".into(), shown(&sandbox.root().join("home")).into()),
                    ("GIT_PROJECT_ROOT".into(), shown(sandbox.root()).into()),
                    ("GIT_HTTP_EXPORT_ALL".into(), "1".into()),
                    ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
                ];
                let front = Front::start(&backend, environment.into(), &programs.state.join("fault"));
                served.url = front.url("hub.git");
                served._front = Some(front);
            }
            Transport::Daemon => {
                let (server, port) = programs.start_daemon(sandbox);
                served.url = format!("git://127.0.0.1:{port}/hub.git");
                served.server = Some(server);
            }
            Transport::Ssh => {
                let (server, port) = programs.start_sshd(sandbox);
                served.url = format!("ssh://127.0.0.1:{port}{}", shown(&hub));
                served.environment = vec![programs.ssh_path(sandbox)];
                served.server = Some(server);
            }
        }
        served
    }
}

impl Served {
    /// Tells the hub's side how to misbehave; nothing: not at all.
    pub(crate) fn misbehave(&self, fault: &str) {
        // Whole or not at all: it is read at any moment.
        let file = self.state.join("fault");
        fs::write(file.with_extension("new"), fault).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// Lets all that was held back land, and waits until it has.
    pub(crate) fn land(&self) {
        let lines = |name: &str| fs::read_to_string(self.state.join(name)).unwrap_or_default().lines().count();
        fs::write(self.state.join("land"), "").unwrap();
        eventually(PATIENCE, || lines("landed") == lines("requests"));
    }

    /// Returns what a server said so far.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(|server| server.output().stderr).unwrap_or_default()
    }
}

/// The programs of the hub's side in one sandbox.
struct Programs {
    /// Where `service.sh` stands under the names that git looks for.
    exec: PathBuf,
    state: PathBuf,
    real_exec: String,
    path: String,
}

impl Programs {
    fn install(sandbox: &Sandbox) -> Programs {
        let (exec, state) = (sandbox.root().join("exec"), sandbox.root().join("service"));
        fs::create_dir_all(&exec).unwrap();
        fs::create_dir_all(&state).unwrap();
        let ask = |line: &str| sandbox.repo(".").run("sh", &[], &["-c", line]).success().stdout;
        let said = ask("echo \"$PATH\"; command -v git; git --exec-path");
        let mut lines = said.lines().map(str::to_owned);
        let (path, git, real_exec) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
        let script = include_str!("service.sh")
            .replace("@HOME@", &quoted(&sandbox.root().join("home")))
            .replace("@STATE@", &quoted(&state))
            .replace("@GIT@", &quoted(Path::new(&git)));
        for name in ["git", "git-receive-pack", "git-upload-pack"] {
            executable(&exec.join(name), &script);
        }
        Programs { exec, state, real_exec, path }
    }

    fn exec_path(&self) -> (String, String) {
        ("GIT_EXEC_PATH".into(), shown(&self.exec).into())
    }

    fn start_daemon(&self, sandbox: &Sandbox) -> (Running, u16) {
        let port = free_port();
        let program = format!("{}/git-daemon", self.real_exec);
        let base = format!("--base-path={}", sandbox.root().display());
        let args = [
            "--reuseaddr",
            // Those that hang would count as children for good.
            "--max-connections=0",
            "--export-all",
            "--enable=receive-pack",
            "--listen=127.0.0.1",
            &format!("--port={port}"),
            &base,
            "--informative-errors",
        ];
        // It looks for git on its path alone.
        let path = format!("{}:{}", self.exec.display(), self.path);
        let server = sandbox.repo(".").start(&program, &[("PATH", &path)], &args);
        await_port(port);
        (server, port)
    }

    /// A server for this user alone, with keys of its own; what is asked of it runs in the sandbox.
    fn start_sshd(&self, sandbox: &Sandbox) -> (Running, u16) {
        let ssh = sandbox.root().join("ssh");
        fs::create_dir_all(&ssh).unwrap();
        let root = sandbox.repo(".");
        for key in ["host", "user"] {
            let file = ssh.join(key);
            root.run("ssh-keygen", &[], &["-q", "-t", "ed25519", "-N", "", "-f", shown(&file)]).success();
        }
        let port = free_port();
        let at = |name: &str| ssh.join(name).display().to_string();
        let session = format!(
            "#!/bin/sh\nexport HOME={} PATH={}:\"$PATH\" GIT_CONFIG_NOSYSTEM=1\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
            quoted(&sandbox.root().join("home")),
            quoted(&self.exec)
        );
        executable(&ssh.join("session"), &session);
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nForceCommand {}\n\
             AcceptEnv GIT_PROTOCOL\nLogLevel VERBOSE\nMaxStartups 100\n",
            at("host"),
            at("user.pub"),
            at("session")
        );
        let client = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
            at("user")
        );
        fs::write(ssh.join("server.conf"), server).unwrap();
        fs::write(ssh.join("client.conf"), client).unwrap();
        // Started by root it wants this folder, which a package makes at boot.
        let _ = fs::create_dir_all("/run/sshd");
        let server = root.start(sshd().unwrap(), &[], &["-D", "-e", "-f", &at("server.conf")]);
        await_port(port);
        (server, port)
    }

    /// A `PATH` on which ssh goes by the sandbox' configuration instead of the user's.
    fn ssh_path(&self, sandbox: &Sandbox) -> (String, String) {
        let real = sandbox.repo(".").run("sh", &[], &["-c", "command -v ssh"]).success().stdout;
        let folder = sandbox.root().join("ssh/bin");
        fs::create_dir_all(&folder).unwrap();
        let config = sandbox.root().join("ssh/client.conf");
        let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", real.trim(), quoted(&config));
        executable(&folder.join("ssh"), &script);
        ("PATH".into(), format!("{}:{}", folder.display(), self.path))
    }
}

fn sshd() -> Option<&'static str> {
    SSHD.into_iter().find(|path| Path::new(path).exists())
}

/// Points a clone at the hub as it is served, and lets it take it for the hub that it knows.
pub(crate) fn point(clone: &Repo, from: &str, to: &str) {
    clone.git(&["config", "remote.origin.url", to]);
    let known = clone.path().join(".git/dispatch/hub.json");
    if let Ok(text) = fs::read_to_string(&known) {
        fs::write(known, text.replace(from, to)).unwrap();
    }
}

pub(crate) fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", shown(path).replace('\'', "'\\''"))
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(super) fn await_port(port: u16) {
    eventually(PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
}
