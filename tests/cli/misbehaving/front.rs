//! Owns a small web server in front of `git http-backend`, on this machine alone, that can answer with a status of its own.
//! It ends with its handle.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, thread};

/// How long a connection may say nothing; a bound for the broken case.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A web server for the repositories below one folder.
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: Backend,
    /// Holds the name of a fault; a number is a status to answer with.
    fault: PathBuf,
    ends: AtomicBool,
}

/// What is run for each request.
struct Backend {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

impl Front {
    /// Starts one. `environment` is all that `git http-backend` is given beside what a request says.
    pub(crate) fn start(program: &Path, environment: Vec<(String, String)>, fault: &Path) -> Front {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend: Backend { program: program.to_owned(), environment },
            fault: fault.to_owned(),
            ends: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if own.ends.load(Ordering::Relaxed) {
                    break;
                }
                let own = Arc::clone(&own);
                // Who hangs up early has its answer lost, as it wants.
                thread::spawn(move || drop(own.answer(connection)));
            }
        });
        Front { address, shared }
    }

    /// Returns the address of what is below its folder.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

/// A request without its body.
#[derive(Default)]
struct Head {
    method: String,
    path: String,
    query: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read(from: &mut impl BufRead) -> io::Result<Head> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Head { method: method.into(), path: path.into(), query: query.into(), fields: Vec::new() };
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 || line.trim().is_empty() {
                return Ok(head);
            }
            if let Some((name, value)) = line.split_once(':') {
                head.fields.push((name.trim().to_lowercase(), value.trim().to_owned()));
            }
        }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.field("transfer-encoding") != "chunked" {
            from.take(self.field("content-length").parse().unwrap_or(0)).read_to_end(&mut body)?;
            return Ok(body);
        }
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            from.take(size).read_to_end(&mut body)?;
            from.read_line(&mut line)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

impl Shared {
    fn answer(&self, mut connection: TcpStream) -> io::Result<()> {
        connection.set_read_timeout(Some(SILENCE))?;
        let mut reader = BufReader::new(connection.try_clone()?);
        let head = Head::read(&mut reader)?;
        if head.field("expect") == "100-continue" {
            connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.body(&mut reader)?;
        let fault = fs::read_to_string(&self.fault).unwrap_or_default();
        let (fields, mut content) = match fault.trim().parse::<u16>() {
            Ok(status) => (refusal(status), b"no\n".to_vec()),
            Err(_) => self.run(&head, body)?,
        };
        let (status, fields) = split_status(&fields);
        let length = content.len();
        if fault == "cut" && head.path.ends_with("/git-receive-pack") {
            content.truncate(11);
        }
        write!(connection, "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
        connection.write_all(&content)
    }

    /// Runs `git http-backend`; returns its header and its content.
    fn run(&self, head: &Head, body: Vec<u8>) -> io::Result<(String, Vec<u8>)> {
        let mut command = Command::new(&self.backend.program);
        command.env_clear().envs(self.backend.environment.iter().map(|(name, value)| (name, value)));
        command.env("REQUEST_METHOD", &head.method).env("PATH_INFO", &head.path).env("QUERY_STRING", &head.query);
        command.env("CONTENT_TYPE", head.field("content-type")).env("CONTENT_LENGTH", body.len().to_string());
        command.env("HTTP_CONTENT_ENCODING", head.field("content-encoding"));
        command.env("GIT_PROTOCOL", head.field("git-protocol")).env("REMOTE_USER", "test");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().unwrap();
        thread::spawn(move || drop(stdin.write_all(&body)));
        let mut said = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut said)?;
        child.wait()?;
        let end = said.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((String::from_utf8_lossy(&said[..end + 2]).into_owned(), said.split_off(end + 4)))
    }
}

/// Writes the header of an answer that refuses.
fn refusal(status: u16) -> String {
    let more = match status {
        401 => "WWW-Authenticate: Basic realm=\"hub\"\r\n",
        429 => "Retry-After: 2\r\n",
        // By a clock that is years behind ours.
        503 => "Retry-After: Wed, 21 Oct 2015 07:28:02 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
        _ => "",
    };
    format!("Status: {status} No\r\nContent-Type: text/plain\r\n{more}")
}

/// Takes the status out of a header of CGI.
fn split_status(fields: &str) -> (String, String) {
    let (mut status, mut rest) = ("200 OK".to_owned(), String::new());
    for line in fields.lines() {
        match line.strip_prefix("Status: ") {
            Some(said) => said.clone_into(&mut status),
            None => rest.push_str(&format!("{line}\r\n")),
        }
    }
    (status, rest)
}
