//! The processes that are measured: started here, ended here, and asked of the kernel what they used.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Context as _, Failure};

/// How long a server may take to say that it is there.
const START_WAIT: Duration = Duration::from_secs(60);

/// A running process. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// When it was asked for.
    pub began: Instant,
}

impl Process {
    /// Starts `program` with these arguments and this environment, and nothing of ours, so that no
    /// developer's profile or proxy is measured. What it prints goes to `log`.
    ///
    /// # Errors
    /// [`Failure`] naming the program.
    pub fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let output = File::create(&log).context(&log.display().to_string())?;
        let errors = output.try_clone().context(&log.display().to_string())?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let began = Instant::now();
        let child = command.spawn().context(&program.display().to_string())?;
        Ok(Self { child, log, began })
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line that begins with `prefix`, and returns the rest of it.
    ///
    /// # Errors
    /// [`Failure`] with what it printed instead.
    pub fn wait_for_line(&mut self, prefix: &str) -> Result<String, Failure> {
        while self.began.elapsed() < START_WAIT {
            let ended = self.child.try_wait().context("waiting")?;
            let printed = self.printed();
            let found = printed.lines().find_map(|line| line.trim_start().strip_prefix(prefix));
            if let Some(rest) = found
                && printed.ends_with('\n')
            {
                return Ok(rest.trim().to_owned());
            }
            if ended.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Failure::new("it did not start", self.printed()))
    }

    /// The time that it has been on a processor, in user and system mode, all its threads together. The
    /// scheduler counts in nanoseconds; `/proc/PID/stat` counts in hundredths of a second.
    ///
    /// # Errors
    /// [`Failure`] if it has ended.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut total = 0;
        for task in fs::read_dir(&tasks).context(&tasks)? {
            let path = task.context(&tasks)?.path().join("schedstat");
            // A thread may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(path) {
                total += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            }
        }
        Ok(Duration::from_nanos(total))
    }

    /// The most memory it has held, in bytes (`VmHWM`).
    ///
    /// # Errors
    /// [`Failure`] if it has ended.
    pub fn peak_memory(&self) -> Result<u64, Failure> {
        self.status("VmHWM:")
    }

    /// The memory it holds now, in bytes (`VmRSS`).
    ///
    /// # Errors
    /// [`Failure`] if it has ended.
    pub fn memory(&self) -> Result<u64, Failure> {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> Result<u64, Failure> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).context(&path)?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kilobytes.context(&path)? * 1024)
    }

    /// Asks it to end, as Lambda does, and waits until it has: a profiler around it writes its report.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be asked.
    pub fn terminate(&mut self) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("kill")?;
        self.child.wait().context("waiting")?;
        Ok(())
    }

    /// Ends it, and waits until it has.
    ///
    /// # Errors
    /// What the system said.
    pub fn end(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or does now.
        self.end().ok();
    }
}
