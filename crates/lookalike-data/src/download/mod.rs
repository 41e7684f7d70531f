//! Downloads the published files of a data set over HTTP, and resumes where an earlier attempt ended.
//!
//! A file is written under its name with `.part` behind it, and gets its own name only when its SHA-256 sum is that of the
//! published file. So a file under its own name is complete.

mod partial_file;

use crate::checksum::Checksum;
use crate::error::DataError;
use crate::image::registry::NAMES;
use crate::published::{PublishedFile, published_files};
use lookalike_base::progress::{Cancellation, Progress, ProgressDisplay};
use partial_file::PartialFile;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, Proxy};

/// Limit of a file whose length is not known, in bytes. The published files are much shorter.
const MAX_BYTES: u64 = 1 << 30;

/// Limit of the time that one response may take.
const MAX_RESPONSE: Duration = Duration::from_hours(1);

const CHUNK: usize = 64 * 1024;

/// How requests are made, and how often one is repeated.
struct RequestOptions {
    /// Requests for one file.
    attempts: u32,
    /// Pause before the second attempt; each further attempt adds as much.
    pause: Duration,
    /// How long a server may be silent.
    timeout: Duration,
    /// How long one response may take, however steadily its bytes come.
    longest: Duration,
    proxy: Option<Proxy>,
}

impl Default for RequestOptions {
    fn default() -> Self {
        let (pause, timeout) = (Duration::from_secs(1), Duration::from_secs(20));
        Self { attempts: 5, pause, timeout, longest: MAX_RESPONSE, proxy: Proxy::try_from_env() }
    }
}

/// Downloads the published files of data set `name` into the folder `root`, which is made where it does not exist, and
/// returns their paths. A complete file in the folder is not downloaded again; a damaged one is replaced once the new one
/// is complete. A set that is drawn when it is opened has no files.
///
/// `base_url` is a folder of a mirror that replaces the published address.
///
/// # Errors
/// [`DataError::UnknownName`]; [`DataError::Option`] for `folder`, which is not published. [`DataError::Fetch`] where a server
/// refuses or the connection breaks at every attempt: the partial file stays for the next call. [`DataError::Checksum`] where
/// a complete file is not the published one. [`DataError::Cancelled`] where `cancellation` asks for it; the partial file
/// stays. [`DataError::Io`] where the folder cannot be written.
pub fn get(
    name: &str,
    root: &Path,
    base_url: Option<&str>,
    display: &dyn ProgressDisplay,
    cancellation: &Cancellation,
) -> Result<Vec<PathBuf>, DataError> {
    if !NAMES.contains(&name) {
        return Err(DataError::UnknownName { name: name.to_owned(), available: NAMES.to_vec() });
    }
    if name == "folder" {
        let problem = "`folder` means your own images, which cannot be downloaded";
        return Err(DataError::Option { key: "data.name".to_owned(), problem: problem.to_owned() });
    }
    let options = RequestOptions::default();
    let url = |file: &PublishedFile| match base_url {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), file.name),
        None => file.url.to_owned(),
    };
    published_files(name)
        .iter()
        .map(|file| get_file(file, &url(file), root, &options, display, cancellation))
        .collect()
}

fn get_file(
    file: &PublishedFile,
    url: &str,
    root: &Path,
    options: &RequestOptions,
    display: &dyn ProgressDisplay,
    cancellation: &Cancellation,
) -> Result<PathBuf, DataError> {
    let path = root.join(file.name);
    if path.is_file() && Checksum::of_file(&path, |_| ())? == file.sha256 {
        return Ok(path);
    }
    fs::create_dir_all(root).map_err(DataError::io("make", root))?;
    let partial = PartialFile::open(&path)?;
    let progress = file.bytes.map(|bytes| start(file, bytes, display));
    let mut download =
        Download { file, url, partial, display, progress, cancellation, agent: agent(url, options) };
    let result = download.attempt_all(options);
    if let Some(progress) = &download.progress {
        progress.finish();
    }
    result?;
    download.partial.finish(&path)?;
    Ok(path)
}

fn start(file: &PublishedFile, bytes: u64, display: &dyn ProgressDisplay) -> Box<dyn Progress> {
    display.start(bytes / 1000, &format!("{} (kB)", file.name))
}

