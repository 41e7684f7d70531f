//! Fetches the published files of a data set over HTTP, and goes on where an earlier attempt ended.
//!
//! A file comes under its name with `.part` behind it, and gets its own name only when its MD5 sum is that of the
//! published file. So whatever lies under a final name is whole.

mod partial_file;

use crate::error::DataError;
use crate::image::registry::NAMES;
use crate::published::{KnownFile, known_files};
use lookalike_base::progress::{Cancellation, Progress};
use partial_file::Part;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, Proxy};

/// A file whose length is not known must not be longer; the published ones are far from it.
const MAX_BYTES: u64 = 1 << 30;

/// The longest that one answer may take, however steadily it trickles.
const LONGEST_ANSWER: Duration = Duration::from_hours(1);

const CHUNK: usize = 64 * 1024;

/// How a display of progress is made from the number of steps and what they are steps of: [`Progress::new`].
pub type Show<'a> = &'a dyn Fn(u64, &str) -> Progress;

/// How much is put up with.
struct Manner {
    /// Requests for one file.
    attempts: u32,
    /// Rest before the second attempt; it grows by as much with each further one.
    pause: Duration,
    /// The longest silence of a server.
    silence: Duration,
    proxy: Option<Proxy>,
}

impl Default for Manner {
    fn default() -> Self {
        let (pause, silence) = (Duration::from_secs(1), Duration::from_secs(20));
        Self { attempts: 5, pause, silence, proxy: Proxy::try_from_env() }
    }
}

/// Fetches the published files of data set `name` into the folder `root`, which is made where it is not there, and
/// returns their paths. A file that lies there already and is whole is not fetched again; one that is damaged is
/// replaced once the new one is whole. A set that is made on the fly needs none.
///
/// `base_url` replaces the folder the files were published in, for a mirror.
///
/// # Errors
/// An unknown name, or `folder`, which nobody published. [`DataError::Fetch`] where a server refuses, or keeps on
/// breaking off: what came stays for the next call. [`DataError::Checksum`] where the whole file came and is another.
/// [`DataError::Interrupted`] when `cancellation` asked for it, also with the part kept. [`DataError::Io`] where the
/// folder cannot be written.
pub fn get(
    name: &str,
    root: &Path,
    base_url: Option<&str>,
    show: Show<'_>,
    cancellation: &Cancellation,
) -> Result<Vec<PathBuf>, DataError> {
    if !NAMES.contains(&name) {
        return Err(DataError::UnknownName { name: name.to_owned(), known: NAMES.to_vec() });
    }
    if name == "folder" {
        let problem = "a folder of your own images is not published anywhere: there is nothing to fetch";
        return Err(DataError::Option { key: "data.name".to_owned(), problem: problem.to_owned() });
    }
    let manner = Manner::default();
    let url = |file: &KnownFile| match base_url {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), file.name),
        None => file.url.to_owned(),
    };
    known_files(name)
        .iter()
        .map(|file| get_file(file, &url(file), root, &manner, show, cancellation))
        .collect()
}

fn get_file(
    file: &KnownFile,
    url: &str,
    root: &Path,
    manner: &Manner,
    show: Show<'_>,
    cancellation: &Cancellation,
) -> Result<PathBuf, DataError> {
    let path = root.join(file.name);
    if path.is_file() && partial_file::md5_of(&path)? == file.md5 {
        return Ok(path);
    }
    fs::create_dir_all(root).map_err(DataError::io("make", root))?;
    let part = Part::open(&path)?;
    let progress = file.bytes.map(|bytes| display(file, bytes, show));
    let mut download = Download { file, url, part, show, progress, cancellation, agent: agent(manner) };
    let result = download.attempt_all(manner);
    if let Some(progress) = &download.progress {
        progress.finish();
    }
    result?;
    download.part.finish(&path)?;
    Ok(path)
}

fn display(file: &KnownFile, bytes: u64, show: Show<'_>) -> Progress {
    show(bytes / 1000, &format!("{} (kB)", file.name))
}

fn agent(manner: &Manner) -> Agent {
    let config = Agent::config_builder()
        // A refusal is told apart from a break by its status.
        .http_status_as_error(false)
        .timeout_connect(Some(manner.silence))
        .timeout_recv_response(Some(manner.silence))
        .timeout_per_read(Some(manner.silence))
        .timeout_recv_body(Some(LONGEST_ANSWER))
        .proxy(manner.proxy.clone())
        .user_agent(concat!("lookalike/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity");
    config.build().into()
}

/// How one request ended, if not by an error that ends them all.
enum Outcome {
    /// The server has sent all it had to send.
    Ended,
    /// Another attempt may be luckier, for this reason.
    Broken(String),
}

/// One file on its way.
struct Download<'a> {
    file: &'a KnownFile,
    url: &'a str,
    part: Part,
    show: Show<'a>,
    progress: Option<Progress>,
    cancellation: &'a Cancellation,
    agent: Agent,
}

