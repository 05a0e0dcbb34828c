//! Owns a headless Chromium, spoken to over its debugging pipe: a page is opened, asked and looked at, and all that it
//! complained of or asked the network for is kept. Without Chromium, tests say that they were skipped.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox};
use crate::steps::shown;

/// A page in a browser.
pub(crate) struct Browser {
    to: File,
    from: Receiver<Value>,
    early: VecDeque<Value>,
    session: Value,
    next: u64,
    /// What the page complained of, and the addresses that it asked for.
    pub(crate) complaints: Vec<String>,
    pub(crate) requests: Vec<String>,
    _running: Running,
}

impl Browser {
    /// Opens a file; nothing where there is no Chromium.
    pub(crate) fn open(sandbox: &Sandbox, page: &Path) -> Option<Browser> {
        let root = sandbox.repo(".");
        let found = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| root.run("sh", &[], &["-c", &format!("command -v {name}")]).code == 0);
        let Some(program) = found else {
            println!("SKIPPED: chromium is not installed");
            return None;
        };
        root.run("mkfifo", &[], &["to-browser", "from-browser"]).success();
        let both = |name: &str| File::options().read(true).write(true).open(sandbox.root().join(name)).unwrap();
        let (to, out) = (both("to-browser"), both("from-browser"));
        let line = format!(
            "exec {program} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --remote-debugging-pipe --user-data-dir={} about:blank 3<to-browser 4>from-browser",
            shown(&sandbox.root().join("home/browser"))
        );
        let running = root.start("sh", &[], &["-c", &line]);
        let (tell, from) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(out);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                if serde_json::from_slice(&message).is_ok_and(|told| tell.send(told).is_err()) {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Browser {
            to,
            from,
            early: VecDeque::new(),
            session: Value::Null,
            next: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
            _running: running,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.navigate", json!({"url": format!("file://{}", shown(page))}));
        browser.until("Page.loadEventFired");
        Some(browser)
    }

    /// Says something to the browser and returns its answer.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let told = self.hear();
            if told["id"] == self.next {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            self.early.push_back(told);
        }
    }

    /// Returns what an expression of the page's language is worth.
    #[track_caller]
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "text": if key.len() == 1 { key } else { "" }}),
            );
        }
    }

    /// Takes a picture of the page as it stands.
    pub(crate) fn picture(&mut self) -> usize {
        self.call("Page.captureScreenshot", json!({"format": "png"}))["data"].as_str().map_or(0, str::len)
    }

    fn until(&mut self, event: &str) {
        while !self.early.iter().any(|told| told["method"] == event) {
            let told = self.hear();
            self.early.push_back(told);
        }
        self.early.clear();
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        let told = self.from.recv_timeout(PATIENCE).expect("the browser says nothing");
        let params = &told["params"];
        match told["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" | "Network.loadingFailed" => {
                self.complaints.push(params.to_string());
            }
            "Network.requestWillBeSent" => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
        told
    }
}

/// Removes what a browser leaves in a sandbox before that is removed itself.
pub(crate) fn close(browser: Browser, sandbox: &Sandbox) {
    drop(browser);
    let _ = fs::remove_dir_all(sandbox.root().join("home/browser"));
}
