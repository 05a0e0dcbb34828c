//! Signatures by ssh keys on commits: made, taken apart, and verified with ssh-keygen(1).
//!
//! Owns the bytes that are signed and the one door to ssh-keygen. Whose signature counts for what is `protocol::trust`'s.
//!
//! What is signed is the commit without its signature, behind a context that says where it counts: a commit that is pushed
//! to another repository has another context there. The namespace is our own, so that no commit that somebody signs for
//! other reasons (`git commit -S`) can pass for one of ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gix::ObjectId;

use super::error::{Error, Result};
use super::objects::NewCommit;
use super::repo::{Identity, Repo};
use crate::exec::cancel::Cancel;
use crate::exec::{Ended, Limits, collect_output};

/// What our signatures are for.
const NAMESPACE: &str = "git-dispatch";

/// The header of a commit that holds its signature.
const HEADER: &str = "gpgsig";

/// How long ssh-keygen may take; an agent may ask a person to touch a key.
const PATIENCE: Duration = Duration::from_secs(60);

/// A larger signature is none.
const LARGEST: usize = 64 * 1024;

/// A key to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The program: ssh-keygen, or what stands in for it.
    pub program: String,
    /// The file with the private key, or with the public key of one that an agent holds.
    pub key: PathBuf,
}

/// Whose signatures are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The file of allowed signers.
    pub allowed: PathBuf,
    /// The file of revoked keys.
    pub revoked: Option<PathBuf>,
}

/// A commit and its signature, apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The commit's bytes without the signature.
    pub payload: Vec<u8>,
    /// The signature, armoured.
    pub signature: Vec<u8>,
}