impl Download<'_> {
    /// Asks again and again until the part is the published file.
    fn attempt_all(&mut self, manner: &Manner) -> Result<(), DataError> {
        let mut last = None;
        for attempt in 0..manner.attempts {
            // As when the last call was killed between the last byte and the renaming.
            if self.part.sum() == self.file.md5 {
                return Ok(());
            }
            self.rest(manner.pause * attempt)?;
            let had = self.part.len();
            last = Some(match self.request()? {
                Outcome::Broken(problem) => {
                    self.tell(&problem);
                    self.failure(problem)
                }
                Outcome::Ended if self.part.sum() == self.file.md5 => return Ok(()),
                Outcome::Ended if self.file.bytes.is_some_and(|bytes| self.part.len() < bytes) => {
                    self.failure(format!("it ended after {} bytes", self.part.len()))
                }
                Outcome::Ended => {
                    let wrong = DataError::Checksum {
                        url: self.url.to_owned(),
                        found: self.part.sum(),
                        expected: self.file.md5.to_owned(),
                    };
                    self.part.restart()?;
                    if had == 0 {
                        self.part.remove()?;
                        return Err(wrong);
                    }
                    // What lay here may have been of another file: the next attempt asks for all of it.
                    wrong
                }
            });
        }
        Err(last.unwrap_or_else(|| self.failure("no attempt was allowed".to_owned())))
    }

    fn failure(&self, mut problem: String) -> DataError {
        if self.part.len() > 0 {
            problem.push_str("; what came is kept, and the next call goes on from there");
        }
        DataError::Fetch { url: self.url.to_owned(), problem }
    }

    /// Lets the user know what the next attempt is for.
    fn tell(&self, problem: &str) {
        if let Some(progress) = &self.progress {
            progress.note(&format!("{}: {problem}", self.file.name));
        }
    }

    fn interrupted(&self) -> Result<(), DataError> {
        if self.cancellation.is_cancelled() {
            return Err(DataError::Interrupted { path: self.part.path().to_owned() });
        }
        Ok(())
    }

    fn rest(&self, pause: Duration) -> Result<(), DataError> {
        let step = Duration::from_millis(100);
        let mut left = pause;
        while !left.is_zero() {
            self.interrupted()?;
            std::thread::sleep(left.min(step));
            left = left.saturating_sub(step);
        }
        self.interrupted()
    }

    /// Asks for what is missing, and adds what comes to the part.
    fn request(&mut self) -> Result<Outcome, DataError> {
        let mut request = self.agent.get(self.url);
        if self.part.len() > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", self.part.len()));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(
                error @ (ureq::Error::BadUri(_)
                | ureq::Error::Http(_)
                | ureq::Error::HostNotFound
                | ureq::Error::TooManyRedirects),
            ) => return Err(self.failure(error.to_string())),
            Err(error) => return Ok(Outcome::Broken(error.to_string())),
        };
        if let Some(outcome) = self.place(&response)? {
            return Ok(outcome);
        }
        self.receive(response.into_body())
    }

    /// Sets the part to where the answer begins; an outcome where the answer is of no use.
    fn place(&mut self, response: &Response<Body>) -> Result<Option<Outcome>, DataError> {
        let status = response.status();
        match status {
            StatusCode::PARTIAL_CONTENT if first_byte(response) == Some(self.part.len()) => {}
            // The range was not what was asked for, or there is nothing behind what lies here.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if self.part.len() > 0 => {
                self.part.restart()?;
                return Ok(Some(Outcome::Broken(format!("the server answers {status} to being resumed"))));
            }
            // All of the file, whether or not a range was asked for.
            StatusCode::OK => self.part.restart()?,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Ok(Some(Outcome::Broken(format!("the server answers {status}"))));
            }
            _ if status.is_server_error() => {
                return Ok(Some(Outcome::Broken(format!("the server answers {status}"))));
            }
            _ => return Err(self.failure(format!("the server answers {status}"))),
        }
        let promised = response.body().content_length().map(|length| length.saturating_add(self.part.len()));
        if let Some(promised) = promised
            && promised > self.limit()
        {
            return Err(self.too_long(promised));
        }
        if self.progress.is_none() {
            self.progress = Some(display(self.file, promised.unwrap_or_default(), self.show));
        }
        Ok(None)
    }

    fn receive(&mut self, body: Body) -> Result<Outcome, DataError> {
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            self.interrupted()?;
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(Outcome::Ended),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let problem = format!("it broke off after {} bytes: {error}", self.part.len());
                    return Ok(Outcome::Broken(problem));
                }
            };
            if self.part.len() + count as u64 > self.limit() {
                let more = self.part.len() + count as u64;
                self.part.restart()?;
                self.part.remove()?;
                return Err(self.too_long(more));
            }
            self.part.append(&chunk[..count])?;
            if let Some(progress) = &self.progress {
                progress.set_position(self.part.len() / 1000);
            }
        }
    }

    fn limit(&self) -> u64 {
        self.file.bytes.unwrap_or(MAX_BYTES)
    }

    fn too_long(&self, bytes: u64) -> DataError {
        self.failure(format!("it is {bytes} bytes or more, the published file at most {}", self.limit()))
    }
}

/// The first byte that a partial answer holds, from its `Content-Range: bytes FIRST-LAST/TOTAL`.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests;
