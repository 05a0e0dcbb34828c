//! The README's recipe for Slurm against a real one: a controller and a node of our own on loopback, ended with the test.
//!
//! In the long part only, and where `slurm-wlm` is installed; else it says that it was skipped.

use std::fs;
use std::net::TcpListener;

use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, eventually};
use crate::steps::{enqueue, states};

const README: &str = include_str!("../../README.md");

/// What the jobs are: one that works, one that fails, one that goes on until it is called off.
const JOB: &str = "#!/bin/sh
set -e
case $DISPATCH_ID in
  good*) echo \"job of $DISPATCH_TITLE\"; grep -q 'Do good' \"$1\"; echo $DISPATCH_ID > $DISPATCH_ID.txt;;
  bad) echo wrong; exit 7;;
  *) echo begun; sleep 600;;
esac
";

/// A cluster of one node that is this machine. What it says is in files of the sandbox.
struct Cluster {
    conf: String,
    _daemons: [Running; 2],
}

impl Cluster {
    fn start(sandbox: &Sandbox, home: &Repo) -> Cluster {
        let said = |program: &str, args: &[&str]| home.run(program, &[], args).success().stdout.trim().to_owned();
        let (host, user) = (said("hostname", &["-s"]), said("id", &["-un"]));
        let folder = sandbox.root().join("slurm");
        fs::create_dir_all(folder.join("state")).unwrap();
        fs::create_dir_all(folder.join("spool")).unwrap();
        // Both are held until both are known, so that they differ.
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = ports.map(|port| port.local_addr().unwrap().port());
        let folder = folder.to_str().unwrap();
        let conf = format!("{folder}/slurm.conf");
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
             AuthType=auth/none\nCredType=cred/none\nMpiDefault=none\nProctrackType=proctrack/pgid\n\
             TaskPlugin=task/none\nSlurmUser={user}\nSlurmdUser={user}\nReturnToService=2\nKillWait=1\n\
             SlurmctldPidFile={folder}/ctld.pid\nSlurmdPidFile={folder}/d.pid\nStateSaveLocation={folder}/state\n\
             SlurmdSpoolDir={folder}/spool\nSlurmctldLogFile={folder}/ctld.log\nSlurmdLogFile={folder}/d.log\n\
             SelectType=select/linear\nNodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN\n\
             PartitionName=main Nodes={host} Default=YES State=UP\n"
        );
        fs::write(&conf, text).unwrap();
        // They end by themselves, should nobody be left to end them.
        let daemon = |program: &str| home.start("timeout", &[], &["-k", "5", "300", program, "-D", "-f", &conf]);
        let daemons = [daemon("slurmctld"), daemon("slurmd")];
        let cluster = Cluster { conf, _daemons: daemons };
        eventually(PATIENCE, || cluster.ask(home, "sinfo", &["-h", "-o", "%T"]) == "idle");
        cluster
    }

    fn ask(&self, home: &Repo, program: &str, args: &[&str]) -> String {
        home.run(program, &[("SLURM_CONF", &self.conf)], args).stdout.trim().to_owned()
    }
}

#[test]
fn the_recipe_hands_tasks_to_jobs_and_calls_them_off() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let is_here = a.run("sh", &[], &["-c", "command -v sbatch slurmctld slurmd"]).code == 0;
    if std::env::var_os("GIT_DISPATCH_TEST_LONG").is_none() || !is_here {
        println!("SKIPPED: the long part runs this, where slurm-wlm is installed");
        return;
    }
    let recipe = README.split("\n\n").flat_map(|part| part.split_once("[executors.slurm]\n")).next().unwrap().1;
    a.write("git-dispatch.toml", &format!("max_attempts = 1\n[executors.slurm]\n{recipe}"));
    a.write("job.sh", JOB);
    a.run("chmod", &[], &["+x", "job.sh"]).success();
    a.commit("Configure");
    a.git(&["push", "--quiet", "origin", "main"]);
    let cluster = Cluster::start(&sandbox, &a);
    let environment = [("SLURM_CONF", cluster.conf.as_str())];

    let executor = "executor: slurm";
    enqueue(&a, &[("good1", executor), ("good2", executor), ("bad", executor)]);
    a.dispatch_env(&environment, &["run", "--slots", "3"]).code(4);
    assert_eq!(states(&a), ["bad failed", "good1 completed", "good2 completed"]);
    let bad = a.dispatch(&["show", "bad"]).success();
    assert!(bad.stdout.contains("exit code 7"), "{bad}");
    assert_eq!(a.dispatch(&["logs", "good1"]).success().stdout, "job of Task good1\n");
    assert_eq!(a.dispatch(&["logs", "bad"]).success().stdout, "wrong\n");
    a.dispatch(&["collect"]).success();
    assert_eq!(a.git(&["show", "main:good1.txt", "main:good2.txt"]), "good1\ngood2");

    // A job outlives its sbatch: it is called off with its task, which any clone may do.
    enqueue(&a, &[("long", executor)]);
    let running = a.spawn_env(&environment, &["run"]);
    eventually(PATIENCE, || cluster.ask(&a, "squeue", &["-h", "-o", "%j %T"]) == "p/long RUNNING");
    b.dispatch(&["cancel", "long"]).success();
    running.wait(PATIENCE);
    eventually(PATIENCE, || cluster.ask(&a, "squeue", &["-h"]).is_empty());
    println!("slurm: 3 jobs run, 1 called off");
}