/// Takes a commit object apart; `None` where it has no signature, or more than one.
pub fn take_apart(commit: &[u8]) -> Option<Signed> {
    let end = commit.windows(2).position(|pair| pair == b"\n\n")? + 1;
    let (headers, message) = commit.split_at(end);
    let (mut payload, mut signatures, mut inside) = (Vec::with_capacity(commit.len()), Vec::new(), false);
    for line in headers.split_inclusive(|byte| *byte == b'\n') {
        let begun = line.strip_prefix(HEADER.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        match (begun, line.strip_prefix(b" ")) {
            (Some(first), _) => {
                signatures.push(first.to_vec());
                inside = true;
            }
            (None, Some(next)) if inside => signatures.last_mut()?.extend_from_slice(next),
            _ => {
                inside = false;
                payload.extend_from_slice(line);
            }
        }
    }
    payload.extend_from_slice(message);
    match signatures.as_slice() {
        [one] if one.len() <= LARGEST => Some(Signed { payload, signature: one.clone() }),
        _ => None,
    }
}

impl Repo {
    /// Writes a commit signed for this context; no ref is moved.
    pub fn write_signed_commit(&self, new: &NewCommit<'_>, signer: &Signer, context: &str) -> Result<ObjectId> {
        let failed = |error: gix::Error| Error::storage("cannot write a commit", &error);
        let mut commit = new.to_object();
        let mut bytes = Vec::new();
        gix::objs::WriteTo::write_to(&commit, &mut bytes).map_err(|error| Error::Storage {
            what: "cannot write a commit".to_owned(),
            detail: error.to_string(),
        })?;
        let signature = sign(signer, &in_context(context, &bytes))?;
        commit.extra_headers.push((HEADER.into(), signature.trim_end().into()));
        Ok(self.gix.write_object(&commit).map_err(failed)?.detach())
    }

    /// Says whether a commit is signed for this context by a key that is known as this person's, and valid now.
    pub fn is_signed_by(&self, commit: ObjectId, principal: &str, known: &Known, context: &str) -> Result<bool> {
        let object =
            self.gix.find_object(commit).map_err(|error| Error::storage("cannot read a commit", &error))?;
        let Some(signed) = take_apart(&object.data).filter(|_| object.kind == gix::object::Kind::Commit) else {
            return Ok(false);
        };
        verify(&signed, principal, known, context)
    }

    /// Returns who committed; `None` where that cannot be read.
    pub fn committer(&self, commit: ObjectId) -> Option<Identity> {
        let commit = self.gix.find_commit(commit).ok()?;
        let who = commit.committer().ok()?;
        Some(Identity { name: who.name.to_string(), email: who.email.to_string() })
    }

    /// Returns the names and addresses in a commit: its author's and its committer's.
    pub fn people_of(&self, commit: ObjectId) -> Vec<String> {
        let Ok(commit) = self.gix.find_commit(commit) else { return Vec::new() };
        let people = [commit.author().ok(), commit.committer().ok()].into_iter().flatten();
        people.flat_map(|who| [who.name.to_string(), who.email.to_string()]).collect()
    }
}

/// The bytes that are signed.
fn in_context(context: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("git-dispatch 1\n{context}\n\n").into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

fn sign(signer: &Signer, bytes: &[u8]) -> Result<String> {
    let key = signer.key.to_string_lossy().into_owned();
    let args = ["-Y", "sign", "-n", NAMESPACE, "-f", &key];
    let (code, stdout, stderr) = run(&signer.program, &args, bytes.to_vec())?;
    match String::from_utf8(stdout) {
        Ok(signature) if code == Some(0) && signature.starts_with("-----BEGIN SSH SIGNATURE-----") => Ok(signature),
        _ => Err(Error::Unsigned { key: signer.key.clone(), detail: stderr }),
    }
}

fn verify(signed: &Signed, principal: &str, known: &Known, context: &str) -> Result<bool> {
    if principal.is_empty() || principal.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Ok(false);
    }
    let failed = |error| Error::file(known.allowed.clone(), error);
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    std::io::Write::write_all(&mut file, &signed.signature).map_err(failed)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (allowed, signature) = (text(&known.allowed), text(file.path()));
    let mut args = vec!["-Y", "verify", "-n", NAMESPACE, "-I", principal, "-f", &allowed, "-s", &signature];
    let revoked = known.revoked.as_deref().map(text);
    if let Some(revoked) = &revoked {
        args.extend(["-r", revoked]);
    }
    // Always the real one: whoever stands in for it knows how to sign, and is not asked who may.
    let (code, ..) = run("ssh-keygen", &args, in_context(context, &signed.payload))?;
    Ok(code == Some(0))
}

#[expect(clippy::disallowed_methods, reason = "the one door to ssh-keygen(1)")]
fn run(program: &str, args: &[&str], stdin: Vec<u8>) -> Result<(Option<i32>, Vec<u8>, String)> {
    let mut command = Command::new(program);
    // Nobody sits there to answer: a key behind a passphrase must be in an agent.
    command.args(args).env("LC_ALL", "C").env("SSH_ASKPASS_REQUIRE", "never");
    let limits = Limits { deadline: PATIENCE, stall: None, grace: Duration::from_secs(1) };
    let (ended, stdout, stderr) = collect_output(&mut command, Some(stdin), &limits, &Cancel::new())
        .map_err(|source| Error::NoSshKeygen { program: program.to_owned(), source })?;
    let code = match ended {
        Ended::Exited(status) => status.code(),
        _ => None,
    };
    Ok((code, stdout, String::from_utf8_lossy(&stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMIT: &[u8] =
        b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\
        gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\nx y\n\ngpgsig no\n more\n";

    #[test]
    fn a_commit_and_its_signature_come_apart() {
        let signed = take_apart(COMMIT).unwrap();
        assert_eq!(signed.signature, b"-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n");
        let payload = String::from_utf8(signed.payload).unwrap();
        assert!(payload.ends_with("1 +0000\nx y\n\ngpgsig no\n more\n") && !payload.contains("U1NI"), "{payload}");
        let twice = String::from_utf8(COMMIT.to_vec()).unwrap().replace("x y\n", "gpgsig z\n");
        assert_eq!(take_apart(twice.as_bytes()), None);
        assert_eq!(take_apart(b"tree x\n\nhello\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_come_apart_or_do_not(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()], 0..200)) {
            let text = [b"gpgsig ".as_slice(), &bytes, b"\n\nm"].concat();
            if let Some(signed) = take_apart(&text) {
                prop_assert!(signed.payload.len() + signed.signature.len() < text.len());
            }
        }
    }
}
