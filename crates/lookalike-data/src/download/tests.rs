mod hostile;

use super::*;
use lookalike_base::Silent;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

/// What is published: longer than a chunk, and no two parts alike.
fn published() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect()
}

fn published_file(bytes: Option<u64>) -> PublishedFile {
    let mut sum = Checksum::default();
    sum.update(published());
    PublishedFile { name: "x.gz", url: "", sha256: Box::leak(sum.hexadecimal().into()), bytes }
}

/// What a client asked for: the first byte of the range, where it gave one.
type Asked = Option<usize>;
type Answer = Box<dyn Fn(Asked) -> Vec<u8> + Send>;

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

/// All of `body`, whatever was asked for.
fn whole(body: Vec<u8>) -> Answer {
    Box::new(move |_| answer(&format!("200 OK\r\nContent-Length: {}", body.len()), &body))
}

/// The range that was asked for.
fn honest() -> Answer {
    cut(usize::MAX)
}

/// The range that was asked for, but the connection breaks after `count` bytes.
fn cut(count: usize) -> Answer {
    Box::new(move |asked| {
        let all = published();
        let body = &all[asked.unwrap_or(0)..];
        let head = match asked {
            None => format!("200 OK\r\nContent-Length: {}", all.len()),
            Some(from) => format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}",
                all.len() - 1,
                all.len(),
                body.len()
            ),
        };
        answer(&head, &body[..count.min(body.len())])
    })
}

fn status(head: &'static str) -> Answer {
    Box::new(move |_| answer(&format!("{head}\r\nContent-Length: 0"), b""))
}

/// A server on the loopback that gives one answer a connection and ends with the last, or when nobody comes.
struct Server {
    url: String,
    thread: JoinHandle<Vec<Asked>>,
}

impl Server {
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/x.gz", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let Some(mut stream) = accept(&listener) else { break };
                let range = read_range(&mut stream);
                asked.push(range);
                // A client that has had enough hangs up first.
                let _ = stream.write_all(&answer(range));
            }
            asked
        });
        Self { url, thread }
    }

    fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap()
    }
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

fn read_range(stream: &mut TcpStream) -> Asked {
    let mut head = Vec::new();
    let mut byte = [0];
    while head.len() < 10_000 && !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    Some(range.trim_end_matches('-').parse().unwrap())
}

struct Case {
    folder: tempfile::TempDir,
    file: PublishedFile,
    cancellation: Cancellation,
}

impl Case {
    fn new(bytes: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, file: published_file(bytes), cancellation: Cancellation::new() }
    }

    /// With a part of an earlier attempt.
    fn with_part(part: &[u8]) -> Self {
        let case = Self::new(None);
        fs::write(case.folder.path().join("x.gz.part"), part).unwrap();
        case
    }

    fn get(&self, url: &str) -> Result<PathBuf, DataError> {
        let options = RequestOptions {
            attempts: 3,
            pause: Duration::from_millis(1),
            timeout: Duration::from_millis(500),
            longest: Duration::from_millis(500),
            proxy: None,
        };
        get_file(&self.file, url, self.folder.path(), &options, &Silent, &self.cancellation)
    }

    /// Fetches from a server with these answers; what was asked of it comes back too.
    fn run(&self, answers: Vec<Answer>) -> (Result<PathBuf, DataError>, Vec<Asked>) {
        let server = Server::new(answers);
        let result = self.get(&server.url);
        (result, server.asked())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn assert_whole(&self, result: Result<PathBuf, DataError>) {
        assert!(fs::read(result.unwrap()).unwrap() == published());
        assert_eq!(self.names(), ["x.gz"]);
    }
}