fn agent(url: &str, options: &RequestOptions) -> Agent {
    let config = Agent::config_builder()
        // A redirect must not lead from a connection that nobody can listen to or change to one that everybody can.
        .https_only(url.starts_with("https://"))
        // The status tells a refusal from a broken connection.
        .http_status_as_error(false)
        .timeout_connect(Some(options.timeout))
        .timeout_recv_response(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .timeout_recv_body(Some(options.longest))
        .proxy(options.proxy.clone())
        .user_agent(concat!("lookalike/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity");
    config.build().into()
}

/// How one request ended, unless by an error that ends the download.
enum RequestEnd {
    /// The server sent everything it had.
    Complete,
    /// The request failed for this reason, and another attempt may succeed.
    Retry(String),
}

/// One file that is being downloaded.
struct Download<'a> {
    file: &'a PublishedFile,
    url: &'a str,
    partial: PartialFile,
    display: &'a dyn ProgressDisplay,
    progress: Option<Box<dyn Progress>>,
    cancellation: &'a Cancellation,
    agent: Agent,
}

impl Download<'_> {
    /// Makes requests until the partial file is the published one.
    fn attempt_all(&mut self, options: &RequestOptions) -> Result<(), DataError> {
        let mut last = None;
        for attempt in 0..options.attempts {
            // An earlier call may have ended between the last byte and the renaming.
            if self.partial.sum() == self.file.sha256 {
                return Ok(());
            }
            self.pause(options.pause * attempt)?;
            let had = self.partial.len();
            last = Some(match self.request()? {
                RequestEnd::Retry(problem) => {
                    self.note(&problem);
                    self.failure(problem)
                }
                RequestEnd::Complete if self.partial.sum() == self.file.sha256 => return Ok(()),
                RequestEnd::Complete if self.file.bytes.is_some_and(|bytes| self.partial.len() < bytes) => {
                    self.failure(format!("the file ended after {} bytes", self.partial.len()))
                }
                RequestEnd::Complete => {
                    let wrong = DataError::Checksum {
                        url: self.url.to_owned(),
                        found: self.partial.sum(),
                        expected: self.file.sha256.to_owned(),
                    };
                    self.partial.restart()?;
                    if had == 0 {
                        self.partial.remove()?;
                        return Err(wrong);
                    }
                    // The partial file may have been one of another file: the next attempt asks for the whole file.
                    wrong
                }
            });
        }
        Err(last.unwrap_or_else(|| self.failure("no attempt was made".to_owned())))
    }

    fn failure(&self, mut problem: String) -> DataError {
        if self.partial.len() > 0 {
            problem.push_str("; the partial download is kept, and the next attempt resumes it");
        }
        DataError::Fetch { url: self.url.to_owned(), problem }
    }

    /// Shows the user why another attempt follows.
    fn note(&self, problem: &str) {
        if let Some(progress) = &self.progress {
            progress.note(&format!("{}: {problem}", self.file.name));
        }
    }

    fn check_cancelled(&self) -> Result<(), DataError> {
        if self.cancellation.is_cancelled() {
            return Err(DataError::Cancelled { path: self.partial.path().to_owned() });
        }
        Ok(())
    }

    fn pause(&self, pause: Duration) -> Result<(), DataError> {
        let step = Duration::from_millis(100);
        let mut left = pause;
        while !left.is_zero() {
            self.check_cancelled()?;
            std::thread::sleep(left.min(step));
            left = left.saturating_sub(step);
        }
        self.check_cancelled()
    }

    /// Requests the bytes that are missing, and appends them to the partial file.
    fn request(&mut self) -> Result<RequestEnd, DataError> {
        let mut request = self.agent.get(self.url);
        if self.partial.len() > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", self.partial.len()));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(
                error @ (ureq::Error::BadUri(_)
                | ureq::Error::Http(_)
                | ureq::Error::HostNotFound
                | ureq::Error::RequireHttpsOnly(_)
                | ureq::Error::TooManyRedirects),
            ) => return Err(self.failure(error.to_string())),
            Err(error) => return Ok(RequestEnd::Retry(error.to_string())),
        };
        if let Some(end) = self.begin(&response)? {
            return Ok(end);
        }
        self.receive(response.into_body())
    }

    /// Checks the head of a response and prepares the partial file for its bytes; how the request ended where they are of no
    /// use.
    fn begin(&mut self, response: &Response<Body>) -> Result<Option<RequestEnd>, DataError> {
        let status = response.status();
        match status {
            StatusCode::PARTIAL_CONTENT if first_byte(response) == Some(self.partial.len()) => {}
            // The server sent another range, or the file has no bytes beyond the partial file's.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if self.partial.len() > 0 => {
                self.partial.restart()?;
                return Ok(Some(RequestEnd::Retry(format!(
                    "the server answered {status} to the request to resume"
                ))));
            }
            // The whole file, whether or not a range was requested.
            StatusCode::OK => self.partial.restart()?,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Ok(Some(RequestEnd::Retry(format!("the server answered {status}"))));
            }
            _ if status.is_server_error() => {
                return Ok(Some(RequestEnd::Retry(format!("the server answered {status}"))));
            }
            _ => return Err(self.failure(format!("the server answered {status}"))),
        }
        let promised =
            response.body().content_length().map(|length| length.saturating_add(self.partial.len()));
        if let Some(promised) = promised
            && promised > self.limit()
        {
            return Err(self.too_long(promised));
        }
        if self.progress.is_none() {
            self.progress = Some(start(self.file, promised.unwrap_or_default(), self.display));
        }
        Ok(None)
    }

    fn receive(&mut self, body: Body) -> Result<RequestEnd, DataError> {
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            self.check_cancelled()?;
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(RequestEnd::Complete),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let problem = format!("the connection broke after {} bytes: {error}", self.partial.len());
                    return Ok(RequestEnd::Retry(problem));
                }
            };
            if self.partial.len() + count as u64 > self.limit() {
                let more = self.partial.len() + count as u64;
                self.partial.restart()?;
                self.partial.remove()?;
                return Err(self.too_long(more));
            }
            self.partial.append(&chunk[..count])?;
            if let Some(progress) = &self.progress {
                progress.set_position(self.partial.len() / 1000);
            }
        }
    }

    fn limit(&self) -> u64 {
        self.file.bytes.unwrap_or(MAX_BYTES)
    }

    fn too_long(&self, bytes: u64) -> DataError {
        self.failure(format!(
            "the file has {bytes} bytes or more; the published file has at most {}",
            self.limit()
        ))
    }
}

/// The offset at which a partial response begins, from its `Content-Range: bytes FIRST-LAST/TOTAL`.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests;