fn message(result: Result<PathBuf, DataError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let case = Case::new(Some(published().len() as u64));
    let (result, asked) = case.run(vec![honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [None]);
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let case = Case::new(None);
    let (result, asked) = case.run(vec![cut(300_000), cut(100_000), honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [None, Some(300_000), Some(400_000)]);
}

#[test]
fn the_partial_file_of_an_earlier_call_is_resumed() {
    let case = Case::with_part(&published()[..70_000]);
    let (result, asked) = case.run(vec![honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [Some(70_000)]);
}

#[test]
fn a_part_that_is_whole_only_wants_its_name() {
    let case = Case::with_part(&published());
    case.assert_whole(case.get("http://127.0.0.1:1/x.gz"));
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let case = Case::with_part(&published()[..70_000]);
    let (result, asked) = case.run(vec![whole(published())]);
    case.assert_whole(result);
    assert_eq!(asked, [Some(70_000)]);
}

#[test]
fn another_range_than_asked_for_is_not_taken() {
    let case = Case::with_part(&published()[..70_000]);
    let shifted: Answer = Box::new(|_| {
        let body = &published()[60_000..];
        let head =
            format!("206 Partial Content\r\nContent-Range: bytes 60000-/*\r\nContent-Length: {}", body.len());
        answer(&head, body)
    });
    let (result, asked) = case.run(vec![shifted, honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [Some(70_000), None]);
}

#[test]
fn a_part_of_another_file_is_fetched_anew() {
    for part in [vec![7; 70_000], vec![7; published().len()]] {
        let case = Case::with_part(&part);
        let (result, asked) = case.run(vec![honest(), honest()]);
        case.assert_whole(result);
        assert_eq!(asked, [Some(part.len()), None]);
    }
}

#[test]
fn a_part_longer_than_the_file_is_fetched_anew() {
    let case = Case::with_part(&vec![7; published().len() + 9]);
    let (result, _) = case.run(vec![status("416 Range Not Satisfiable"), honest()]);
    case.assert_whole(result);
}

#[test]
fn a_wrong_sum_is_told_with_both_and_leaves_nothing() {
    let case = Case::new(None);
    let (result, asked) = case.run(vec![whole(b"something else".to_vec())]);
    let message = message(result);
    assert!(
        message.contains("SHA-256 f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8"),
        "{message}"
    );
    assert!(message.contains(case.file.sha256), "{message}");
    assert_eq!(asked.len(), 1);
    assert!(case.names().is_empty());
}

#[test]
fn a_refusal_is_final_and_told_with_its_status() {
    for head in ["404 Not Found", "403 Forbidden", "204 No Content"] {
        let case = Case::new(None);
        let (result, asked) = case.run(vec![status(head)]);
        let message = message(result);
        assert!(message.contains(head) && message.contains("http://127.0.0.1"), "{message}");
        assert_eq!(asked.len(), 1);
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_but_not_for_ever() {
    let case = Case::new(None);
    let (result, _) = case.run(vec![status("503 Service Unavailable"), honest()]);
    case.assert_whole(result);
    let case = Case::new(None);
    let (result, asked) = case.run((0..3).map(|_| status("503 Service Unavailable")).collect());
    assert!(message(result).contains("503"));
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_connection_that_keeps_on_breaking_leaves_the_part_for_the_next_call() {
    let case = Case::new(None);
    let (result, _) = case.run(vec![cut(1000), cut(1000), cut(1000)]);
    let message = message(result);
    assert!(message.contains("the connection broke after 3000 bytes"), "{message}");
    assert_eq!(fs::read(case.folder.path().join("x.gz.part")).unwrap(), published()[..3000]);
}

#[test]
fn a_length_that_promises_too_much_does_no_harm() {
    let case = Case::new(None);
    let lie: Answer = Box::new(|_| answer("200 OK\r\nContent-Length: 900000", &published()));
    let (result, asked) = case.run(vec![lie]);
    case.assert_whole(result);
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_length_that_promises_too_little_is_made_up_for() {
    let case = Case::new(Some(published().len() as u64));
    let lie: Answer = Box::new(|_| answer("200 OK\r\nContent-Length: 1000", &published()));
    let (result, asked) = case.run(vec![lie, honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [None, Some(1000)]);
}

#[test]
fn more_bytes_than_were_published_are_refused_before_and_while_they_come() {
    for head in ["200 OK\r\nContent-Length: 800000", "200 OK"] {
        let case = Case::new(Some(5000));
        let (result, _) = case.run(vec![Box::new(move |_| answer(head, &published()))]);
        let message = message(result);
        assert!(message.contains("the published file has at most 5000"), "{message}");
        assert!(!case.names().contains(&"x.gz".to_owned()));
    }
}

#[test]
fn an_endless_length_is_refused() {
    let case = Case::new(None);
    let (result, _) = case.run(vec![Box::new(|_| answer("200 OK\r\nContent-Length: 99999999999999", b""))]);
    assert!(message(result).contains("99999999999999 bytes or more"));
}

#[test]
fn an_answer_that_is_not_http_is_an_error() {
    let case = Case::new(None);
    let (result, _) =
        case.run((0..3).map(|_| -> Answer { Box::new(|_| b"SSH-2.0\r\n\r\n".to_vec()) }).collect());
    assert!(matches!(result, Err(DataError::Fetch { .. })));
}

#[test]
fn a_silent_server_is_given_up() {
    let case = Case::new(None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let result = case.get(&format!("http://{}/x.gz", listener.local_addr().unwrap()));
    assert!(matches!(result, Err(DataError::Fetch { .. })));
}

#[test]
fn an_address_that_is_none_is_an_error() {
    for url in ["", "nonsense", "http://", "ftp://127.0.0.1/x.gz", "http://127.0.0.1:1/x.gz"] {
        assert!(matches!(Case::new(None).get(url), Err(DataError::Fetch { .. })), "{url}");
    }
}

#[test]
fn a_cancelled_download_keeps_its_part_and_is_resumed() {
    let case = Case::with_part(&published()[..70_000]);
    let flag = case.cancellation.clone();
    let cancelling: Answer = Box::new(move |asked| {
        flag.cancel();
        cut(usize::MAX)(asked)
    });
    let (result, _) = case.run(vec![cancelling]);
    assert!(matches!(result, Err(DataError::Cancelled { .. })));
    let part = fs::read(case.folder.path().join("x.gz.part")).unwrap();
    assert!(part.len() >= 70_000 && published().starts_with(&part));
    assert_eq!(case.names(), ["x.gz.part"]);

    let case = Case { cancellation: Cancellation::new(), ..case };
    let (result, asked) = case.run(vec![honest()]);
    case.assert_whole(result);
    assert_eq!(asked, [Some(part.len())]);
}

#[test]
fn a_file_that_is_there_is_not_fetched_again() {
    let case = Case::new(None);
    fs::write(case.folder.path().join("x.gz"), published()).unwrap();
    case.assert_whole(case.get("http://127.0.0.1:1/x.gz"));
}

#[test]
fn a_damaged_file_is_replaced_when_the_new_one_is_whole() {
    let case = Case::new(None);
    let path = case.folder.path().join("x.gz");
    fs::write(&path, "damaged").unwrap();
    let (result, _) = case.run(vec![whole(b"something else".to_vec())]);
    assert!(matches!(result, Err(DataError::Checksum { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
    let (result, _) = case.run(vec![honest()]);
    case.assert_whole(result);
}

#[test]
fn two_processes_do_not_write_one_part() {
    let case = Case::new(None);
    let held = PartialFile::open(&case.folder.path().join("x.gz")).unwrap();
    assert!(matches!(case.get("http://127.0.0.1:1/x.gz"), Err(DataError::Io { .. })));
    drop(held);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_partial_file_is_not_followed() {
    use std::os::unix::fs::symlink;
    for existing in [true, false] {
        let case = Case::new(None);
        let victim = case.folder.path().join("victim");
        if existing {
            fs::write(&victim, "precious").unwrap();
        }
        symlink(&victim, case.folder.path().join("x.gz.part")).unwrap();
        let error = case.get("http://127.0.0.1:1/x.gz").unwrap_err();
        assert!(matches!(error, DataError::Io { action: "write", .. }), "{error}");
        assert_eq!(fs::read_to_string(&victim).ok(), existing.then(|| "precious".to_owned()));
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let result = get("mnist", &path, Some("http://127.0.0.1:1"), &Silent, &Cancellation::new());
    assert!(result.unwrap_err().to_string().contains(&path.display().to_string()));
}

#[test]
fn a_mirror_is_asked_for_the_file_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(vec![status("404 Not Found")]);
    let base = server.url.replace("x.gz", "mirror/");
    let result = get("cifar10", folder.path(), Some(&base), &Silent, &Cancellation::new());
    let message = result.unwrap_err().to_string();
    assert!(message.contains("/mirror/cifar-10-binary.tar.gz: the server answered 404"), "{message}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn sets_without_published_files_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |name| get(name, folder.path(), None, &Silent, &Cancellation::new());
    assert!(ask("glyphs").unwrap().is_empty());
    assert!(ask("folder").unwrap_err().to_string().contains("your own images"));
    assert!(matches!(ask("cifar11"), Err(DataError::UnknownName { .. })));
}
